"""The averaged weights: their formula, their warm-up, and that a checkpoint goes on where it stopped."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from diffgar.errors import InputError
from diffgar.models.ema import WarmedUpEMA


class Moving(pl.LightningModule):
    """Its weight moves by 1 in a step, from 0."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.register_buffer("frames", torch.tensor(7))

    def training_step(self, batch, batch_idx):
        return -self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(folder, num_steps, decay=0.9999, resume=None, accumulate=1, warmup=10):
    """The raw and the averaged weights after so many steps, and the checkpoint."""
    saving = ModelCheckpoint(folder, "{step}", every_n_train_steps=num_steps, save_top_k=-1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(
        **quiet,
        max_steps=num_steps,
        max_epochs=-1,
        callbacks=[saving, WarmedUpEMA(decay, warmup)],
        accumulate_grad_batches=accumulate,
    )
    trainer.fit(Moving(), torch.utils.data.DataLoader(torch.zeros(500, 1)), ckpt_path=resume)
    found = torch.load(folder / f"step={num_steps}.ckpt", weights_only=True)
    return found["current_model_state"]["weight"], found["state_dict"]["weight"], found


def expected(num_steps, decay, warmup=10):
    average = 0.0
    for n in range(num_steps):
        now = min(decay, (1 + n) / (warmup + n))
        average = now * average + (1 - now) * (n + 1)
    return torch.full((3,), average)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9999])
def test_the_average_is_the_formula_written_out(tmp_path, decay):
    weights, average, found = fit(tmp_path, 40, decay)
    torch.testing.assert_close(weights, torch.full((3,), 40.0))
    torch.testing.assert_close(average, expected(40, decay))
    assert found["averaging_state"]["n_averaged"] == 40
    assert found["state_dict"]["frames"] == 7 and found["state_dict"]["frames"].dtype == torch.int64


def test_a_short_training_is_in_its_averaged_weights(tmp_path):
    weights, average, _ = fit(tmp_path, 60)
    assert (average > 0.85 * weights).all()


def test_an_interrupted_training_averages_as_an_uninterrupted_one(tmp_path):
    whole = fit(tmp_path / "whole", 50)[:2]
    fit(tmp_path / "cut", 20)
    cut = fit(tmp_path / "cut", 50, resume=tmp_path / "cut/step=20.ckpt")[:2]
    assert all(torch.equal(*pair) for pair in zip(whole, cut, strict=True))


def test_it_averages_once_an_optimiser_step_however_many_batches_that_takes(tmp_path):
    _, average, found = fit(tmp_path, 10, decay=0.5, accumulate=3)
    assert found["averaging_state"]["n_averaged"] == 10
    torch.testing.assert_close(average, expected(10, 0.5))


def test_with_a_warmup_of_two_the_average_is_the_mean_of_all_steps_until_its_decay(tmp_path):
    _, average, _ = fit(tmp_path, 40, 0.9999, warmup=2)
    torch.testing.assert_close(average, expected(40, 0.9999, warmup=2))


@pytest.mark.parametrize("decay", [1.0, -0.1, 2, "0.9", None, True])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(InputError, match="ema_decay is .*; set it to a number from 0 to below 1"):
        WarmedUpEMA(decay)
