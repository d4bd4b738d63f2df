"""A training that could not run, or not be evaluated in the end, is refused before anything is prepared."""

import pytest
from omegaconf import OmegaConf
from scripts import composed
from test_datamodule import make_stores

from diffgar.checkpoints import CheckpointError
from diffgar.commandline import ConfigError
from diffgar.dataloading.store.card import StoreError
from diffgar.jobs import checks, first_checks

LEAF = "train_ldm/model/encoder_pair/demo/mlp/train_ldm_sample_pred_small"


@pytest.mark.parametrize("name", ["demo", "a.b-c_1", "20240101", "1st", 20240101])
def test_plain_names_and_numbers_are_names(name):
    assert first_checks.check_name(name) == str(name)


@pytest.mark.parametrize("name", ["", "a/b", "a=b", "a b", "(a)", "..", ".a", "-a", "é", "a\n", None, 1.5, True, ["a"]])
def test_names_that_would_break_paths_lists_or_the_command_line_are_refused(name):
    with pytest.raises(ConfigError, match="model_name is .*model_name=my_model"):
        first_checks.check_name(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_steps=0", "trainer.max_steps is 0; it must be a whole number from 1 on"),
        ("trainer.max_steps=-1", "trainer.max_steps is -1"),
        ("trainer.max_steps=abc", "trainer.max_steps is 'abc'"),
        ("trainer.max_steps=1.5", "trainer.max_steps is 1.5"),
        ("trainer.max_steps=null", "trainer.max_steps is None"),
        ("trainer.val_check_interval=0", "trainer.val_check_interval is 0"),
        ("trainer.val_check_interval=0.5", "trainer.val_check_interval is 0.5"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches is 0"),
        ("trainer.num_nodes=0", "trainer.num_nodes is 0"),
        ("batch_size=0", "batch_size is 0"),
        ("batch_size=many", "batch_size is 'many'"),
        ("num_frames=0", "num_frames is 0"),
        ("seed=-1", "seed is -1"),
        ("seed=4294967296", "seed is 4294967296; it must be at most 4294967295"),
        ("optimizer.lr=-1", "optimizer.lr is -1; it must be a number above 0"),
        ("optimizer.lr=nan", "optimizer.lr is nan; it must be a number above 0"),
        ("lr_scheduler.warmup_steps=600", "warmup_steps 600 leaves none of trainer.max_steps 600.*warmup_steps=60"),
        ("trainer.max_steps=50", "warmup_steps 100 leaves none of trainer.max_steps 50; use .*warmup_steps=5"),
        ("keep=some", "keep is 'some'; choose of all, best, last"),
        ("keep=0", "keep is 0; choose of all, best, last, or a number of the best: keep=best"),
        ("keep=true", "keep is True"),
        (
            "model_step=bets",
            "model_step is 'bets'; choose best, last, or a step that has a checkpoint, each 100th and 600",
        ),
        ("model_step=0", "model_step is 0; choose"),
        ("model_step=150", "model_step is 150; choose"),
        ("model_step=700", "model_step is 700; choose"),
        ("trainer.devices=5", "batch_size 96 does not divide among 5 processes; use batch_size=95"),
        ("trainer.devices=[0,1,2,3,4]", "batch_size 96 does not divide among 5 processes"),
        ("trainer.devices=200", "batch_size 96 does not divide among 200 processes; use batch_size=200"),
    ],
)
def test_a_value_that_cannot_be_trained_with_is_named_with_one_that_can(override, message):
    with pytest.raises(ConfigError, match=message):
        first_checks.check_values(composed(LEAF, override))


@pytest.mark.parametrize(
    "override", ["keep=best", "keep=3", "model_step=200", "trainer.devices=4", "trainer.devices=auto"]
)
def test_values_that_can_be_trained_with_pass(override):
    first_checks.check_values(composed(LEAF, override))


@pytest.mark.parametrize("leaf", [LEAF, "train_ldm/model/encoder_pair/demo/train_demo_encoder"])
def test_the_leaves_pass(leaf):
    first_checks.check_values(composed(leaf))


def test_a_training_that_publishes_nothing_is_asked_for_no_file():
    checks.check_publish(composed(LEAF))
    checks.check_publish(composed("train_ldm/model/encoder_pair/demo/train_demo_encoder", "publish=a.st"))
    with pytest.raises(ConfigError, match="publish is 'a.st', and diffgar.*Diffusion publishes nothing"):
        checks.check_publish(composed(LEAF, "publish=a.st"))


