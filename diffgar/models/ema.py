"""The exponential moving average of the weights, which validation and evaluation use."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from diffgar.errors import InputError
from diffgar.values import is_number, number


class WarmedUpEMA(WeightAveraging):
    """After every optimiser step n, from 0: average ← d · average + (1 − d) · weights, d = min(decay, (1+n) / (w+n)).

    The warm-up is that of TensorFlow's ExponentialMovingAverage, where w is 10: with a constant decay of 0.9999 the
    random start would weigh 82 % of the average at step 2,000. With the warm-up the average spans about a ninth of the
    steps so far, until `decay` limits it; with a `warmup` w of 2 it is the plain mean of all steps until then, which
    suits short trainings. n is the averaged model's own count of updates, which a checkpoint holds.
    """

    def __init__(self, decay: float = 0.9999, warmup: float = 10):
        if not is_number(decay) or not 0 <= decay < 1:
            raise InputError(
                f"ema_decay is {decay!r}; set it to a number from 0 to below 1, such as 0.9999; 0 is no EMA"
            )
        number("ema_warmup", warmup, 1)
        super().__init__()
        self.decay, self.warmup = decay, warmup

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the average on the device of the training; Lightning moves the module there only after this."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            average = self._average_model
            average.n_averaged = average.n_averaged.cpu()  # read at every step, without waiting for the device

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Average if this batch ended an optimiser step; with accumulation most batches do not."""
        if trainer.global_step > self._latest_update_step:
            self._latest_update_step = trainer.global_step
            self.update(pl_module)

    @torch.no_grad()
    def update(self, model: LightningModule) -> None:
        """Move the average towards the model's weights; buffers are copied."""
        average = self._average_model
        assert average is not None  # `setup` made it
        n = int(average.n_averaged)
        pairs = [list(part.parameters()) for part in (average.module, model)]
        get_ema_multi_avg_fn(min(self.decay, (1 + n) / (self.warmup + n)))(*pairs, None)
        for buffer, current in zip(average.module.buffers(), model.buffers(), strict=True):
            buffer.copy_(current)
        average.n_averaged += 1
