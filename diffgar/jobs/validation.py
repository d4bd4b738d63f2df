"""Retrieval on the validation split while a model trains: it is logged, kept in `scores.csv`, and chooses the step."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from diffgar import checkpoints, scores
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.evaluation.validation import ValidationRetrieval
from diffgar.jobs import saved
from diffgar.jobs.building import build

log = logging.getLogger(__name__)


class ValidationScores(Callback):
    """Measures retrieval at every validation, logs it as `val/<metric>`, and keeps it beside the step's checkpoint.

    retrieve: the metrics (%) of a model, "R@10" among them, from the model, the rank of this process and the number of
    processes, see `ValidationRetrieval`. folder: the model's, which has the `scores.csv`.
    In the Trainer's list it stands behind the callback that averages weights: that one puts the averaged weights in
    place when a validation starts, and they are what is measured.
    """

    def __init__(self, retrieve: Callable[[Any, int, int], dict[str, float]], folder: Path):
        self.retrieve, self.folder = retrieve, folder

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Measure now: before the epoch ends the averaged weights are gone again."""
        metrics = self.retrieve(module, trainer.global_rank, trainer.world_size)
        if trainer.is_global_zero:
            scores.record_score(self.folder, module.global_step, metrics)
        module.log_dict({f"val/{name}": value for name, value in metrics.items()}, prog_bar=True, sync_dist=True)


def validation_retrieval(cfg: DictConfig, datamodule: LatentDataModule) -> ValidationRetrieval | None:
    """Retrieval on the validation split by the sampler of `cfg.validation`; None where there is no such split."""
    say = rank_zero_only(log.warning)
    if len(datamodule.tracks("validation")) == 0:
        say("%s has no validation track with a caption: the best step is the last one", datamodule.audio.folder)
        return None
    sampler = build(OmegaConf.merge(cfg, {"sampler": cfg.validation}).sampler)
    retrieve = ValidationRetrieval(datamodule.audio, datamodule.text, sampler)
    for note in retrieve.notes:
        say(note)
    return retrieve


def score_the_rest(folder: Path, retrieve: ValidationRetrieval) -> None:
    """Score the steps whose training was killed between the checkpoint and its validation."""
    for step in checkpoints.unscored(folder):
        scores.record_score(folder, step, retrieve(saved.load_model(folder, step)))
