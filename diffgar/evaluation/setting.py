"""What a trained model is evaluated with: its stores, task and sampler, opened and checked in one place."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from diffgar import checkpoints
from diffgar.dataloading.latents import Store, TextStore
from diffgar.evaluation.queries import caption_rows, task_of, track_rows
from diffgar.evaluation.tasks import RetrievalTask


@dataclass
class Evaluation:
    """A model at a step, the sampler that makes its queries, and the task's stores."""

    model: torch.nn.Module
    step: int
    pair: DictConfig  # the encoder pair's config
    sampler: object
    num_frames: int
    audio: Store
    text: TextStore
    task: RetrievalTask

    @cached_property
    def rows(self) -> np.ndarray:
        """Where the task's captions stand in the text store, (Q,)."""
        return caption_rows(self.text, self.task)

    @cached_property
    def track_rows(self) -> np.ndarray:
        """Where the task's tracks stand in the audio store, (N,)."""
        return track_rows(self.audio, self.task)


def open_stores(cfg: DictConfig, dataset: str, pair: DictConfig) -> tuple[Store, TextStore]:
    """The stores of a dataset by an encoder pair; refused if missing, another pair's or damaged."""
    remedy = f"run extract_dataset.py data={dataset} encoder_pair={pair.name}"
    folder = Path(cfg.paths.latents) / dataset
    audio = Store(folder / pair.audio_name, remedy)
    audio.require(kind="audio", encoder=pair.audio_name, dim=pair.latent_dim)
    text = TextStore(folder / pair.text_name, remedy)
    text.require(kind="text", encoder=pair.text_name, dim=pair.text_dim)
    return audio.hold(), text.hold()


def open_evaluation(cfg: DictConfig, build) -> Evaluation:
    """Everything that `cfg` (model_name, model_step, task, sampler, evaluation, paths) asks for.

    build: makes an object of a config (hydra's instantiate).
    """
    folder = checkpoints.folder_of(cfg.paths.checkpoints, cfg.model_name)
    step = checkpoints.choose_step(folder, cfg.model_step)
    trained = OmegaConf.load(folder / "config.yaml")
    audio, text = open_stores(cfg, cfg.task.dataset, trained.encoder_pair)
    task = task_of(
        cfg.task.name,
        audio,
        text,
        cfg.task.split,
        cfg.task.protocol,
        cfg.task.where,
        cfg.evaluation.allow_missing,
    )
    changes = {name: value for name, value in cfg.sampler.items() if value is not None}
    sampler = build(OmegaConf.merge(trained, {"sampler": changes}).sampler)
    model = checkpoints.load_model(folder, step, build)
    return Evaluation(model, step, trained.encoder_pair, sampler, trained.num_frames, audio, text, task)
