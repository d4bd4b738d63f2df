"""Nothing that was trained is lost, and what is chosen or loaded is what it says: checkpoints, scores, locks."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from test_datamodule import make_stores
from test_ldm import make_datamodule, make_model

from diffgar import checkpoints, scores
from diffgar.checkpoints import CheckpointError
from diffgar.models.callbacks import Checkpoints, StepBar, WholeFiles
from diffgar.models.ema import WarmedUpEMA


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return folder


def fit(stores, out, max_steps, stop_at=None, resume=None, accumulate=1, keep="all"):
    """Train with a checkpoint every 5 steps; returns the steps that were validated."""
    datamodule, validated = make_datamodule(stores), []
    model = make_model(datamodule, max_steps=max_steps)
    watch = pl.callbacks.LambdaCallback(
        on_validation_epoch_start=lambda _, module: validated.append(module.global_step)
    )
    trainer = pl.Trainer(
        max_steps=stop_at or max_steps,
        callbacks=[Checkpoints(str(out), 5, keep), WarmedUpEMA(decay=0.9), StepBar(), watch],
        plugins=[WholeFiles()],
        accelerator="cpu",
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=5 * accumulate,
        check_val_every_n_epoch=None,
        accumulate_grad_batches=accumulate,
    )
    trainer.fit(model, datamodule=datamodule, ckpt_path=resume)
    return validated


@pytest.mark.parametrize(("max_steps", "steps"), [(3, [3]), (5, [5]), (12, [5, 10, 12])])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_last_step_has_a_checkpoint_and_a_validation_whatever_the_interval(
    stores, tmp_path, max_steps, steps, accumulate
):
    assert fit(stores, tmp_path, max_steps, accumulate=accumulate) == steps
    assert checkpoints.steps_of(tmp_path) == steps


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_goes_on_from_an_odd_last_step_ends_with_the_weights_of_an_uninterrupted_one(
    stores, tmp_path, accumulate
):
    fit(stores, tmp_path / "whole", 12, accumulate=accumulate)
    fit(stores, tmp_path / "cut", 12, stop_at=7, accumulate=accumulate)
    resume = tmp_path / "cut/step=7.ckpt"
    assert fit(stores, tmp_path / "cut", 12, resume=resume, accumulate=accumulate) == [10, 12]
    assert checkpoints.steps_of(tmp_path / "cut") == [5, 7, 10, 12]
    whole, cut = (torch.load(tmp_path / name / "step=12.ckpt", weights_only=True) for name in ("whole", "cut"))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(whole[part][key], cut[part][key]) for key in whole[part])


def test_the_bar_counts_steps_of_all_steps(stores, tmp_path, capsys):
    fit(stores, tmp_path, 6, stop_at=2)
    fit(stores, tmp_path, 6, resume=tmp_path / "step=2.ckpt")
    bars = capsys.readouterr().err
    assert "2/2 [" in bars and "2/6 [" in bars and "6/6 [" in bars and "loss=" in bars and "Epoch" not in bars


def test_fewer_checkpoints_are_kept_where_asked_and_the_last_among_them(stores, tmp_path):
    fit(stores, tmp_path / "last", 12, keep="last")
    assert checkpoints.steps_of(tmp_path / "last") == [12]
    folder = touched(tmp_path / "best", (5, 10, 15, 20))
    for step, recall in ((5, 30), (10, 40), (15, 35), (20, 20)):
        scores.record_score(folder, step, {"R@10": recall})
    checkpoints.prune(folder, "best")
    assert checkpoints.steps_of(folder) == [10, 20] and checkpoints.choose_step(folder, "best") == 10
    checkpoints.prune(folder, "all")
    assert checkpoints.steps_of(folder) == [10, 20]


def test_a_number_of_the_best_is_kept_beside_the_last_and_ties_are_those_of_best(tmp_path):
    folder = touched(tmp_path / "m", (5, 10, 15, 20, 25, 30))
    for step, recall, median in ((5, 40, 9), (10, 40, 8), (15, 40, 8), (20, 50, 9), (25, 10, 9)):
        scores.record_score(folder, step, {"R@10": recall, "MedR": median, "MRR": 1})
    assert checkpoints.best_first(folder) == [20, 15, 10, 5, 25, 30]  # 30 has no score yet
    for keep, steps in ((7, [5, 10, 15, 20, 25, 30]), (3, [10, 15, 20, 30]), (2, [15, 20, 30]), (1, [20, 30])):
        checkpoints.prune(folder, keep)
        assert checkpoints.steps_of(folder) == steps
    scores.record_score(folder, 30, {"R@10": 60})
    checkpoints.prune(folder, 1)
    assert checkpoints.steps_of(folder) == [30]


def test_without_scores_a_number_keeps_the_latest(tmp_path):
    folder = touched(tmp_path / "m", (5, 10, 15))
    checkpoints.prune(folder, 2)
    assert checkpoints.steps_of(folder) == [10, 15]


def test_training_keeps_a_number_of_the_best(stores, tmp_path):
    for step, recall in ((5, 40), (10, 20), (15, 30)):
        scores.record_score(tmp_path, step, {"R@10": recall})
    fit(stores, tmp_path, 20, keep=2)
    assert checkpoints.steps_of(tmp_path) == [5, 15, 20]


def test_processes_that_would_start_from_other_steps_are_refused(tmp_path):
    class Strategy:
        def broadcast(self, step):
            return 10

        def reduce_boolean_decision(self, decision):
            return decision

    trainer = SimpleNamespace(strategy=Strategy(), global_step=10, global_rank=1)
    Checkpoints(str(tmp_path), 5).on_train_start(trainer, None)
    trainer.global_step = 0
    with pytest.raises(CheckpointError, match=r"\(step 0 in process 1, step 10 in the first\); put paths.checkpoints"):
        Checkpoints(str(tmp_path), 5).on_train_start(trainer, None)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9762880 vs 9762768"),  # torch's
    ],
)
def test_a_full_disk_leaves_the_earlier_checkpoints_whole_and_says_what_to_do(stores, tmp_path, monkeypatch, error):
    write = torch.save

    def full(content, out):
        if "step=10" in out.name:
            out.write(b"half of it")
            raise error
        write(content, out)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        CheckpointError, match="step=10.ckpt could not be written .[Nn]o space.* left.*keep=best.*goes on"
    ):
        fit(stores, tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["step=5.ckpt"]
    assert checkpoints.intact(tmp_path, 5)


def touched(folder: Path, steps) -> Path:
    """A model's folder whose checkpoints are empty files."""
    folder.mkdir()
    OmegaConf.save({"model_name": folder.name, "module": {"width": "${width}"}, "width": 4}, folder / "config.yaml")
    for step in steps:
        (folder / f"step={step}.ckpt").touch()
    return folder


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ({5: (90, 3, 50), 10: (95, 9, 10)}, 10),  # R@10 first
        ({5: (100, 3, 50), 10: (100, 2, 10), 15: (100, 4, 90)}, 10),  # then the lower MedR
        ({5: (100, 2, 50), 10: (100, 2, 60), 15: (100, 2, 40)}, 10),  # then the higher MRR
        ({5: (100, 2, 50), 10: (100, 2, 50), 15: (100, 2, 50)}, 15),  # then the later step
        ({5: (100, 2, 50), 10: (99, 1, 99), 20: (100, 1, 99)}, 5),  # of step 20 no checkpoint is there
        ({}, 15),
    ],
)
def test_ties_of_the_best_step_go_to_medr_then_mrr_then_the_later_step(tmp_path, rows, best):
    folder = touched(tmp_path / "m", (5, 10, 15))
    for step, row in rows.items():
        scores.record_score(folder, step, dict(zip(scores.SCORES, row, strict=True)))
    assert checkpoints.choose_step(folder, "best") == best


