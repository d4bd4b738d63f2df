"""Before long work the plan says what is to come; after it, what can be typed next, word for word."""

import os
import shlex

import pytest
from scripts import composed, places
from test_datamodule import make_stores

from diffgar.cli import to_hydra
from diffgar.commandline.composing import compose
from diffgar.jobs import next_commands, plan

DEMO = "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small"
STORES = ["encoder_pair.audio_name=audio", "encoder_pair.text_name=text"]  # as `make_stores` names them
EXTRACTION = "extract_features/demo/extract_demo"


def config(folder, *words, name=DEMO):
    return composed(name, f"paths.latents={folder}/latents", *places(folder), *words)


def planned(capsys, folder, *words):
    """The lines of the demo's plan, without the folder."""
    cfg = config(folder, *words)
    plan.show_training(cfg, folder / "checkpoints/demo")
    return capsys.readouterr().out.replace(f"{folder}/", "").splitlines()


def test_a_first_run_is_told_all_that_is_to_come_and_where_it_goes(tmp_path, capsys):
    assert planned(capsys, tmp_path) == [
        "plan    train demo",
        "     1. compose and render 3,400 tracks: data/demo",
        "     2. encode the tracks: latents/demo/demo_audio",
        "     3. encode the captions: latents/demo/demo_text",
        "     4. train from step 0 to 600, with a checkpoint every 100: checkpoints/demo",
        "     5. evaluate the best step on demo: results/demo/demo",
        "        Ctrl-C stops it; the same command goes on from there.",
    ]


def test_what_is_there_already_is_told_and_the_pace_of_the_steps_so_far_tells_how_long(tmp_path, capsys):
    model, data = tmp_path / "checkpoints/demo", tmp_path / "data/demo"
    for folder in (model, data):
        folder.mkdir(parents=True)
    (data / "captions.csv").touch()
    for step, time in ((100, 1000), (200, 1060), (300, 9999)):  # it stood still before the last of them
        (model / f"step={step}.ckpt").touch()
        os.utime(model / f"step={step}.ckpt", (time, time))
    assert planned(capsys, tmp_path, "~task")[1:-1] == [
        "        there already: data/demo",
        "        there already: step 300 of checkpoints/demo",
        "     1. encode the tracks: latents/demo/demo_audio",
        "     2. encode the captions: latents/demo/demo_text",
        "     3. train from step 300 to 600, with a checkpoint every 100: checkpoints/demo, about 3 min",
    ]


def test_another_dataset_is_trained_on_as_it_is_and_nothing_is_said_of_stores_that_are_there(tmp_path, capsys):
    lines = planned(capsys, tmp_path, "~prepare", "data=template", "~task")
    assert len(lines) == 3 and lines[1].startswith("     1. train from step 0")
    make_stores(tmp_path / "latents/demo")
    for kind in ("audio", "text"):
        (tmp_path / f"latents/demo/{kind}").rename(tmp_path / f"latents/demo/demo_{kind}")
    (tmp_path / "data/demo").mkdir(parents=True)
    (tmp_path / "data/demo/captions.csv").touch()
    plan.show_extraction(config(tmp_path, name=EXTRACTION))
    assert capsys.readouterr().out == ""


def composes(command: str) -> bool:
    """Whether a command is one that can be typed: its words compose with its script's config."""
    _, script, *words = shlex.split(command)
    words = to_hydra(words, ("task", "model_name", "model_step"))
    name = words.pop(words.index("--config-name") + 1) if "--config-name" in words else script.removesuffix(".py")
    return bool(compose(name, [word for word in words if not word.startswith("--")]).get("paths"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "eval_retrieval.py --task demo --model_name demo control=negative"),
        (["~task"], "eval_retrieval.py --task demo --model_name demo"),
        (["task=song_describer"], "eval_fidelity.py --task song_describer --model_name demo"),
        (["module=contrastive"], "eval_retrieval.py --task demo --model_name demo --model_step all"),
    ],
)
def test_after_training_an_evaluation_of_that_model_can_be_typed(tmp_path, words, part):
    ((command, _),) = next_commands.after_training(config(tmp_path, *words))
    assert command == f"python {part}" and composes(command)


def test_after_the_training_of_an_encoder_nothing_is_suggested():
    name = "train_ldm/model/encoder_pair/demo/train_demo_encoder"
    assert next_commands.after_training(composed(name)) == []


@pytest.mark.parametrize(
    ("splits", "pair", "part"),
    [
        (["train", "test"], "clap", "encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml data=musiccaps"),
        (["train", "test"], "own", "encoder_pair/own/mlp/train_ldm_sample_pred_small.yaml data=musiccaps"),
        (["test", "test"], "clap", "eval_retrieval.py --task musiccaps --model_name NAME"),
    ],
)
def test_after_an_extraction_a_training_on_it_can_be_typed_or_an_evaluation(tmp_path, splits, pair, part):
    cfg = config(tmp_path, "data=musiccaps", f"encoder_pair={pair}", *STORES, name=EXTRACTION)
    audio, _ = make_stores(tmp_path / "latents/musiccaps", 2)
    audio.rows.assign(split=splits).to_parquet(audio.folder / "rows.parquet")
    ((command, _),) = next_commands.after_extraction(cfg)
    assert part in command and composes(command)


def test_the_demos_next_command_after_its_extraction_is_the_main_job(tmp_path):
    cfg = config(tmp_path, *STORES, name=EXTRACTION)
    assert next_commands.after_extraction(cfg) == []  # other jobs have not finished
    make_stores(tmp_path / "latents/demo", 20)
    assert next_commands.after_extraction(cfg) == [("python train_ldm.py", "train on it")]