@pytest.mark.parametrize("name", [None, "", "a/b", "..", ["a"], True])
@pytest.mark.parametrize("key", ["data.name", "encoder_pair.audio_name"])
def test_a_name_that_is_no_folder_of_latents_is_refused(key, name):
    cfg = composed("extract_dataset")
    first_checks.check_folders(cfg)
    OmegaConf.update(cfg, key, name)
    with pytest.raises(ConfigError, match=f"{key} is .*; it names a folder of latents"):
        first_checks.check_folders(cfg)


def test_a_number_as_a_name_of_a_dataset_is_a_text():
    cfg = composed("extract_dataset", "data.name=12")
    first_checks.check_folders(cfg)
    assert cfg.data.name == "12"


@pytest.mark.parametrize("number", [0, -7, True, "two", None])
def test_a_number_of_devices_that_no_machine_has_is_refused(number):
    first_checks.check_number_of_devices(2)
    with pytest.raises(ConfigError, match="num_devices is .*; it must be a whole number from 1 on"):
        first_checks.check_number_of_devices(number)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"NODE_RANK": "1"}, False),  # nodes started by hand: the second node's first process
        ({"NODE_RANK": "0", "LOCAL_RANK": "1"}, False),
        ({"RANK": "8", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
    ],
)
def test_one_process_of_all_nodes_writes(monkeypatch, environment, first):
    for name in checks.RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert checks.is_first_process() == first


@pytest.fixture
def latents(tmp_path):
    """Stores of two datasets, `demo` and `other`."""
    for dataset in ("demo", "other"):
        make_stores(tmp_path / dataset)
        for kind in ("audio", "text"):
            (tmp_path / dataset / kind).rename(tmp_path / dataset / f"toy_{kind}")
    return tmp_path


def config(latents, *overrides):
    names = [f"encoder_pair.{kind}_name=toy_{kind}" for kind in ("audio", "text")]
    sizes = [
        "encoder_pair.latent_dim=6",
        "encoder_pair.text_dim=5",
        "encoder_pair.joint=false",
        "task.split=validation",
    ]
    return composed(LEAF, *names, *sizes, "task.attributes=null", f"paths.latents={latents}", *overrides)


def test_a_task_whose_stores_are_there_passes(latents):
    checks.check_task(config(latents))
    checks.check_task(config(latents, "task.dataset=other"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "task.dataset=gone",
            "gone/toy_audio does not exist; run extract_dataset.py data=gone encoder_pair=demo.*~task",
        ),
        ("task.dataset=gone", "evaluate on the training data's own test split: task=demo; or train alone: ~task"),
        ("task.split=test", "no track is in split 'test'; .*; or train alone: ~task"),
        ("+task.where.genre=rock", "no column 'genre'"),
        ("task.attributes=[colour]", "the stores have no column 'colour', the ground truth; .*task.attributes=null"),
        ("encoder_pair.joint=true", "has 5 dimensions and the latents have 6: .*encoder_pair.joint=false"),
    ],
)
def test_a_task_that_the_model_could_not_be_evaluated_on_is_refused_with_the_ways_out(latents, override, message):
    with pytest.raises(ConfigError, match="could not be evaluated on the task 'demo': .*" + message):
        checks.check_task(config(latents, override))


def test_a_baseline_that_is_not_there_is_refused_before_training(latents, tmp_path):
    with pytest.raises(CheckpointError, match="no model 'demo_regresion' in .*; models there: none"):
        checks.check_task(config(latents, "evaluation.baselines=[demo_regresion]", f"paths.checkpoints={tmp_path}"))


def test_missing_training_stores_are_told_before_a_missing_task(latents):
    with pytest.raises(StoreError, match="nowhere/toy_audio does not exist; run extract_dataset.py data=nowhere"):
        checks.check_task(config(latents, "data.name=nowhere", "task.dataset=gone"))


def test_a_task_of_latents_made_otherwise_is_refused(latents):
    card = latents / "other/toy_text/card.json"
    card.write_text(card.read_text().replace('"layer": "last"', '"layer": "first"'))
    message = "other/toy_text was made with layer 'first', the training's .*demo/toy_text with 'last'; extract both"
    with pytest.raises(ConfigError, match=message):
        checks.check_task(config(latents, "task.dataset=other"))
