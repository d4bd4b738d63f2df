"""From a folder of audio, a dataset's YAML or a latent store to a store that a model can search."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.extraction.batches import Options
from diffgar.extraction.stores import audio_card, extract_audio
from diffgar.jobs.opened import Opened, open_dataset
from diffgar.search.errors import SearchError
from diffgar.search.folder import read_folder
from diffgar.search.places import store_of

Captions = dict[str, list[str]]
ANY = 2**31  # files that may be unreadable: they are left out, listed and counted
OPTIONS = Options(shard_size=64, max_failures=ANY)  # a kill loses at most 64 tracks


def open_source(opened: Opened, source: Path, root: Path | None, options: Options) -> tuple[Store, Captions]:
    """The audio store of a source, brought up to date where that is a folder or a YAML, and its tracks' captions.

    root: where the latents of a folder go, by default `places.libraries()`. Raises SearchError for what is none of
    the three.
    """
    source = source.expanduser().absolute()
    if (source / "card.json").is_file():
        return Store(source), captions_beside(source)
    if source.suffix in (".yaml", ".yml") and source.is_file():
        dataset, stores = open_dataset(source)
        folder = stores / opened.config.encoder_pair.audio_name
        return extracted(opened, dataset, folder, options), captions_of(dataset.captions)
    dataset, whole = read_folder(source)
    name = opened.audio_encoder.name
    wanted = encoding_of(opened, dataset.name, options)
    folder = store_of(source, name, wanted, root)
    forget_mendable_failures(folder)
    return extracted(opened, dataset, folder, replace(options, prune=whole)), {}  # a closed folder's latents are kept


def forget_mendable_failures(folder: Path) -> None:
    """Have the files tried again that were left out for want of a permission, or of PyAV where it is installed now.

    A store without its list of failures tries all of them again.
    """
    path = folder / "skipped.csv"
    may_change = ["permission denied"] + ["PyAV"] * (find_spec("av") is not None)  # in the reason of a failure
    if path.is_file() and any(reason in path.read_text(encoding="utf-8") for reason in may_change):
        path.unlink()


def extracted(opened: Opened, dataset: Dataset, folder: Path, options: Options) -> Store:
    """The audio store of a dataset, new and changed tracks encoded; an interrupted run is resumed."""
    if not extract_audio(dataset, opened.audio_encoder, folder, opened.hop_seconds, options):
        raise SearchError(f"{folder} is being made by another process; run again when that has finished")
    return Store(folder)


def encoding_of(opened: Opened, name: str, options: Options) -> dict:
    """What the card of a store that is extracted now would say of its latents."""
    return audio_card(name, opened.audio_encoder, opened.hop_seconds, options).encoding()


def captions_of(table: pd.DataFrame) -> Captions:
    """Track id → its captions, of a table with the columns `track_id` and `caption`."""
    return {str(track_id): list(group) for track_id, group in table.groupby("track_id", sort=False)["caption"]}


def captions_beside(store: Path) -> Captions:
    """The captions of the text stores that lie beside an audio store of the same dataset; {} without any."""
    dataset = Card.load(store).dataset
    for folder in sorted(store.parent.iterdir()):
        if (folder / "card.json").is_file() and (folder / "rows.parquet").is_file():
            card = Card.load(folder)
            if card.kind == "text" and card.dataset == dataset:
                rows = pd.read_parquet(folder / "rows.parquet", columns=["track_id", "caption"])
                return captions_of(rows[rows["track_id"] != ""])
    return {}


def check_latents(found: Mapping[str, object], wanted: Mapping[str, object], folder: Path, model: str) -> None:
    """Raises SearchError where a store's encoding is not the one that a model was trained on, naming what differs."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise SearchError(
                f"{folder} holds latents of {name} {found.get(name)!r}, and {model} was trained on {name} {value!r}; "
                "index the audio with this model, or search with the model that the store was made for"
            )
