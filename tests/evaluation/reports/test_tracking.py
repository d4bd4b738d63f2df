"""Results go to the W&B run of a model that was trained with that logger, and nowhere for the others."""

import pandas as pd
import pytest
import wandb

from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import System
from diffgar.evaluation.reports.figures import recall_figure
from diffgar.evaluation.reports.results import Result, read_result, write_result
from diffgar.evaluation.reports.tables import retrieval_table
from diffgar.evaluation.reports.wandb_log import log_result

METRIC = Summary(40.0, std=1.0, low=30.0, high=50.0)


def result(folder, logger: str):
    config = {"logger": {"_target_": logger, "project": "p", "name": "m", "id": "m", "resume": "allow"}}
    config["logger"]["save_dir"] = str(folder)
    names = ("R@1", "R@5", "R@10", "MedR", "MRR")
    protocol = {"name": "unique_tracks", "task": "demo", "pool_size": 10, "num_queries": 10, "num_missing_tracks": 0}
    protocol |= {"direction": "text_to_audio", "query_set": "q", "pool": "p"}
    rows = {System("gdr"): dict.fromkeys(names, METRIC)}
    path = write_result(folder / "results", Result("retrieval", "m", "demo", 5, protocol, rows, config=config))
    recall_figure(path.with_suffix(""), pd.DataFrame({"row": "gdr", "seed": 0, "rank": range(1, 11)}), 10)
    return path, read_result(path)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_numbers_table_and_figures_go_to_the_run(tmp_path, offline):
    path, read = result(tmp_path, "pytorch_lightning.loggers.WandbLogger")
    log_result(path, read, retrieval_table([read]))
    wandb.teardown()  # its own process writes the file; wait for it
    (run,) = (tmp_path / "wandb").glob("offline-run-*-m")
    logged = next(run.glob("*.wandb")).read_bytes()
    assert b"demo/retrieval/gdr/R@10" in logged and b"demo/retrieval/step" in logged
    kinds = {path.suffix for path in (run / "files/media").rglob("*.*")}
    assert kinds == {".png", ".json"}


def test_nothing_goes_there_for_a_model_logged_elsewhere(tmp_path, offline):
    path, read = result(tmp_path, "pytorch_lightning.loggers.CSVLogger")
    log_result(path, read, retrieval_table([read]))
    assert not (tmp_path / "wandb").exists()
