"""Synthetic stores of the size of the paper's training set, or of a share of it: real shapes, random latents.

251,000 tracks of 12,500 hours with a caption each, in the split `train`, and 2 % as many in `validation` beside them.
CLAP's latents have 512 dimensions, one a second; a caption has 8 to 77 token states of Flan-T5-base.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.moments import Moments
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.extraction.stores import EMPTY, TEXT_SHARD

TRACKS, HOURS, VALIDATION = 251_000, 12_500, 0.02
DATASET, AUDIO, TEXT = "private_caps", "clap_htsat_base", "flan_t5_base"
WORDS = ["calm", "piano", "with", "warm", "strings", "and", "soft", "drums", "in", "minor", "for", "late", "nights"]
POOL = 4096  # random frames that all rows are cut out of


def write_stores(folder: Path, percent: float, dense: bool) -> None:
    """Write `folder`/private_caps/clap_htsat_base and flan_t5_base, with `percent` of the tracks and captions.

    dense: all frames are random, and the stores' own writer writes them. Otherwise only the first frame of each row is
    written and the rest are holes of the file, which read as zeros: all tracks then take 2 GB of disk in place of 63.
    """
    write = with_writer if dense else with_holes
    tracks, captions, seconds, tokens = tables(percent)
    about = {"dataset": DATASET, "checkpoint_hash": "random", "frontend_version": 1}
    audio = {"layer": "projection", "dim": 512, "sample_rate": 48_000, "window_seconds": 10.0, "hop_seconds": 1.0}
    text = {"layer": "last_hidden_state", "dim": 768, "max_tokens": 77, "shard_size": TEXT_SHARD}
    write(folder / DATASET / AUDIO, Card(kind="audio", encoder=AUDIO, **about, **audio), tracks, seconds)
    write(folder / DATASET / TEXT, Card(kind="text", encoder=TEXT, **about, **text), captions, tokens)


def tables(percent: float) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """The tables of tracks and captions (the empty one first), seconds per track and tokens per caption."""
    random, train = np.random.default_rng(0), round(TRACKS * percent / 100)
    count = train + max(1, round(VALIDATION * train))
    mean = 3600 * HOURS / TRACKS
    seconds = random.gamma(9, mean / 9, count).round().clip(10).astype(int)  # 179 ± 60 s
    tokens = random.integers(8, 77, count, endpoint=True)
    ids = [f"track-{number:07d}" for number in range(count)]
    splits = ["train"] * train + ["validation"] * (count - train)
    tracks = pd.DataFrame({"row_id": ids, "track_id": ids, "path": [f"{each}.flac" for each in ids], "split": splits})
    texts = [caption_of(number, length) for number, length in enumerate(tokens)]
    own = pd.DataFrame({"row_id": ids, "caption_id": ids, "track_id": ids, "caption": texts, "split": splits})
    empty = dict.fromkeys(own, "") | {"row_id": EMPTY, "caption_id": EMPTY}
    captions = pd.concat([pd.DataFrame([empty]), own], ignore_index=True)
    return tracks, captions, seconds, np.array([1, *tokens])


def caption_of(number: int, tokens: int) -> str:
    """Words for about as many tokens, others than those of the captions before."""
    return " ".join([str(number), *(WORDS[(number + place) % len(WORDS)] for place in range(3 * tokens // 4))])


def with_writer(folder: Path, card: Card, plan: pd.DataFrame, lengths: np.ndarray) -> None:
    """Write a store as an extraction does: shard by shard, then joined."""
    ids, frames = list(plan["row_id"]), random_frames(card.dim)
    writer = StoreWriter(folder, card, plan)
    for shard in writer.pending():
        starts = {row: row * 37 % (POOL - lengths[row]) for row in writer.rows_of(shard)}
        writer.write_shard(shard, {ids[row]: frames[start : start + lengths[row]] for row, start in starts.items()})
    writer.finish()


def with_holes(folder: Path, card: Card, plan: pd.DataFrame, lengths: np.ndarray) -> None:
    """Write a store of which only the first frame of each row has bytes; it has no checksums."""
    folder.mkdir(parents=True)
    frames = random_frames(card.dim)
    offsets, half = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), frames.astype(np.float16)
    with (folder / "frames.f16").open("wb") as out:
        out.truncate(int(offsets[-1]) * half[0].nbytes)
        for row, start in enumerate(offsets[:-1].tolist()):
            out.seek(start * half[0].nbytes)
            out.write(half[row % POOL].tobytes())
    np.save(folder / "offsets.npy", offsets)
    plan.to_parquet(folder / "rows.parquet")
    moments = Moments(card.dim)
    moments.add(frames)
    card.mean, card.std = moments.result()
    card.num_rows, card.num_frames = len(plan), int(offsets[-1])
    card.files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    card.save(folder)


def random_frames(dim: int) -> np.ndarray:
    """POOL random frames (POOL, dim) float32, always the same."""
    return np.random.default_rng(0).standard_normal((POOL, dim), dtype=np.float32)
