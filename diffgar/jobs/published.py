"""A published model, saved and opened: `config.json`, `model.safetensors`, `phrases.json` and a model card.

Nothing in them is pickled, and nothing of the machine that trained it is in them.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import OTHER_VERSION, CheckpointError, is_trained
from diffgar.commandline import CONFIG_ROOT
from diffgar.dataloading.store.card import write_atomically
from diffgar.evaluation.reports.versions import versions
from diffgar.jobs.building import as_it_resolves, build, composed, plain
from diffgar.jobs.opened import Opened, open_trained, stores_of
from diffgar.jobs.portable import NEEDED, portable, value_at
from diffgar.jobs.saved import model_of
from diffgar.jobs.trusted import foreign_packages, refuse_references, refuse_untrusted
from diffgar.models.encoders.pretrained.hub import is_hub_name
from diffgar.publishing.card import PLACE, Facts, card_of
from diffgar.publishing.encoders import Encoder, encoder_of, licence_of
from diffgar.publishing.files import AGAIN, as_json, as_safetensors, read_counts, read_json, read_tensors, sha256
from diffgar.publishing.hub import FILES, HubError, download, upload
from diffgar.publishing.results import results_of

log = logging.getLogger(__name__)
FORMAT = 1
CONFIG, WEIGHTS, PHRASES, CARD = FILES


def save_published(opened: Opened, folder: Path, license: str | None = None, results: Path | None = None) -> Path:
    """Write a model into a folder as it is published; returns the folder.

    license, results: what a new card says, see `Retriever.save_pretrained`. An existing card is kept.
    Raises CheckpointError for a folder with a training.
    """
    if is_trained(folder):
        raise CheckpointError(f"{folder} holds a training; publish into a folder of its own: {folder}_published")
    config = portable(opened.config)
    usual = config.copy()
    usual.paths = OmegaConf.load(CONFIG_ROOT / "paths" / "default.yaml")
    refuse_references(usual, opened.name)
    weights = as_safetensors(opened.model.state_dict())
    content = {"format": FORMAT, "model_name": opened.name, "step": opened.step, "sha256": sha256(weights)}
    content |= {"latents": opened.latents, "versions": versions(), "config": OmegaConf.to_container(config)}
    card = opened.card or new_card(opened, usual, license, results)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / PHRASES, as_json(opened.training_phrases))
    if (folder / CARD).is_file() and (folder / CARD).read_text(encoding="utf-8") != card:
        log.warning("%s was there and is kept as it is; delete it for a new card", folder / CARD)
    else:
        write_atomically(folder / CARD, card.encode())
    write_atomically(folder / CONFIG, as_json(content))  # last: it has the checksum of the weights
    return folder


def push(opened: Opened, repo: str, private: bool | None, token: str | bool | None, license: str | None = None) -> str:
    """Publish a model on the hub, with its own name there in its card; returns the URL. Raises HubError."""
    if "/" not in repo:
        raise HubError(f"{repo!r} is no name of a model on the hub: write owner/model")
    with TemporaryDirectory() as folder:
        saved = save_published(opened, Path(folder), license)
        card = (saved / CARD).read_text(encoding="utf-8")
        (saved / CARD).write_text(card.replace(PLACE, repo), encoding="utf-8")
        return upload(saved, repo, private, token)


def open_published(folder: Path, allow: Sequence[str] = (), step: int | str = "best") -> Opened:
    """The model of a published folder. allow: packages whose classes may be built beside ours.

    Raises CheckpointError for a folder that is damaged or of another version, and for a config that may not be built.
    """
    path = folder / CONFIG
    content = read_settings(path)
    if step not in ("best", "last", content["step"]):
        raise CheckpointError(f"{folder}: no step {step}; a published model has one, here {content['step']}")
    config = OmegaConf.create(content["config"])
    config.paths = plain(composed("extract_dataset").paths)  # the reader's own, whatever they refer to
    refuse_untrusted(config, (allow,) if isinstance(allow, str) else allow, path)
    weights, phrases = read_tensors(folder / WEIGHTS, content["sha256"]), read_counts(folder / PHRASES)
    model = model_of(config, weights, folder / WEIGHTS)
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else None
    name, sampler, stores = str(content["model_name"]), build(config.sampler), stores_of(config)
    return Opened(name, content["step"], model, sampler, content["latents"], stores, config, phrases, card)


def open_named(
    name: str | Path, step: int | str, allow: Sequence[str], revision: str | None, token: str | bool | None
) -> Opened:
    """The model of a training folder, of a published one, or of the hub. Raises CheckpointError where it is none."""
    folder = Path(name).expanduser()
    if is_trained(folder):
        return open_trained(folder, step)
    if downloaded := may_be_the_hubs(str(name)):
        folder = download(str(name), revision, token)
    if (folder / CONFIG).is_file():
        return open_published(folder, allow, step)
    where = "on the hub under this name" if downloaded else "in this folder"
    seen = "" if downloaded or folder.is_absolute() else f" (seen from {Path.cwd()})"
    raise CheckpointError(f"{name}: no trained model {where}; train one with train_ldm.py, or name another{seen}")


def may_be_the_hubs(name: str) -> bool:
    """Whether a name is one that the hub may have, such as user/model: not that of a folder here, or in one."""
    folder = Path(name).expanduser()
    if folder.parts[:1] == (
        "checkpoints",
    ):  # where this project keeps models: seen from another folder, it is not here
        return False
    return "/" in name and is_hub_name(name) and not folder.exists() and not folder.parent.is_dir()


def new_card(opened: Opened, config: DictConfig, license: str | None, results: Path | None) -> str:
    """The model card of a model. config: the published one, with paths."""
    root = Path(str(opened.config.paths.results)) if results is None else results
    found = results_of(root, opened.name, opened.step, as_it_resolves(opened.config))
    audio, text = (encoder(config, kind) for kind in ("audio", "text"))
    facts = Facts(
        name=opened.name,
        step=opened.step,
        kind=opened.model.row,
        dataset=str(config.data.name),
        num_captions=len(opened.training_captions) or None,
        num_parameters=sum(parameter.numel() for parameter in opened.model.parameters()),
        num_frames=opened.model.num_frames,
        hop_seconds=config.encoder_pair.hop_seconds,
        joint=opened.joint,
        sampled=opened.model.sampled,
        sampler=opened.sampler.describe(),
        audio=audio,
        text=text,
        license=license or licence_of([audio, text]),
        packages=foreign_packages(config, opened.name),
        versions=versions(),
    )
    return card_of(facts, found)


def encoder(config: DictConfig, kind: str) -> Encoder:
    """What the card says of the audio or the text encoder of a config."""
    part = config.encoder_pair[f"{kind}_encoder"]
    return encoder_of(str(part.get("_target_")), part.get("weights"))


def read_settings(path: Path) -> dict[str, Any]:
    """What a config.json holds. Raises CheckpointError for one of another format, or with a part missing."""
    content = read_json(path)
    if content.get("format") != FORMAT:
        found = content.get("format")
        raise CheckpointError(f"{path} has format {found!r}, this version reads {FORMAT}; {OTHER_VERSION}")
    parts = ("model_name", "step", "sha256", "latents.audio", "latents.text", *(f"config.{key}" for key in NEEDED))
    if missing := [key for key in parts if value_at(content, key) is None]:
        raise CheckpointError(f"{path} has no {missing[0]}; {AGAIN}")
    return content
