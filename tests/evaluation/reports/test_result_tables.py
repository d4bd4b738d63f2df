"""Tables: what stands in them once, what a reader must know below them, and that each fits a screen."""

import io
import re

import pytest
from test_results import METRICS, config, metric, result

from diffgar.errors import InputError
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, PLAIN, REAL, TEACHER, System
from diffgar.evaluation.reports.control import control_table
from diffgar.evaluation.reports.paper import grid_table, paper_table, training_seeds_table
from diffgar.evaluation.reports.results import Result, read_result, write_result
from diffgar.evaluation.reports.table_files import TABLES, render_tables
from diffgar.evaluation.reports.table_styles import NAME_WIDTH, Table, render
from diffgar.evaluation.reports.tables import fidelity_table, retrieval_table
from diffgar.evaluation.reports.wrapping import wrapped

GDR = System("gdr")


def rows_of(table: Table) -> dict[str, tuple]:
    return {row[0]: row[1:] for row in table.rows}


def test_a_teacher_whose_numbers_are_those_of_chance_has_its_row():
    """As in a pool of one track."""
    same = dict.fromkeys(METRICS, Summary.exact(100.0))
    table = retrieval_table([result(rows={CHANCE: same, TEACHER: same, GDR: same}, config=config())])
    assert list(rows_of(table)) == ["chance", "teacher", "gdr"]


def test_teachers_of_two_encoder_pairs_both_stand_also_where_their_numbers_are_equal():
    table = retrieval_table([result("one", config=config("clap")), result("two", config=config("muscall"))])
    assert [row[0] for row in table.rows][:3] == ["chance", "teacher (one@100)", "teacher (two@100)"]


def test_the_median_rank_is_a_rank_with_its_share_of_the_pool():
    rows = {GDR: {name: metric(2.5) for name in METRICS} | {"MedR_abs": metric(15.0)}}
    assert rows_of(retrieval_table([result(rows=rows)]))["gdr"][3] == "15.0 ± 0.5 (2.5 %)"


def test_the_table_of_an_evaluation_fits_a_line_and_the_interval_is_that_of_r_at_10():
    """With the longest numbers that there are."""
    rows = {
        system: {key: metric(88.8, 11.1) for key in (*METRICS, "MedR_abs")}
        for system in (TEACHER, GDR, System("contrastive"))
    }
    lines = render(retrieval_table([result(rows=rows)])).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.count("[77.7, 99.9]") for line in lines if line.startswith("gdr")] == [1]


def test_a_table_too_wide_goes_on_below_with_what_its_rows_are():
    header = ("row", "kind", *(f"column {n}" for n in range(12)))
    rows = tuple((f"r{n}", "ours", *(f"{n}.{column} ± 0.1 [1, 2]" for column in range(12))) for n in range(3))
    text = render(Table("wide", header, rows, ("a note " * 40,), keys=2))
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("r1  ") == text.count("row  kind") > 1
    assert all(text.count(f"2.{column} ± 0.1") == 1 for column in range(12)) and text.count("[1, 2]") == 36


def test_a_control_table_fits_too_and_keeps_the_intervals_of_what_it_is_about():
    names = ("share@10", "R@10", "overlap@10", "cos_caption", "cos_attribute")
    rows = {
        system: {key: metric(88.8, 11.1) for key in names}
        for system in (PLAIN, System("compose_text_penalty", strength={"all": [0.95, 3, 1.5, 0.3, 0.9]}))
    }
    shape = {"name": "unique_tracks", "num_pairs": 600, "pool_size": 600, "seeds": 3}
    text = render(control_table(Result("control", "demo", "demo", 5, shape, rows)))
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"^plain +88.8 \[77.7, 99.9\] +88.8 \[77.7, 99.9\] +88.8 +88.8 +88.8$", text, re.M)  # in one line


LONG = "train_ldm_sample_pred_base_of_a_large_private_collection-2026-11-26"
CONTROL = ("share@10", "R@10", "overlap@10", "cos_caption", "cos_attribute")
FIDELITY = ("frame_frechet_infinity", "teacher_score_calibrated", "intra_caption_diversity")


def made_tables() -> dict[str, Table]:
    """Every standard table, of long names and of the longest numbers that there are."""
    several = [result(f"{LONG}-{n}", config=config(seed=n), step=100_000) for n in range(3)]
    numbers = dict.fromkeys(FIDELITY, metric(1888.888, 111.111, n=11_106))
    systems = [REAL, *(System("gdr", strength={"guidance": scale}) for scale in (1.5, 2, 3, 5))]
    shape = {"name": "halves", "samples": {system.label: 3 for system in systems[1:]}, "num_splits": 3}
    steered = [PLAIN, System("compose_text_penalty", strength={"all": [0.95, 3, 1.5, 0.3, 0.9]})]
    rows = {system: dict.fromkeys(CONTROL, metric(100.0, 11.1)) for system in steered}
    pairs = {"name": "unique_tracks", "num_pairs": 600, "pool_size": 600, "seeds": 3}
    published = result(LONG, "song_describer", config=config(), name="caption_rows")
    return {
        "retrieval": retrieval_table(several),
        "seeds": training_seeds_table(several),
        "grid": grid_table(several),
        "paper": paper_table([published]),
        "encoder_pairs": paper_table([published], "encoder_pairs"),
        "fidelity": fidelity_table(Result("fidelity", LONG, "demo", 5, shape, dict.fromkeys(systems[:2], numbers))),
        "sweep": fidelity_table(Result("fidelity", LONG, "demo", 5, shape, dict.fromkeys(systems, numbers))),
        "control": control_table(Result("control", LONG, "demo", 5, pairs, rows)),
    }


