"""A trained model that is ready to search: from its training folder, with its sampler and its encoders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import CheckpointError, choose_step
from diffgar.jobs.building import build, composed, plain, read_config
from diffgar.jobs.saved import load_model
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.encoders.base import AudioEncoder, TextEncoder
from diffgar.models.ldm import LatentDiffusion
from diffgar.search.negatives import count_phrases, usual


@dataclass
class Opened:
    """A trained model and what it was trained with.

    latents: `Card.encoding()` of the stores it was trained on, by "audio" and "text"; it works with no others.
    stores: the folders where those stores lay, which need not be there any more. The encoders are built when they are
    first used: a model that searches a finished library never loads its audio encoder.
    phrases: phrase → how many times the training captions have it. card: the model card. Both: of a published model.
    """

    name: str
    step: int
    model: LatentDiffusion | ContrastiveHeads
    sampler: Sampler
    latents: Mapping[str, Mapping[str, Any]]
    stores: Mapping[str, Path]
    config: DictConfig
    phrases: Mapping[str, int] | None = None
    card: str | None = None

    @property
    def pair(self) -> str:
        """The name of the encoder pair."""
        return str(self.config.encoder_pair.name)

    @property
    def takes_whole(self) -> bool:
        """Whether its frames are the means of equal parts of whole tracks (`datamodule.frames=whole`), and no crop."""
        return OmegaConf.select(self.config, "datamodule.frames") == "whole"

    @property
    def joint(self) -> bool:
        """Whether captions and tracks have embeddings in one space."""
        return bool(self.config.encoder_pair.joint)

    @property
    def hop_seconds(self) -> float:
        """The time from one frame of latents to the next."""
        return float(self.config.encoder_pair.hop_seconds)

    @cached_property
    def training_captions(self) -> list[str]:
        """The captions that it was trained on, while their store is there; else none."""
        path = self.stores["text"] / "rows.parquet"
        if not path.is_file():
            return []
        rows = pd.read_parquet(path, columns=["caption", "split"])
        return list(rows["caption"][rows["split"] == "train"])

    @cached_property
    def training_phrases(self) -> Mapping[str, int]:
        """How often the captions that it was trained on say each of their usual phrases; {} where nothing tells."""
        return usual(count_phrases(self.training_captions)) if self.phrases is None else self.phrases

    @cached_property
    def device(self) -> torch.device:
        """Where the model is, and where its encoders are put."""
        return next(self.model.parameters()).device

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, in eval mode. Raises WeightsError where its weights are not there."""
        return build(self.config.encoder_pair.text_encoder).eval().to(self.device)

    @cached_property
    def audio_encoder(self) -> AudioEncoder:
        """The audio encoder, in eval mode. Raises WeightsError where its weights are not there."""
        return build(self.config.encoder_pair.audio_encoder).eval().to(self.device)


def open_trained(folder: Path, step: int | str = "best") -> Opened:
    """The model of a training folder at a step: a number, `best` or `last`. Raises CheckpointError as `load_model`."""
    config, step = read_config(folder / "config.yaml"), choose_step(folder, step)
    try:
        latents = json.loads((folder / "latents.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder / 'latents.json'} is not there or damaged, so nothing says which latents {folder.name} searches; "
            "copy the model's whole folder again, or train it again"
        ) from error
    model = load_model(folder, step)
    return Opened(folder.name, step, model, build(config.sampler), latents, stores_of(config), config)


def stores_of(config: DictConfig) -> dict[str, Path]:
    """Where the audio and the text store of a training lie; relative paths start at the working directory."""
    pair, root = config.encoder_pair, Path(config.paths.latents) / str(config.data.name)
    return {"audio": root / pair.audio_name, "text": root / pair.text_name}


def open_dataset(path: Path) -> tuple[Any, Path]:
    """The dataset that a YAML of config/data, or one of the same form elsewhere, describes, and the root of its stores.

    Interpolations of `paths` are those of the command line: GDR_DATA and the local roots count.
    """
    usual = composed("extract_dataset")
    cfg = OmegaConf.create({"paths": usual.paths, "data": OmegaConf.load(path)})
    dataset = build(cfg.data)
    return dataset, Path(plain(cfg.paths.latents)) / dataset.name
