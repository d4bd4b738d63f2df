"""What a model was trained on, kept in its folder: the encodings of its latents, and hashes of its tracks.

<folder>/latents.json   {"audio": …, "text": …}: `Card.encoding()` of the two training stores
<folder>/tracks.npz     uint64: `ids` of "<dataset>/<track_id>", `audio` of the stores' `_audio` where there is one,
                        `pairs` of both together
"""

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.checkpoints import CheckpointError
from diffgar.dataloading.batches import captioned_tracks
from diffgar.dataloading.store.card import Card, write_atomically
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore

log = logging.getLogger(__name__)


def save_identity(
    folder: Path, audio: Store, text: TextStore, split: str = "train", teacher: Path | None = None
) -> None:
    """Write what a model is trained on, when its training starts or resumes; what the folder has already is kept.

    teacher: the folder of the model that it starts from or learns from; that model's training tracks count as its own.
    """
    folder = Path(folder)
    encodings = {"audio": audio.card.encoding(), "text": text.card.encoding()}
    write_atomically(folder / "latents.json", json.dumps(encodings, indent=1).encode())
    rows = audio.rows.iloc[captioned_tracks(audio, text, split)[0]]
    names, contents = names_and_contents(audio.card.dataset, rows)
    known = {"ids": hashes(names), "audio": hashes(filter(None, contents)), "pairs": hashes(paired(names, contents))}
    for other in filter(None, (folder, teacher)):
        if (path := Path(other) / "tracks.npz").is_file():
            before = read_tracks(path)
            if other == folder and (added := len(np.setdiff1d(known["ids"], before["ids"]))):
                log.warning("%d training tracks were not there when the training of %s began", added, folder)
            known = {kind: np.union1d(mine, before[kind]) for kind, mine in known.items()}
    content = io.BytesIO()
    np.savez(content, ids=known["ids"], audio=known["audio"], pairs=known["pairs"])
    write_atomically(folder / "tracks.npz", content.getvalue())


def refuse_other_latents(folder: Path, audio: Card, text: Card, pair: str) -> None:
    """Raises CheckpointError where two stores were made otherwise than those that the folder's model was trained on.

    The message names the store, the first field that differs, both values and the way out. pair: the name of the
    model's encoder pair.
    """
    folder, path = Path(folder), Path(folder) / "latents.json"
    try:
        trained = json.loads(path.read_text(encoding="utf-8"))
        fields = {kind: dict(trained[kind]) for kind in ("audio", "text")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not there or damaged, so nothing says which latents {folder.name} was trained on (an earlier "
            "version kept no such file): copy the model's whole folder again, or train it again under another name"
        ) from error
    for kind, card in (("audio", audio), ("text", text)):
        found = card.encoding()
        for name, wanted in fields[kind].items():
            if found.get(name) != wanted:
                raise CheckpointError(
                    f"model {folder.name} was trained on {kind} latents of {name} {wanted!r}, but those of "
                    f"{card.dataset} have {name} {found.get(name)!r}; {remedy(folder, card, pair)}"
                )


def refuse_changed_tracks(folder: Path, audio: Store) -> None:
    """Compare the training tracks of the folder's model that a store has with those that it was trained on.

    Warns of those whose content has changed. Raises CheckpointError where the latents were imported, not encoded, and
    most of them have changed: they were computed anew, and no card says so.
    """
    path = Path(folder) / "tracks.npz"
    if not path.is_file():
        return
    known, card = read_tracks(path), audio.card
    names, contents = names_and_contents(card.dataset, audio.rows)
    unknown = np.isin(hashes(paired(names, [""] * len(names))), known["pairs"])  # it was trained on them without a hash
    here = np.isin(hashes(names), known["ids"]) & (np.array(contents) != "") & ~unknown
    changed = np.flatnonzero(here & ~np.isin(hashes(paired(names, contents)), known["pairs"]))
    if not len(changed) or not len(known["pairs"]):
        return
    text = f"{len(changed)} of the {here.sum()} tracks of {audio.folder} that model {Path(folder).name} was trained on"
    if card.layer == "given" and 2 * len(changed) > here.sum():
        raise CheckpointError(
            f"{text} have other latents now, the first {names[changed[0]]!r}: they were computed anew; put back those "
            "that it was trained on, or train a model on these; encoder_pair.version keeps latents of one name apart"
        )
    log.warning("%s hold something else now, the first %r", text, names[changed[0]])


def remedy(folder: Path, card: Card, pair: str) -> str:
    """The command that makes a store as the model's own was made."""
    return (
        f"delete that store and run extract_dataset.py data={card.dataset} encoder_pair={pair} with the settings of "
        f"encoder_pair in {folder / 'config.yaml'}, or train a model on these latents"
    )


def seen_tracks(folder: Path, dataset: str, track_ids: Sequence[str], audio_hashes: Sequence[str] | None = None) -> int:
    """How many of these tracks the folder's model was trained on, by id or by audio.

    track_ids: ids in `dataset`; those of a mix name their dataset themselves. audio_hashes: the column `_audio`, if the
    store has it. Raises CheckpointError where the folder does not say.
    """
    path = Path(folder) / "tracks.npz"
    if not path.is_file():
        raise CheckpointError(
            f"{path} is not there, so nothing says which tracks {Path(folder).name} was trained on; copy the model's "
            "whole folder again, or train it again under another name"
        )
    known = read_tracks(path)
    seen = np.isin(hashes(f"{dataset}/{each}" for each in track_ids), known["ids"])
    seen |= np.isin(hashes(track_ids), known["ids"])
    if audio_hashes is not None:
        seen |= pd.notna(np.asarray(audio_hashes)) & np.isin(hashes(map(str, audio_hashes)), known["audio"])
    return int(seen.sum())


def names_and_contents(dataset: str, rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The "<dataset>/<track_id>" of each row of an audio store, and the hash of its audio, "" where there is none."""
    names = rows["row_id"] if "_dataset" in rows else dataset + "/" + rows["row_id"]  # a mix's have it
    contents = rows["_audio"].fillna("").map(str) if "_audio" in rows else [""] * len(rows)
    return list(names), list(contents)


def paired(names: Iterable[str], contents: Iterable[str]) -> Iterable[str]:
    """Each track's name joined with the hash of its audio, as one word to hash."""
    return (f"{name}\t{content}" for name, content in zip(names, contents, strict=True))


def read_tracks(path: Path) -> dict[str, np.ndarray]:
    """The hashes of a tracks.npz by kind; empty for a kind that an earlier version did not write."""
    with np.load(path) as content:
        return {kind: content.get(kind, np.array([], dtype=np.uint64)) for kind in ("ids", "audio", "pairs")}


def hashes(words: Iterable[str]) -> np.ndarray:
    """A uint64 for each of the words, the same on every machine."""
    digests = [hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
