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

    name: str
    model: torch.nn.Module
    step: int
    trained: DictConfig  # the config that it was trained with
    sampler: object
    num_frames: int
    audio: Store
    text: TextStore
    task: RetrievalTask

    @property
    def pair(self) -> DictConfig:
        return self.trained.encoder_pair

    @cached_property
    def rows(self) -> np.ndarray:
        """Where the task's captions stand in the text store, (Q,)."""
        return caption_rows(self.text, self.task)

    @cached_property
    def track_rows(self) -> np.ndarray:
        """Where the task's tracks stand in the audio store, (N,)."""
        return track_rows(self.audio, self.task)


def open_stores(cfg: DictConfig, dataset: str, pair: DictConfig) -> tuple[Store, TextStore]:
    """The stores of a dataset by an encoder pair; refused if missing, another pair's or damaged.

    Where the pair is not joint, the captions' embeddings lie in another space than the tracks: they are left out.
    """
    remedy = f"run extract_dataset.py data={dataset} encoder_pair={pair.name}"
    folder = Path(cfg.paths.latents) / dataset
    audio = Store(folder / pair.audio_name, remedy)
    audio.require(kind="audio", encoder=pair.audio_name, dim=pair.latent_dim)
    text = TextStore(folder / pair.text_name, remedy)
    text.require(kind="text", encoder=pair.text_name, dim=pair.text_dim)
    if not pair.joint:
        text.embeddings = None
    return audio.hold(), text.hold()


def open_evaluation(cfg: DictConfig, model_name: str, build) -> Evaluation:
    """Everything that `cfg` (model_step, task, sampler, evaluation, paths) asks for, of one model.

    A baseline beside the model is taken at its best step, with the sampler that it was trained with.

    build: makes an object of a config (hydra's instantiate).
    """
    folder, asked = checkpoints.folder_of(cfg.paths.checkpoints, model_name), model_name == cfg.model_name
    step = checkpoints.choose_step(folder, cfg.model_step if asked else "best")
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
    changes = {name: value for name, value in cfg.sampler.items() if asked and value is not None}
    sampler = build(OmegaConf.merge(trained, {"sampler": changes}).sampler)
    model = checkpoints.load_model(folder, step, build)
    return Evaluation(model_name, model, step, trained, sampler, model.num_frames, audio, text, task)


def steps_to_evaluate(cfg: DictConfig) -> list[DictConfig]:
    """The config itself, or with `model_step: all` one for each step of the model."""
    if cfg.model_step != "all":
        return [cfg]
    steps = checkpoints.steps_of(checkpoints.folder_of(cfg.paths.checkpoints, cfg.model_name))
    return [OmegaConf.merge(cfg, {"model_step": step}) for step in steps]