@pytest.mark.parametrize("name", made_tables())
def test_no_printed_line_of_a_standard_table_is_longer_than_100_columns(name):
    table = made_tables()[name]
    text = render(table)
    assert max(map(len, text.splitlines())) <= 100
    for row in table.rows:  # nothing is left out, wherever it is broken
        lines = [line for name in row[: table.keys] for line in wrapped(name, NAME_WIDTH, "  ").split("\n")]
        assert all(line in text for line in lines)
        assert all(part in text for cell in row[table.keys :] for part in cell.split(" ["))


def test_only_the_longest_cells_have_their_intervals_below():
    rows = (("a", "1.000 ± 0.500 [0.500, 1.500]"), ("b", f"{'9' * 80} ± 0.5 [7.5, 9.5]"))
    lines = render(Table("two", ("row", "value"), rows)).splitlines()
    assert lines[4:7] == ["a    1.000 ± 0.500 [0.500, 1.500]", f"b    {'9' * 80} ± 0.5", "     [7.5, 9.5]"]


def test_heads_are_broken_before_intervals_are():
    header, cells = ("row", *["a_long_head_of_a_column"] * 3), ("a", *["1.000 ± 0.500 [0.500, 1.500]"] * 3)
    lines = render(Table("three", header, (cells,))).splitlines()
    assert lines[4].count("[0.500, 1.500]") == 3 and max(map(len, lines)) <= 100


def test_tracks_that_the_model_was_trained_on_are_counted_below_the_table():
    told = result("mine", num_tracks=135, seen_tracks={"gdr": 118, "regression": 0, "contrastive": None})
    notes = retrieval_table([told]).notes
    assert "gdr: 118 of 135 tracks of the pool were in its training split." in notes
    assert not any("regression" in note or "contrastive" in note for note in notes)
    notes = retrieval_table([told, result("other")]).notes
    assert "gdr (mine@100): 118 of 135 tracks of the pool were in its training split." in notes


def test_a_centre_that_is_not_the_origin_is_told_below_the_table():
    notes = retrieval_table([result(centre="train mean")]).notes
    assert "Latents are ranked about the train mean: the pair is not joint." in notes
    assert retrieval_table([result(centre="none")]).notes == retrieval_table([result()]).notes


def test_the_split_is_in_the_title_unless_it_is_the_test_split():
    assert retrieval_table([result(split="validation")]).title == "demo, validation, text to audio, unique_tracks"
    assert retrieval_table([result(split="test")]).title == "demo, text to audio, unique_tracks"


def test_a_models_name_is_written_as_latex_and_markdown_take_it():
    table = retrieval_table([result("my_model"), result("other_{model}")])
    assert r"gdr (my\_model@100)" in render(table, "latex") and r"other\_\{model\}" in render(table, "latex")
    assert r"gdr (my\_model@100)" in render(table, "markdown")


def some_results(folder):
    """Of two tasks and two protocols, one of them with a plain result and a differing one."""
    write_result(folder, result("demo", config=config("clap")))
    sampled = result("demo", config=config("clap", seed=1))
    write_result(folder, Result(**(vars(sampled) | {"differences": {"num_steps": "20"}})))
    write_result(folder, result("exp/a", "song_describer", config=config("clap"), name="caption_rows", pool="SD"))


@pytest.mark.parametrize("which", TABLES)
@pytest.mark.parametrize("style", ["text", "markdown", "latex", "csv"])
def test_every_table_is_rendered_of_what_there_is(tmp_path, capsys, which, style):
    some_results(tmp_path)
    render_tables(str(tmp_path), which, style)
    printed = capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "tables").iterdir())
    names = (
        [which]
        if which in ("paper", "encoder_pairs")
        else [f"{which}-demo-unique_tracks", f"{which}-song_describer-caption_rows"]
    )
    assert written == sorted(f"{name}.{ending}" for name in names for ending in ("csv", "md", "tex", "txt"))
    assert all(path.read_bytes() for path in (tmp_path / "tables").iterdir())
    if which == "models" and style == "text":
        assert "gdr (demo@100)" in printed and "gdr (demo@100, num_steps=20)" in printed and "exp/a" not in printed
        assert "song_describer, text to audio, caption_rows" in printed


def test_a_table_of_chosen_results_is_one(tmp_path, capsys):
    some_results(tmp_path)
    render_tables(str(tmp_path), "models", select={"task": "demo", "tag": ""})
    assert [path.name for path in (tmp_path / "tables").glob("*.csv")] == ["models.csv"]
    assert "num_steps" not in capsys.readouterr().out
    render_tables(str(tmp_path), "models", select={"model_name": ["exp/a", "other"], "protocol": "caption_rows"})
    assert "song_describer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("which", "style", "select", "message"),
    [
        ("best", "text", {}, "tables.which is 'best'; choose one of paper, encoder_pairs, grid, seeds, models"),
        ("models", "html", {}, "tables.style is 'html'; choose one of text"),
        ("models", "text", {"models": "demo"}, "a field of tables.select is 'models'; choose one of model_name, task"),
        ("models", "text", {"task": "nowhere"}, "no retrieval result in .* with tables.select={'task': 'nowhere'}"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused_with_the_remedy(tmp_path, which, style, select, message):
    some_results(tmp_path)
    with pytest.raises(InputError, match=message):
        render_tables(str(tmp_path), which, style, select)


def test_results_and_tables_are_written_in_utf_8_whatever_the_locale_is(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "text_encoding", lambda encoding, level=2: encoding or "ascii")  # what open() falls back to
    write_result(tmp_path, result("é→", config=config()))
    render_tables(str(tmp_path), "models")
    assert "±" in (tmp_path / "tables/models.txt").read_bytes().decode("utf-8")
    assert read_result(next(tmp_path.rglob("retrieval-100-unique_tracks.json"))).model_name == "é→"
