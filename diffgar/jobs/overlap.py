"""The job of eval_fidelity.py with `overlap=datasets`: which tracks two datasets share, by their latents."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.evaluation.overlap import OverlapOptions, Pair, compared_pairs, overlapping
from diffgar.jobs.building import build

IDENTITY = ("encoder", "checkpoint_hash", "frontend_version", "layer", "dim", "window_seconds", "hop_seconds")
SHOWN = 20
QUANTILES = (50, 90, 99, 100)


def run(cfg: DictConfig) -> Path:
    """Compare two datasets, or one with itself, print the pairs and write them all; returns the path of the JSON."""
    asked, options = cfg.overlap, build(cfg.overlap.options)
    first, second = (open_audio(cfg, name) for name in (asked.first, asked.second))
    refuse_other_encoder(first, second)
    pairs = compared_pairs(first, second, options)
    content = told(pairs, options, first, second)
    path = Path(cfg.paths.results) / "tables" / f"overlap-{asked.first}-{asked.second}-{asked.latents}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show(content, str(asked.first), str(asked.second))
    print(f"JSON    {path}")
    return path


def open_audio(cfg: DictConfig, dataset: str) -> Store:
    """The audio store of a dataset."""
    folder = Path(cfg.paths.latents) / str(dataset) / str(cfg.overlap.latents)
    return Store(folder, f"run extract_dataset.py data={dataset}, or correct overlap.latents")


def refuse_other_encoder(first: Store, second: Store) -> None:
    """Raises StoreError where two stores are not of one encoder at one hop: their latents do not compare."""
    for name in IDENTITY:
        ours, theirs = getattr(first.card, name), getattr(second.card, name)
        if ours != theirs:
            raise StoreError(
                f"{first.folder} has {name} {ours!r} and {second.folder} has {theirs!r}: extract both with one encoder"
            )


def told(pairs: list[Pair], options: OverlapOptions, first: Store, second: Store) -> dict[str, Any]:
    """What the JSON says: the pairs, how they were looked for, and how similar all that were compared are."""
    similarities = [pair.similarity for pair in pairs]
    return {
        "options": asdict(options),
        "stores": [str(first.folder), str(second.folder)],
        "num_tracks": [len(first), len(second)],
        "num_compared": len(pairs),
        "similarity_of_compared": {f"p{q}": float(np.percentile(similarities, q)) for q in QUANTILES if similarities},
        "pairs": [as_read(pair, first, second) for pair in overlapping(pairs, options)],
    }


def as_read(pair: Pair, first: Store, second: Store) -> dict[str, Any]:
    """A pair by ids, splits and seconds: the music comes `offset_s` later in the second track than in the first."""
    hop = first.card.hop_seconds or 1
    sides = {"first": first.rows.iloc[pair.first], "second": second.rows.iloc[pair.second]}
    found = {name: str(row["row_id"]) for name, row in sides.items()}
    found |= {f"{name}_split": str(row["split"]) for name, row in sides.items()}
    numbers = {"similarity": round(pair.similarity, 4), "course": round(pair.course, 4)}
    return found | numbers | {"offset_s": pair.offset * hop, "compared_s": pair.frames * hop}


def show(content: dict[str, Any], first: str, second: str) -> None:
    """Print how many pairs there are, those between two splits, and the first of them."""
    pairs, (ours, theirs) = content["pairs"], content["num_tracks"]
    compared = content["num_compared"]
    print(f"{first} ({ours} tracks) and {second} ({theirs}): {len(pairs)} pairs overlap of {compared} compared")
    if apart := sum(pair["first_split"] != pair["second_split"] for pair in pairs):
        print(f"{apart} of them are of two splits")
    for pair in pairs[:SHOWN]:
        tracks = " · ".join(f"{pair[side]} ({pair[f'{side}_split']})" for side in ("first", "second"))
        agreement = f"similarity {pair['similarity']:.3f}, course {pair['course']:.3f}"
        print(f"  {tracks}: {pair['offset_s']:+g} s, {agreement}, over {pair['compared_s']:g} s")
    if len(pairs) > SHOWN:
        print(f"  … and {len(pairs) - SHOWN} more in the JSON")
