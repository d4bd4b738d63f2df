"""Cells: one rule for what is missing, one for ids as text, one for comparing with what is wanted."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from diffgar.dataloading.datasets.cells import blank, matches, matching, missing, shown, written
from diffgar.dataloading.datasets.columns import keep

NONE = [None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, np.ma.masked, decimal.Decimal("NaN")]


@pytest.mark.parametrize("cell", NONE)
@pytest.mark.parametrize("wanted", [True, False, 0, "", "nan", "none", None, "<na>"])
def test_a_missing_cell_is_one_whatever_its_type_and_matches_nothing(cell, wanted):
    assert missing(cell) and not matches(cell, wanted)


@pytest.mark.parametrize("cell", ["", "nan", "None", 0, False, [], {}, [None], np.array([np.nan, 1])])
def test_a_cell_that_holds_something_is_not_missing(cell):
    assert not missing(cell)


@pytest.mark.parametrize("cell", ["", "  ", "\u00a0", "\u200b", "\ufeff \u2060", "\x07", None])
def test_a_text_of_which_nothing_is_seen_is_blank(cell):
    assert blank(cell) and not blank(f"{cell}a") and not blank("\U0001f469\u200d\U0001f3a4")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" 007 ", "007"),
        (7, "7"),
        (7.0, "7"),
        (np.float32(7), "7"),
        (np.int64(7), "7"),
        (decimal.Decimal("7.00"), "7"),
        (1e15, "1000000000000000"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (2**80 + 1, str(2**80 + 1)),
        ("1.0", "1.0"),  # a text stays as it is written
        (b"caf\xc3\xa9", "café"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
    ],
)
def test_an_id_is_the_same_text_whatever_its_type(cell, text):
    assert written(cell) == text


@pytest.mark.parametrize(
    "cell", [True, [1], {"a": 1}, np.array([1]), b"\xff", float("inf"), 1e17, "\ud83d", "a\0", None]
)
def test_what_is_no_single_value_is_no_id(cell):
    with pytest.raises(ValueError, match="is "):
        written(cell)


TRUE, FALSE = (True, np.bool(True), "True", " true", "TRUE", "yes", "on", 1, 1.0, "1"), (False, "false", "No", 0, "0")


@pytest.mark.parametrize("cell", TRUE)
def test_true_matches_every_way_to_write_it_and_no_false(cell):
    assert matches(cell, True) and not matches(cell, False) and matches(cell, [False, True])


@pytest.mark.parametrize("cell", FALSE)
def test_false_matches_every_way_to_write_it_and_no_true(cell):
    assert matches(cell, False) and not matches(cell, True)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("Rock", "rock"),
        (" rock ", "ROCK"),
        (True, "true"),
        ("true", "True"),
        (3, 3.0),
        ("3", 3),
        ("3.0", 3),
        (3.0, "3"),
        (np.int64(3), "3"),
        (decimal.Decimal("0.5"), 0.5),
        (2**60 + 1, str(2**60 + 1)),
        ("1e3", 1000),
        ("jazz", ["rock", "jazz"]),
        (2, ("1", "2")),
    ],
)
def test_words_match_in_any_case_and_numbers_by_value(cell, wanted):
    assert matches(cell, wanted)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("rock", "rock music"),
        ("007", 7),
        ("007", "7"),
        (2**60, 2**60 + 1),
        (2, True),
        ("2", True),
        ("maybe", True),
        ("", False),
        (["rock"], "rock"),
        ({"a": 1}, "a"),
        ("rock", []),
        ("9" * 5000, 9),
    ],
)
def test_other_words_and_numbers_do_not_match(cell, wanted):
    assert not matches(cell, wanted)


def test_a_column_is_matched_as_its_cells_are_one_by_one():
    cells, wanted = [*NONE, *TRUE, *FALSE, "x", 2], [True, "X"]
    assert list(matching(cells, wanted)) == [matches(cell, wanted) for cell in cells]


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object", "string", "int64", "float64"])
def test_where_keeps_the_same_rows_of_every_type(dtype):
    flags = pd.Series([True, False, True]).astype(dtype if dtype != "string" else "object").astype(dtype)
    assert list(keep(pd.DataFrame({"flag": flags, "n": [0, 1, 2]}), {"flag": True})["n"]) == [0, 2]


def test_a_message_shows_a_cell_shortly():
    assert shown(b"\xff" * 10**6) == "1000000 bytes"
    assert shown({"bytes": b"\xff" * 10**6, "path": "a"}) == "a record of bytes, path"
    assert len(shown("x" * 1000)) == 60 and shown(["x" * 1000] * 3) == "a list of 3"
