"""mteb evaluates a trained model, on a task made in memory, as one would by hand."""

import numpy as np
import pandas as pd
import pytest
import soundfile

pytest.importorskip("mteb", reason="mteb is not installed; docs/mteb.md says how it is")

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from torch.utils.data import DataLoader

from diffgar import Retriever
from examples.mteb_model import MtebRetriever


class CaptionsToTracks(AbsTaskRetrieval):
    """Captions search the tracks of a small demo."""

    metadata = TaskMetadata(
        name="CaptionsToTracks",
        description="Captions of a small demo search its tracks.",
        dataset={"path": "in/memory", "revision": "1"},
        type="Any2AnyRetrieval",
        category="t2a",
        modalities=["text", "audio"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="hit_rate_at_5",
    )
    tables: dict = {}

    def load_data(self, **_):
        self.dataset = {"default": {"test": self.tables}}
        self.data_loaded = True


@pytest.fixture
def tables(small_demo, monkeypatch):
    """Twelve tracks in memory, and one caption of each."""
    monkeypatch.chdir(small_demo)
    table = pd.read_csv("data/demo/captions.csv").drop_duplicates("track_id").head(12)
    audio = []
    for path in table["path"]:
        samples, rate = soundfile.read(small_demo / "data/demo" / path, dtype="float32")
        audio.append({"array": samples, "sampling_rate": rate})
    return {
        "corpus": Dataset.from_dict({"id": list(table["track_id"]), "audio": audio}),
        "queries": Dataset.from_dict({"id": list(table["caption_id"]), "text": list(table["caption"])}),
        "relevant_docs": {row.caption_id: {row.track_id: 1} for row in table.itertuples()},
        "top_ranked": None,
    }


@pytest.fixture
def model(tables):
    return MtebRetriever(Retriever.from_pretrained("checkpoints/demo"))


def test_audio_in_memory_has_the_vectors_of_its_files(model, tables):
    batches = DataLoader(tables["corpus"], batch_size=5, collate_fn=lambda rows: {"audio": [r["audio"] for r in rows]})
    files = [f"data/demo/audio/{name}.flac" for name in tables["corpus"]["id"]]
    np.testing.assert_allclose(model.encode(batches), model.model.encode_document(files), atol=1e-6)


def test_mteb_finds_what_the_retriever_ranks(model, tables, monkeypatch):
    monkeypatch.setattr(CaptionsToTracks, "tables", tables)
    files = [f"data/demo/audio/{name}.flac" for name in tables["corpus"]["id"]]
    similarity = model.model.encode_query(list(tables["queries"]["text"])) @ model.model.encode_document(files).T
    ranks = (similarity > similarity.diag().unsqueeze(1)).sum(dim=1) + 1
    (result,) = mteb.evaluate(model, CaptionsToTracks(), cache=None).task_results
    (scores,) = result.scores["test"]
    for k in (1, 3, 5, 10):
        assert scores[f"hit_rate_at_{k}"] == pytest.approx(float((ranks <= k).float().mean()), abs=1e-4)


def test_what_is_not_known_of_the_training_is_not_told(model):
    meta = model.mteb_model_meta
    assert (meta.name, meta.revision.rpartition("-")[2]) == ("diffgar/demo", "2")
    assert meta.embed_dim == 128 and meta.n_parameters > 0 and meta.training_datasets is None
