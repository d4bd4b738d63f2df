"""The command line: the documented commands become Hydra's words, once and for all."""

import pytest

from diffgar.cli import to_hydra

FLAGS = ("task", "model_name", "model_step")
LEAF = "config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml"
NAMED = ["--config-name", "train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base"]


@pytest.mark.parametrize(
    ("typed", "hydras"),
    [
        (["--config", LEAF], NAMED),
        ([f"--config={LEAF}"], NAMED),
        (["trainer.max_steps=10", "--config", LEAF, "seed=1"], [*NAMED, "trainer.max_steps=10", "seed=1"]),
        (["--config", LEAF, "-m", "seed=1,2"], [*NAMED, "-m", "seed=1,2"]),
        (
            ["--task", "song_describer", "--model_name", "NAME", "--model_step", "50000"],
            ["task=song_describer", "model_name=NAME", "model_step=50000"],
        ),
        (["~logger", "--task=demo", "+a.b=1"], ["~logger", "task=demo", "+a.b=1"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        ([], []),
    ],
)
def test_what_is_typed_becomes_hydras_words(typed, hydras):
    assert to_hydra(typed, FLAGS) == hydras
    assert to_hydra(hydras, FLAGS) == hydras, "rewriting twice changes nothing"


def test_a_config_outside_the_tree_is_named_by_its_folder(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    assert to_hydra(["--config", str(tmp_path / "config.yaml")]) == [
        "--config-dir",
        str(tmp_path),
        "--config-name",
        "config",
    ]


def test_a_missing_config_file_is_named():
    with pytest.raises(SystemExit, match="no config file at nowhere.yaml"):
        to_hydra(["--config", "nowhere.yaml"])


def test_a_flag_without_its_value_is_named():
    with pytest.raises(SystemExit, match="--task needs a value"):
        to_hydra(["--task"], FLAGS)
