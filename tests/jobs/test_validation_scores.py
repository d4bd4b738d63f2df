"""Retrieval is measured at every validation, on the averaged weights, and a kill changes none of what is kept."""

import pandas as pd
import pytest
import torch
from test_train import as_it_is, train

from diffgar.jobs import saved
from diffgar.jobs.validation import ValidationScores

STEPS = ["~task", "trainer.max_steps=6", "trainer.val_check_interval=2", "ema_decay=0.9", "trainer.log_every_n_steps=1"]


def logged(folder):
    """The validation metrics that training logged, by step."""
    tables = [pd.read_csv(path) for path in sorted((folder / "logs/m").glob("version_*/metrics.csv"))]
    table = pd.concat(tables).filter(regex="^step$|^val/").dropna()
    return table.set_index("step").sort_index()


class Killed(BaseException):
    pass


def test_a_training_killed_before_a_validation_goes_on_to_the_same_weights_and_scores(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", 40, (1, 9), as_it_is, *STEPS)
    measure = ValidationScores.on_validation_epoch_start

    def kill(self, trainer, module):
        if module.global_step == 4:
            raise Killed
        measure(self, trainer, module)

    monkeypatch.setattr(ValidationScores, "on_validation_epoch_start", kill)
    with pytest.raises(Killed):
        train(tmp_path / "cut", 40, (1, 9), as_it_is, *STEPS)
    cut = tmp_path / "cut/checkpoints/m"
    assert list(pd.read_csv(cut / "scores.csv")["step"]) == [2] and (cut / "step=4.ckpt").is_file()

    monkeypatch.setattr(ValidationScores, "on_validation_epoch_start", measure)
    (tmp_path / "cut/latents").rename(tmp_path / "latents")
    train(tmp_path / "cut", 40, (1, 9), as_it_is, *STEPS)
    assert (cut / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
    last = [torch.load(folder / "step=6.ckpt", weights_only=True) for folder in (whole, cut)]
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(last[0][part][name], last[1][part][name]) for name in last[0][part])
    pd.testing.assert_frame_equal(logged(tmp_path / "whole").drop(3), logged(tmp_path / "cut"))  # step 4's is lost


def test_what_is_logged_and_kept_is_what_the_checkpoint_of_that_step_retrieves(tmp_path, monkeypatch):
    """The checkpoint has the averaged weights: they, not the last step's, are what is measured."""
    measured = {}

    def measure(self, trainer, module):
        measured[module.global_step] = {name: value.clone() for name, value in module.state_dict().items()}

    monkeypatch.setattr(ValidationScores, "on_validation_epoch_start", measure)
    folder = train(tmp_path, 20, (1, 9), as_it_is, *STEPS)
    assert sorted(measured) == [2, 4, 6]
    for step, weights in measured.items():
        kept = saved.load_model(folder, step).state_dict()
        assert all(torch.equal(kept[name].cpu(), weights[name]) for name in kept)
