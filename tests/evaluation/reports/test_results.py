"""Results on disk, and the tables and figures made of them."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, REAL, TEACHER, System
from diffgar.evaluation.reports import figures
from diffgar.evaluation.reports.maps import has_umap, latent_maps, project_pca, project_umap
from diffgar.evaluation.reports.paper import PUBLISHED, grid_table, paper_table, training_seeds_table
from diffgar.evaluation.reports.results import Result, queries_path, read_result, read_results, tidy, write_result
from diffgar.evaluation.reports.table_files import render_tables
from diffgar.evaluation.reports.table_styles import STYLES, render
from diffgar.evaluation.reports.tables import NO_RESULT, fidelity_table, retrieval_table

METRICS = ("R@1", "R@5", "R@10", "MedR", "MRR")


def metric(mean, half=2.0, n=None):
    return Summary(mean, 0.5, mean - half, mean + half, n)


def protocol(**changes):
    plain = {"name": "unique_tracks", "direction": "text_to_audio", "task": "demo", "pool": "p", "pool_size": 500}
    counts = {"query_set": "q", "num_queries": 1500, "num_missing_tracks": 0, "seeds": {"teacher": 1, "gdr": 3}}
    return plain | counts | changes


def result(model_name="demo", task="demo", step=100, r10=30.0, rows=None, config=None, **changes):
    if rows is None:
        rows = {
            CHANCE: dict.fromkeys(METRICS, Summary.exact(2.0)),
            TEACHER: dict.fromkeys(METRICS, metric(40.0)),
            System("gdr"): dict.fromkeys(METRICS, metric(r10)),
        }
    return Result("retrieval", model_name, task, step, protocol(task=task, **changes), rows, config=config or {})


def config(pair="clap", backbone="diffgar.models.backbones.unet.UNet", prediction_type="sample", seed=0):
    objective = {"prediction_type": prediction_type}
    return {"encoder_pair": {"name": pair}, "backbone": {"_target_": backbone}, "objective": objective, "seed": seed}


def test_a_result_comes_back_from_json_as_it_was(tmp_path):
    plain = result(config=config())
    queries = pd.DataFrame({"row": ["gdr"], "seed": [0], "query_id": ["c0"], "rank": [1.5]})
    path = write_result(tmp_path, plain, queries)
    assert path == tmp_path / "demo" / "demo" / "retrieval-100-unique_tracks.json"
    again = read_result(path)
    assert (again.rows, again.protocol, again.config) == (plain.rows, plain.protocol, plain.config)
    assert {"diffgar", "commit", "python", "torch"} <= set(again.versions)
    assert json.loads(path.read_text())["schema"] == 2
    pd.testing.assert_frame_equal(pd.read_parquet(queries_path(path)), queries)
    write_result(tmp_path, again, queries)
    assert read_results(tmp_path) == [again]
    assert [p.name for p in path.parent.iterdir() if "part" in p.name.split(".")] == []


def test_a_variant_stands_beside_the_plain_result(tmp_path):
    plain = write_result(tmp_path, result())
    other = write_result(tmp_path, Result(**(vars(result()) | {"variant": "guidance=3"})))
    assert plain != other and other.name == "retrieval-100-unique_tracks-guidance=3.json"
    assert len(read_results(tmp_path, "retrieval")) == 2 and read_results(tmp_path, "fidelity") == []


def test_numbers_that_are_none_are_not_written_and_the_old_file_stays(tmp_path):
    path = write_result(tmp_path, result())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="unique_tracks.json: a metric is NaN or infinite"):
        write_result(tmp_path, result(r10=float("nan")))
    assert path.read_bytes() == before


def test_what_is_no_result_is_refused_by_path(tmp_path):
    path = write_result(tmp_path, result())
    of_this_schema = json.loads(path.read_text())
    broken = json.dumps(of_this_schema | {"systems": {}})
    for content, message in (
        ("{", ""),
        ('{"schema": 1}', " of schema 2; delete it"),
        (broken, " .KeyError.'chance'.."),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"{path.name}: not a result{message}"):
            read_results(tmp_path)
    with pytest.raises(ValueError, match="unknown kind of result 'speed'"):
        Result("speed", "m", "t", 1, protocol(), {})


def test_the_table_shows_chance_teacher_and_models_with_seeds_and_intervals():
    lines = render(retrieval_table([result()])).splitlines()
    cells = {
        line.split()[0]: line for line in lines if line.split() and line.split()[0] in ("chance", "teacher", "gdr")
    }
    assert list(cells) == ["chance", "teacher", "gdr"]
    assert "30.0 ± 0.5 [28.0, 32.0]" in cells["gdr"]
    assert "40.0 [38.0, 42.0]" in cells["teacher"]
    assert "1500 queries, pool of 500" in lines[-2]


def test_several_models_share_chance_and_a_teacher_that_is_the_same():
    table = retrieval_table([result("one", r10=30), result("two", r10=31)])
    assert [row[0] for row in table.rows] == ["chance", "teacher (one@100)", "gdr (one@100)", "gdr (two@100)"]


@pytest.mark.parametrize(
    "change",
    [{"name": "caption_rows"}, {"pool": "other"}, {"pool_size": 499}, {"query_set": "other"}, {"direction": "back"}],
)
def test_two_protocols_pools_or_query_sets_are_refused_in_one_column(change):
    results = [result("one", config=config()), result("two", config=config(seed=1), **change)]
    for table in (retrieval_table, grid_table, training_seeds_table):
        with pytest.raises(
            ValueError, match=f"one@100 and two@100 cannot share a column of demo: {next(iter(change))}"
        ):
            table(results)


@pytest.mark.parametrize("style", STYLES)
def test_rendering_twice_gives_the_same_bytes(tmp_path, style):
    write_result(tmp_path, result(config=config()))
    first, second = (render(retrieval_table(read_results(tmp_path)), style) for _ in range(2))
    assert first.encode() == second.encode()
    assert first.endswith("\n")


def test_tables_are_written_in_utf8_whatever_the_locale(tmp_path, monkeypatch):
    write_result(tmp_path, result())
    monkeypatch.setattr(io, "text_encoding", lambda encoding, level=2: encoding or "ascii")  # what open() falls back to
    render_tables(str(tmp_path), "models")
    assert "mean ± std" in (tmp_path / "tables/models.md").read_text(encoding="utf-8")


def test_each_style_is_what_its_readers_take():
    table = retrieval_table([result()])
    latex = render(table, "latex")
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"unique\_tracks", r"30.0 $\pm$ 0.5"):
        assert rule in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {len(METRICS)}
    markdown = [line for line in render(table, "markdown").splitlines() if line.startswith("|")]
    assert {line.count("|") for line in markdown} == {len(METRICS) + 2}
    with pytest.raises(ValueError, match="unknown table style 'html'"):
        render(table, "html")


def test_the_papers_table_stands_ours_beside_the_published_and_says_what_is_missing():
    ours = result("mine", "song_describer", r10=24.0, config=config(), name="caption_rows")
    table = paper_table([ours, result(config=config())])  # the second is of another protocol and task
    head = dict(zip(table.header, range(99), strict=False))
    rows = {row[0]: table.rows[n : n + 3] for n, row in enumerate(table.rows) if row[0]}
    published, mine, difference = rows["GDR-CLAP"]
    assert (published[head["SD R@10"]], mine[head["SD R@10"]]) == ("24.7", "24.0 ± 0.5 [22.0, 26.0]")
    assert difference[head["SD R@10"]] == "-0.7"  # within ±2 of ours and ±2.5 of theirs
    assert difference[head["SD R@1"]] == "+19.3*"
    assert mine[head["MC R@10"]] == difference[head["MC R@10"]] == NO_RESULT
    assert rows["CLAP"][1][head["SD R@1"]] == "40.0 [38.0, 42.0]"
    assert rows["GDR-MusCALL"][1][head["SD R@10"]] == NO_RESULT
    assert any("mine@100 on song_describer: 1500 queries, pool of 500" in note for note in table.notes)


def test_the_papers_tables_without_any_result_say_so_everywhere():
    for which, lines in (("retrieval", 4), ("encoder_pairs", 3)):
        table = paper_table([], which)
        assert len(table.rows) == 3 * lines
        assert {cell for row in table.rows if row[1] != "published" for cell in row[2:]} == {NO_RESULT}


def test_the_papers_table_takes_the_best_step_and_refuses_two_models_or_pools():
    def ours(name, pair="clap", step=100, **changes):
        return result(name, "musiccaps", step, config=config(pair), **({"name": "caption_rows"} | changes))

    steps = [ours("mine", step=4000), ours("mine", step=100000), ours("mine", step=9)]
    assert any("mine@100000" in note for note in paper_table(steps).notes)
    steps[0] = replace(steps[0], asked_step="best")
    assert any("mine@4000 on" in note for note in paper_table(steps).notes)
    few = replace(steps[0], differences={"num_steps": "2"})
    assert any("mine@4000 on" in note for note in paper_table([few, *steps]).notes)
    assert any("mine@4000, num_steps=2 on" in note for note in paper_table([few, *steps[1:]]).notes)
    with pytest.raises(ValueError, match="2 models of encoder_pair clap have results on musiccaps: mine, yours"):
        paper_table([ours("mine"), ours("yours")])
    with pytest.raises(ValueError, match="cannot share a column of musiccaps: pool is 'p' and 'fewer'"):
        paper_table([ours("mine"), ours("other", "muscall", pool="fewer")])


def test_the_papers_table_takes_no_other_split_and_no_variant():
    others = [result("mine", "musiccaps", config=config("clap"), name="caption_rows", split="validation")]
    others.append(replace(result("mine", "musiccaps", config=config("clap"), name="caption_rows"), variant="tried"))
    assert not any("mine@" in note for note in paper_table(others).notes)


def test_published_numbers_have_every_metric_and_a_row_of_ours():
    published = yaml.safe_load(PUBLISHED.read_text())
    for which in ("retrieval", "encoder_pairs"):
        for label, numbers in published[which].items():
            assert published["ours"][label].keys() == {"encoder_pair", "row"}
            for short, values in numbers.items():
                assert short in published["tasks"]
                assert list(values) == ["R@1", "R@5", "R@10", "MedR"]


def test_backbones_by_prediction_type_leave_empty_cells_named():
    results = [
        result("a", r10=30, config=config()),
        result("b", r10=34, config=config(seed=1)),
        result("c", r10=20, config=config(backbone="diffgar.models.backbones.mlp.MLP", prediction_type="epsilon")),
    ]
    table = grid_table(results)
    assert table.header == ("", "epsilon", "sample")
    assert table.rows == (("MLP", "20.0 ± 0.5 [18.0, 22.0]", NO_RESULT), ("UNet", NO_RESULT, "32.0 ± 2.8 (2)"))
    with pytest.raises(ValueError, match="not all of different seed: a@100; a@200: choose models"):
        grid_table([results[0], result("a", step=200, config=config())])
    with pytest.raises(ValueError, match="its config has no backbone"):
        grid_table([result()])


def test_training_seeds_end_in_their_mean_and_spread():
    results = [result(f"s{seed}", r10=30 + seed, config=config(seed=seed)) for seed in (2, 0, 10)]
    table = training_seeds_table(results)
    assert [row[0] for row in table.rows] == ["s0, seed 0", "s2, seed 2", "s10, seed 10", "over training seeds"]
    assert table.rows[-1][3] == "34.0 ± 5.3 (3)"


def test_the_fidelity_table_sets_the_floor_beside_each_row():
    rows = {REAL: {"pooled_frechet": metric(0.2, 0.1, n=250)}}
    rows[System("gdr")] = {"pooled_frechet": metric(0.3, 0.1, n=250), "overlap@10": metric(70.0, n=1500)}
    shape = {"name": "halves", "samples": {"gdr": 3}, "num_splits": 3}
    lines = fidelity_table(Result("fidelity", "m", "demo", 5, shape, rows))
    assert lines.header == ("metric", "real (the floor)", "gdr", "n")
    assert lines.rows[0] == ("pooled_frechet", "0.200 ± 0.500 [0.100, 0.300]", "0.300 ± 0.500 [0.200, 0.400]", "250")
    assert lines.rows[1][1] == NO_RESULT


def test_tidy_has_a_line_for_every_number():
    table = tidy(
        [result(step=step, r10=step / 10, config=config()) for step in (100, 200)], ["objective.prediction_type"]
    )
    curve = table[(table["row"] == "gdr") & (table["metric"] == "R@10")]
    assert curve[["step", "mean"]].values.tolist() == [[100, 10], [200, 20]]
    assert set(table["objective.prediction_type"]) == {"sample"}
    assert len(table) == 2 * 3 * len(METRICS)


@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_a_map_of_any_number_of_points_and_dimensions_is_drawn(tmp_path, size):
    vectors = torch.randn(size, 5, generator=torch.Generator().manual_seed(0))
    assert (tmp_path / "map-pca.png") in latent_maps(tmp_path, vectors, vectors + 0.1, 0, "a caption")
    assert [points.shape for points in project_pca(vectors[:, :1], vectors[:, :1])] == [(size, 2)] * 2


def draw(name, path):
    numbers = np.random.default_rng(0)
    queries = pd.DataFrame({"row": ["gdr"] * 60, "seed": [0, 1] * 30, "rank": numbers.integers(1, 100, 60)})
    points = pd.DataFrame({"x": [1, 2, 3], "y": [0.3, 0.4, 0.2], "label": [1, 2, 3], "y_low": 0.1, "y_high": 0.5})
    calls = {
        "recall": lambda: figures.recall_figure(path, queries, 100),
        "rank": lambda: figures.rank_figure(path, queries, 100),
        "curve": lambda: figures.curve_figure(path, {"gdr": points}, "step", "R@10"),
        "tradeoff": lambda: figures.tradeoff_figure(path, {"gdr": points}, "overlap", "share"),
        "map": lambda: figures.map_figure(path, {"real": numbers.normal(size=(30, 2))}, np.zeros(2), np.eye(2), "rock"),
    }
    return calls[name]()


@pytest.mark.parametrize("name", ["recall", "rank", "curve", "tradeoff", "map"])
def test_a_figure_drawn_twice_has_the_same_bytes(tmp_path, name):
    first, second = draw(name, tmp_path / "a" / "figure.v1"), draw(name, tmp_path / "b" / "figure.v1")
    assert [path.name for path in first] == ["figure.v1.png", "figure.v1.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_map_is_of_the_largest_components_and_the_same_each_time(tmp_path):
    scales = torch.tensor([0.1, 3.0, 0.1, 1.0])
    real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * scales
    plane, same = project_pca(real, real[:5])
    assert np.abs(np.corrcoef(plane[:, 0], real[:, 1])[0, 1]) > 0.99
    assert np.abs(np.corrcoef(plane[:, 1], real[:, 3])[0, 1]) > 0.99
    assert np.allclose(plane[:5], same)
    written = latent_maps(tmp_path, real, real[:20] + 0.1, which=3, caption="slow strings")
    names = {"map-pca.png", "map-pca.pdf"} | ({"map-umap.png", "map-umap.pdf"} if has_umap() else set())
    assert {path.name for path in written} == names
    if not has_umap():
        with pytest.raises(ImportError, match="pip install umap-learn"):
            project_umap(real)