def test_a_scores_file_of_an_earlier_version_is_read_and_goes_on(tmp_path):
    folder = touched(tmp_path / "m", (5, 10, 15))
    (folder / "scores.csv").write_text("step,R@10\n5,40.0000\n10,40.0000\n5,41.0000\n")
    assert checkpoints.choose_step(folder, "best") == 5  # the last row of a step counts
    assert checkpoints.unscored(folder) == [15]
    scores.record_score(folder, 15, {"R@10": 41, "MedR": 9, "MRR": 20})
    assert checkpoints.choose_step(folder, "best") == 15 and checkpoints.unscored(folder) == []
    table = pd.read_csv(folder / "scores.csv")
    assert list(table.columns) == ["step", "R@10", "MedR", "MRR"] and list(table["step"]) == [5, 10, 15]


def test_a_damaged_scores_file_is_named_and_an_empty_one_is_none(tmp_path):
    folder = touched(tmp_path / "m", (5,))
    (folder / "scores.csv").touch()
    assert checkpoints.choose_step(folder, "best") == 5 and checkpoints.unscored(folder) == [5]
    (folder / "scores.csv").write_text("nonsense\n1,2,3\n")
    with pytest.raises(scores.ScoresError, match="scores.csv is damaged.*delete it"):
        checkpoints.choose_step(folder, "best")


HOLD = "import sys; from pathlib import Path; from diffgar.checkpoints import held\nwith held(Path(sys.argv[1])): pass"


def test_a_second_training_of_a_model_is_told_at_once_who_trains_it(tmp_path):
    folder = tmp_path / "m"
    with checkpoints.held(folder):
        (folder / "step=5.ckpt.part").touch()
        second = subprocess.run([sys.executable, "-c", HOLD, folder], capture_output=True, text=True)
        assert "m is being trained by process" in second.stderr and "choose another model_name" in second.stderr
    with checkpoints.held(folder):
        assert sorted(path.name for path in folder.iterdir()) == [".holder", ".lock"]  # what a cut write left is gone
    assert [path.name for path in folder.iterdir()] == [".lock"]
