"""Judgements and queries, from files to tables; the YAMLs of graded benchmarks on tables with their columns."""

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from test_configs import CONFIG

from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.qrels import read_qrels
from diffgar.jobs.building import build, plain

EXPECTED = [("q1", "007", 2.0), ("q1", "8", 0.0), ("q2", "007", 1.0)]
BEIR = pd.DataFrame(EXPECTED, columns=["query-id", "corpus-id", "score"])


def rows_of(table: pd.DataFrame) -> list[tuple]:
    assert list(table.columns) == ["query_id", "track_id", "score"]
    return list(table.itertuples(index=False, name=None))


def test_every_form_of_file_gives_the_same_judgements(tmp_path):
    BEIR.to_csv(tmp_path / "a.csv", index=False)
    BEIR.astype({"score": int}).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    BEIR.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.qrels").write_text("q1 0 007 2\nq1\tQ0\t8\t0\n\nq2 0 007 1\n")
    for name in ("a.csv", "a.tsv", "a.parquet", "a.qrels"):
        assert rows_of(read_qrels(tmp_path / name)) == EXPECTED, name
    lists = pd.DataFrame({"q": ["q1", "q2"], "ids": [["007", "8"], ["007"]], "marks": [[2, 0], [1]]})
    assert rows_of(read_qrels(lists, {"query_id": "q", "track_id": "ids", "score": "marks"})) == EXPECTED


def test_what_is_no_judgement_is_refused(tmp_path):
    (tmp_path / "a.qrels").write_text("q1 0 007 2\nq1 8\n")
    with pytest.raises(DatasetError, match="line 2 has 2 columns; TREC's have four"):
        read_qrels(tmp_path / "a.qrels")
    with pytest.raises(DatasetError, match="no column 'corpus-id'"):
        read_qrels(BEIR.drop(columns="corpus-id"))
    with pytest.raises(DatasetError, match="query 'q1' and track '007' are judged twice"):
        read_qrels(pd.concat([BEIR, BEIR[:1]]))
    for score in ("high", None):
        with pytest.raises(DatasetError, match="qrels: "):
            read_qrels(BEIR.astype({"score": object}).assign(score=[1, score, 2]))


def opened(name: str):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        return compose("eval_retrieval", [f"+data={name}", f"task={name}", "model_name=m"])


def test_incompebench_is_read_from_tables_with_its_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("INCOMPEBENCH", str(tmp_path))
    pd.DataFrame({"corpus-id": ["007", "8"], "audio": ["a.mp3", "b.mp3"]}).to_parquet(tmp_path / "corpus.parquet")
    queries = pd.DataFrame({"query-id": ["q1", "q2"], "query": ["a march", "calm strings"]})
    queries.to_parquet(tmp_path / "queries.parquet")
    BEIR.to_parquet(tmp_path / "qrels.parquet")
    cfg = opened("incompebench")
    dataset = build(cfg.data)
    assert (dataset.name, list(dataset.tracks["track_id"])) == ("incompebench", ["007", "8"])
    assert list(dataset.captions.itertuples(index=False, name=None)) == [
        ("q1", "", "a march", "test"),
        ("q2", "", "calm strings", "test"),
    ]
    assert rows_of(read_qrels(plain(cfg.task.qrels))) == EXPECTED
    queries.assign(**{"query-id": ["q1", "q1"]}).to_parquet(tmp_path / "queries.parquet")
    with pytest.raises(InstantiationException, match="the id 'q1' stands twice"):
        build(cfg.data)
    queries.assign(query=["a march", " "]).to_parquet(tmp_path / "queries.parquet")
    with pytest.raises(InstantiationException, match="row 2 of the queries is blank in 'query'"):
        build(cfg.data)


def test_reflectra_is_read_from_tables_with_its_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("REFLECTRA", str(tmp_path))
    pd.DataFrame({"audio_id": [7, 8], "audio": ["a.mp3", "b.mp3"], "captions": "x"}).to_parquet(
        tmp_path / "audio.parquet"
    )
    asked = {"query_id": [1, 2], "caption": ["a march", "calm"], "audio_ids": [[7, 8], [8]], "scores": [[9, 3], [10]]}
    pd.DataFrame(asked).to_parquet(tmp_path / "queries.parquet")
    cfg = opened("reflectra")
    assert list(build(cfg.data).captions["caption_id"]) == ["1", "2"]
    assert rows_of(build(cfg.task.qrels)) == [("1", "7", 9.0), ("1", "8", 3.0), ("2", "8", 10.0)]
