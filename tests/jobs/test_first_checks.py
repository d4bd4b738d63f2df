"""What no job can use is refused in a sentence, before torch and pandas are imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import ROOT, composed, places
from test_datamodule import make_stores

from diffgar.checkpoints import CheckpointError
from diffgar.dataloading.store.card import StoreError
from diffgar.jobs import first_checks

HEAVY = ("torch", "pandas", "pytorch_lightning", "transformers", "diffusers")
LEAF = "train_ldm/model/encoder_pair/demo/mlp/train_ldm_sample_pred_small"
CLAP = "config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml"
CONFIG = "encoder_pair: {name: clap, audio_name: clap_audio, text_name: clap_text}\nmodule: {}\n"


def trained(folder: Path, name: str = "mine") -> Path:
    """The folder of a model that looks as if it was trained for ten steps."""
    model = folder / "checkpoints" / name
    model.mkdir(parents=True)
    (model / "config.yaml").write_text(CONFIG)
    (model / "step=10.ckpt").touch()
    return model


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("train_ldm", ["trainer.max_steps=0"], "ConfigError: trainer.max_steps is 0; it must be a whole number from 1"),
        ("train_ldm", ["--model_name", "a/b"], "ConfigError: model_name is 'a/b'"),
        ("train_ldm", ["evaluation.pooling=max"], "InputError: evaluation.pooling is 'max'; choose one of mean, best_"),
        ("train_ldm", ["--config", CLAP], "private_caps/clap_htsat_base does not exist; run extract_dataset.py data="),
        ("train_ldm", ["module=student", "~task"], "CheckpointError: no model 'demo' in "),
        ("extract_dataset", ["num_devices=0"], "ConfigError: num_devices is 0; it must be a whole number from 1 on"),
        ("extract_dataset", ["data.name=a/b"], "ConfigError: data.name is 'a/b'; it names a folder of latents"),
        ("eval_retrieval", ["--model_name", "nope"], "CheckpointError: no model 'nope' in .*models there: mine"),
        ("eval_retrieval", ["--task", "nope"], "CommandError: no task 'nope'; there is conceptcaps, demo"),
        ("eval_retrieval", ["--model_name", "mine", "--task", "musiccaps"], "clap_audio does not exist; run extract_"),
        ("eval_retrieval", ["--model_name", "mine", "evaluation.baselines=[other]"], "no model 'other' in "),
        ("eval_fidelity", ["--model_name", "mine", "evaluation.seeds=[]"], "evaluation.seeds is []; give it one seed"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_heavy_imports(tmp_path, script, words, message):
    trained(tmp_path)
    program = f"""
import sys, {script}
sys.argv[1:] = {[*words, *places(tmp_path)]}
try:
    {script}.main()
finally:
    assert not set({HEAVY}) & set(sys.modules), set({HEAVY}) & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and all(part in line for part in message.split(".*")), line


def evaluation(folder, *words):
    named = ["task=musiccaps", "model_name=mine", f"paths.latents={folder}/latents", *places(folder), *words]
    return composed("eval_retrieval", *named)


def test_a_step_that_is_not_there_is_refused_and_one_that_is_passes(tmp_path):
    trained(tmp_path)
    make_stores(tmp_path / "latents/musiccaps", 2)
    for kind in ("audio", "text"):
        (tmp_path / f"latents/musiccaps/{kind}").rename(tmp_path / f"latents/musiccaps/clap_{kind}")
    for step in ("best", "last", "10", "all"):
        first_checks.of_evaluation(evaluation(tmp_path, f"model_step={step}"))
    with pytest.raises(CheckpointError, match="no step 7; steps there: 10"):
        first_checks.of_evaluation(evaluation(tmp_path, "model_step=7"))


def test_a_table_of_results_needs_no_model(tmp_path):
    first_checks.of_evaluation(evaluation(tmp_path, "tables.which=models"))


def test_a_training_needs_its_stores_until_it_is_finished(tmp_path):
    cfg = composed(LEAF, "~prepare", "model_name=mine", f"paths.latents={tmp_path}/latents", *places(tmp_path))
    with pytest.raises(StoreError, match="does not exist; run extract_dataset.py data=demo encoder_pair=demo"):
        first_checks.of_training(cfg)
    (trained(tmp_path) / f"step={cfg.trainer.max_steps}.ckpt").touch()
    first_checks.of_training(cfg)
