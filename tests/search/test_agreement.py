"""A search ranks as an evaluation does: the table of `control=negative`, through the public door."""

import numpy as np
import pandas as pd
import pytest

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.demo.collection import phrasings
from diffgar.evaluation.control.negative import NegativeSteering
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import task_of
from diffgar.search.negatives import Negative

ATTRIBUTES = ["lead", "backing", "bass", "drums", "tempo", "mood"]
METHODS = {
    "compose_text_penalty": [{"penalty": 0.75, "guidance": 3, "negative": 1.5, "interval": [0.3, 0.9]}],
    "text_arithmetic": [{"weight": 0.5}],
    "compose": [{"guidance": 2, "negative": 0.5}],
}
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def report(retriever, collection):
    """The evaluation of the toy model's steering on the collection's test split."""
    opened = retriever.opened
    audio, text = Store(collection / "demo_audio"), TextStore(collection / "demo_text")
    task, sampler = task_of("demo", audio, text, "test"), opened.sampler
    experiment = Experiment(opened.name, opened.model, 1, {}, sampler, sampler, audio, text, task, None)
    steering = NegativeSteering("negative", ATTRIBUTES, phrasings, METHODS, max_captions=48)
    return steering(experiment, opened.text_encoder, SEEDS, lambda done: None)


@pytest.mark.parametrize("method", ["plain", *METHODS])
def test_a_search_steers_to_the_shares_and_recalls_of_the_table(report, library, collection, method):
    rows = pd.read_parquet(collection / "demo_text" / "rows.parquet")
    number = dict(zip(rows["caption_id"], rows.index, strict=True))
    track = dict(zip(rows["caption_id"], rows["track_id"], strict=True))
    pool = library.only(split="test")
    said = {phrasings(a, v)[0]: (a, v) for a in ATTRIBUTES for v in pool.tracks[a].unique() if v != "none"}
    strength = None if method == "plain" else METHODS[method][0]
    found = []
    for seed in SEEDS:
        for pair in report.extra["pairs"]:
            attribute, value = said[pair["negative"]]
            negative = Negative(pair["negative"], phrasings=tuple(phrasings(attribute, value)))
            steered = {} if strength is None else {"negative": negative, "method": method, "strength": strength}
            hits = pool.search(pair["caption"], seed=seed, numbers=[number[pair["caption_id"]]], **steered)
            has = np.mean([pool.tracks[attribute].iloc[hit.position] == value for hit in hits])
            found.append((100 * has, 100 * any(hit.track_id == track[pair["caption_id"]] for hit in hits)))
    share, recall = np.mean(found, axis=0)
    [row] = [metrics for system, metrics in report.rows.items() if system.name == method]
    assert share == pytest.approx(row["share@10"].mean, abs=1e-9)
    assert recall == pytest.approx(row["R@10"].mean, abs=1e-9)
