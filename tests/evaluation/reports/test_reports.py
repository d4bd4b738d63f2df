"""A result is safe before anything that can fail: figures, listings and logging warn, and are made again."""

import json

import pandas as pd
import pytest
from pools import Captions, Latents, Oracle, evaluation
from test_names import asked
from test_results import config, result
from torch import randn, zeros

from diffgar.errors import InputError
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import queries_path, read_result, write_result
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import make_systems
from diffgar.jobs.results import make_result


@pytest.fixture
def experiment():
    vectors = randn(12, 4)
    return evaluation(Latents(vectors), Captions(list(range(12))), Oracle(vectors, zeros(4)))


def evaluated(experiment, *overrides: str):
    """The systems of an evaluation, its report, and the result that would be written."""
    cfg = asked("model_name=m", "evaluation.seeds=[0,1]", *overrides)
    systems = make_systems([experiment], [0, 1])
    report = evaluate_retrieval(systems.queries, systems.index, experiment.task, RetrievalOptions(num_resamples=5))
    return systems, report, make_result("retrieval", cfg, experiment, report)


def test_the_protocol_tells_all_that_decides_what_was_measured(experiment):
    made = evaluated(experiment, "+task.where.vocal=true")[2]
    told = {name: made.protocol[name] for name in ("centre", "samples", "pooling", "where", "dataset", "seen_tracks")}
    assert told == {
        "centre": "train mean",
        "samples": "mean",
        "pooling": "mean",
        "where": {"vocal": True},
        "dataset": "demo",
        "seen_tracks": {"gdr": 0},
    }
    assert made.asked_step == "best" and made.step == 5
    assert made.differences == {"seeds": "0+1", "vocal": "true"}
    json.dumps(made.protocol)


@pytest.mark.parametrize(("word", "name"), [("2", "2"), ("1.5", "1.5"), ("fast", "fast")])
def test_a_variant_may_be_a_number(experiment, tmp_path, word, name):
    made = evaluated(experiment, f"evaluation.variant={word}")[2]
    assert write_result(tmp_path, made).stem == f"retrieval-5-unique_tracks-seeds=0+1-{name}"


def test_a_model_name_may_be_a_number(experiment, tmp_path):
    made = evaluated(experiment, "model_name=20240101")[2]
    assert write_result(tmp_path, made).parent == tmp_path / "20240101" / "demo"


def test_a_figure_that_fails_is_named_in_a_warning_and_the_result_stays(experiment, tmp_path, monkeypatch, caplog):
    systems, report, made = evaluated(experiment)
    path = write_result(tmp_path, made, report.queries)

    def fails(*arguments, **options):
        raise RuntimeError("no font")

    for name in ("recall_figure", "latent_maps", "worst_captions"):
        monkeypatch.setattr(reports, name, fails)
    reports.draw(path, made, report.queries, systems, experiment)
    base = path.with_suffix("")
    for lost in (f"{base}.png was not drawn", f"{base}/map-pca.png was not drawn", f"{base}-worst.csv was not written"):
        assert f"{lost} (RuntimeError: no font); the result itself is kept" in caplog.text
    assert path.with_name(f"{path.stem}-ranks.png").is_file()  # what can be drawn is
    assert read_result(path).rows == made.rows


def test_logging_that_fails_is_a_warning(tmp_path, monkeypatch, caplog, capsys):
    path = write_result(
        tmp_path,
        result(config=config(), sampler={"num_samples": 5, "solver": "S", "num_steps": 4, "guidance_scale": 3.0}),
    )
    monkeypatch.setattr(reports, "log_result", lambda *arguments: 1 / 0)
    reports.show_and_log(path, read_result(path))
    assert f"{path} could not be logged (ZeroDivisionError" in caplog.text
    assert "5 samples per caption, S with 4 steps, guidance 3" in capsys.readouterr().out


def test_showing_a_result_draws_figures_that_are_gone(experiment, tmp_path, capsys):
    _, report, made = evaluated(experiment)
    path = write_result(tmp_path, made, report.queries)
    assert not path.with_suffix(".png").exists()
    reports.show(path, made)
    assert path.with_suffix(".png").is_file() and path.with_name(f"{path.stem}-ranks.png").is_file()
    assert f"figure  {path.with_suffix('.png')}" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_parquet(queries_path(path)), report.queries)


def test_a_curve_over_steps_has_the_name_of_what_was_asked_for(tmp_path, capsys):
    made = [result(step=step, config=config(), split="validation") for step in (10, 20)]
    reports.draw_steps(tmp_path, made)
    assert (tmp_path / "steps-unique_tracks-validation.png").is_file()


def test_models_that_generate_nothing_are_refused_what_needs_it(experiment):
    def embed(self, given):
        return given

    experiment.model = type("Heads", (), dict(row="contrastive", sampled=False, embed_text=embed, embed_audio=embed))()
    with pytest.raises(InputError, match="control=negative needs generated latents, and m .contrastive. projects"):
        experiment.generator("control=negative")
