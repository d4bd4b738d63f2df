"""Stores of latents that a small model learns in a few steps, for the benchmarks that train one."""

from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.writer import StoreWriter


def make_stores(folder: Path, dim: int, text_dim: int, num_frames: int) -> None:
    """An audio and a text store of 96 tracks with a caption each, whose latents follow from the caption's states."""
    random = np.random.default_rng(0)
    ids = [f"t{number}" for number in range(96)]
    tracks = pd.DataFrame({"row_id": ids, "track_id": ids, "split": "train", "caption": ids, "caption_id": ids})
    null = pd.DataFrame([dict.fromkeys(tracks, "")])
    states = {row_id: random.normal(size=(8, text_dim)) for row_id in ["", *ids]}
    shown = random.normal(size=(text_dim, dim)) / 4
    latents = {row_id: np.repeat(states[row_id].mean(axis=0, keepdims=True) @ shown, num_frames, 0) for row_id in ids}
    about = {"dataset": "toy", "checkpoint_hash": "0", "frontend_version": 1, "layer": "last", "shard_size": 64}
    for kind, plan, content, width in (
        ("audio", tracks, latents, dim),
        ("text", pd.concat([null, tracks], ignore_index=True), states, text_dim),
    ):
        writer = StoreWriter(folder / kind, Card(kind=kind, encoder=f"toy_{kind}", dim=width, **about), plan)
        for shard in writer.pending():
            rows = [plan["row_id"][row] for row in writer.rows_of(shard)]
            writer.write_shard(shard, {row_id: content[row_id] for row_id in rows})
        writer.finish()
