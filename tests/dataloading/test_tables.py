"""Files of tables: what is well formed is read as it is written, anything else is refused with its line or row."""

import datetime
import decimal
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffgar.dataloading.datasets.cells import Embedded
from diffgar.dataloading.datasets.splits import by_list, by_name
from diffgar.dataloading.datasets.tables import DatasetError, read_table
from diffgar.dataloading.datasets.tracks import read_dataset

COLUMNS = {"track_id": "track_id", "path": "path", "caption": "caption"}
HEADER = "track_id,path,caption\n"


def written(folder: Path, content: str | bytes | pa.Table, suffix: str = "csv") -> str:
    path = folder / f"table.{suffix}"
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def captions(table, **options) -> list[str]:
    dataset = read_dataset("some", table, "/audio", COLUMNS, by_name("test"), **options)
    for frame in (dataset.tracks, dataset.captions):
        frame.to_parquet(io.BytesIO())  # as the store does, at the very end of an extraction
    return list(dataset.captions["caption"])


READ = {
    "line breaks in quotes": (
        HEADER + '0,a,"slow,\nand ""sad"", mostly"\n1,b,last\n',
        ['slow,\nand "sad", mostly', "last"],
    ),
    "prose with commas in quotes": ('track_id,path,caption\n0,a,"first,\nsecond, third"\n', ["first,\nsecond, third"]),
    "CR LF": (HEADER.replace("\n", "\r\n") + "0,a,slow\r\n1,b,fast\r\n", ["slow", "fast"]),
    "CR alone": (HEADER.replace("\n", "\r") + "0,a,slow\r1,b,fast\r", ["slow", "fast"]),
    "blanks round cells": ('track_id, path , caption\n 0 , a , slow \n1, b, "fast, loud"\n', ["slow", "fast, loud"]),
    "blank lines": ("\n" + HEADER + "\n0,a,slow\n   \n\n", ["slow"]),
    "a mark of UTF-8": (("\ufeff" + HEADER + "0,a,é\n").encode(), ["é"]),
    "two such marks": (("\ufeff\ufeff" + HEADER + "0,a,é\n").encode(), ["é"]),
    "UTF-16": ((HEADER + "0,a,é → ü\n").encode("utf-16"), ["é → ü"]),
    "UTF-32": ((HEADER + "0,a,é\n").encode("utf-32"), ["é"]),
    "quotes inside a cell": (HEADER + '0,a,a 12" mix\n', ['a 12" mix']),
    "words for none in a sentence": (HEADER + "0,a,nan bread; none of it\n", ["nan bread; none of it"]),
    "brackets that are no list": (
        HEADER + "0,a,[Intro] slow [Outro]\n1,b,(guitar)\n",
        ["[Intro] slow [Outro]", "(guitar)"],
    ),
    "a name twice, not mapped": ("track_id,path,caption,x,x\n0,a,slow,1,2\n", ["slow"]),
    "zero bytes, not mapped": ("track_id,path,caption,x\n0,a,slow,\0\n", ["slow"]),
    "a long cell, not mapped": ("track_id,path,caption,x\n0,a,slow," + "y" * 300_000 + "\n", ["slow"]),
}


@pytest.mark.parametrize("what", READ)
def test_a_csv_is_read_as_it_is_written(tmp_path, what):
    content, expected = READ[what]
    assert captions(written(tmp_path, content), path_template="{track_id}.wav") == expected


def test_a_tsv_takes_commas_as_they_are(tmp_path):
    content = HEADER.replace(",", "\t") + '0\ta\tslow, sad\n1\tb\t"of ""two"" lines\nand\ta tab"\n'
    assert captions(written(tmp_path, content, "tsv")) == ["slow, sad", 'of "two" lines\nand\ta tab']


REFUSED = {
    "line 3 has 4 cells, the header has 3; put double quotes": HEADER + "0,a,slow\n1,b,fast, loud\n",
    "line 2 has 4 cells.*it ends with a comma; take it off": HEADER + "0,a,slow,\n1,b,fast,\n",
    "line 2 has 2 cells, the header has 3": HEADER + "0,slow\n",
    "line 2 has 4 cells.*single and typographic quotes": HEADER + "0,a,'slow, sad'\n",
    "line 2 has 4 cells.*single and typographic quotes do not": HEADER + "0,a,“slow, sad”\n",
    r"line 2 escapes quotes by a backslash": HEADER + '0,a,"sings \\"oh, yeah\\" slowly"\n',
    "line 2 opens a quote .* never closed": HEADER + '0,a,"slow\n1,b,fast\n',
    'a quote .". that line 2 opens is closed in line 4': HEADER + '0,a,"slow\n1,b,fast, loud\n2,c,oh"\n3,d,last\n',
    "line 2 opens is closed in line 3": "track_id,caption,path\n" + '0,"slow,a\n1,fast",b\n',
    "line 2 opens is closed in line 4, and the lines": "track_id, path, caption\n"
    + '0, a, "slow\n1, b, fast\n2, c, oh"\n',
    "line 2 opens a quote, which line 3 closes before its cell ends": HEADER + '0,a,"slow\n1,b,"fast, loud"\n',
    "line 1 is 'track_id;path;caption': its cells are separated by a semicolon": "track_id;path;caption\n0;a;slow\n",
    "separated by a tab; call it .tsv": HEADER.replace(",", "\t") + "0\ta\tslow\n",
    "separated by a semicolon": "sep=;\ntrack_id;path;caption\n0;a;slow\n",
    "line 3 repeats the header": HEADER + "0,a,slow\n" + HEADER + "1,b,fast\n",
    r"no column 'caption'; there are .*'caption \(column 3\)', 'caption \(column 4\)'": (
        "track_id,path,caption,caption\n0,a,slow,fast\n"
    ),
    "line 3 holds the byte 0xe9, which is not UTF-8 .*cp1252": (HEADER + "0,a,slow\n1,b,café\n").encode("cp1252"),
    "line 3 holds the byte 0xe9": (HEADER + "0,a,é\n").encode() + "1,b,é\n".encode("latin-1"),
    "line 1 holds zero bytes, as UTF-16 without its mark": (HEADER + "0,a,slow\n").encode("utf-16-le"),
    "line 3 holds zero bytes, as a file .* not written to its end": HEADER + "0,a,slow\n" + "\0" * 40,
    "line 2: caption is 's.x00w', which holds a zero byte": HEADER + "0,a,s\0w\n",
    "line 2 has 3 cells, the header has 2: it is 'sep=,', which names no columns; take that line out": "sep=,\n"
    + HEADER,
    "line 2 has 3 cells, the header has 1: it is '# mine', which names no columns": "# mine\n" + HEADER,
    "line 2 has an empty caption": HEADER + "0,a,\u200b\x07\n",
    "holds no row": "",
    "table.csv: holds no row": HEADER,
    "line 2 has no track_id; give it one": HEADER + ",a,slow\n",
    "line 2 has no track_id but the word 'None'": HEADER + "None,a,slow\n",
    "line 2 has no path, which path_template '.path.' needs": HEADER + "0,,slow\n",
    "line 3 has an empty caption": HEADER + "0,a,slow\n1,b,  \n",
    "line 2: caption is a list of 2, not text": HEADER + "0,a,\"[['rock', 'guitar']]\"\n",
    "table.csv: line 2 has an empty caption": HEADER + "0,a,[]\n",
    "line 2: caption is .*a list or record": HEADER + '0,a,"{""en"": ""slow""}"\n',
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_csv_that_is_not_well_formed_is_refused_with_its_line(tmp_path, message):
    with pytest.raises(DatasetError, match=r"table\.csv: .*" * ("table.csv" not in message) + message):
        captions(written(tmp_path, REFUSED[message]))


def test_a_tsv_whose_quotes_do_not_belong_together_is_refused_with_its_lines(tmp_path):
    content = HEADER.replace(",", "\t") + '0\ta\t"a cool song\n1\tb\tplain\n2\tc\tthe singer says oh"\n3\td\tlast\n'
    with pytest.raises(DatasetError, match="line 2 opens is closed in line 4, and the lines between are rows"):
        captions(written(tmp_path, content, "tsv"))
    with pytest.raises(DatasetError, match="separated by a comma; call it .csv"):
        captions(written(tmp_path, HEADER + "0,a,slow\n", "tsv"))


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NULL", "NA", "n/a", "<NA>", " null "])
@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_caption_that_is_a_word_for_none_is_refused_by_row(tmp_path, suffix, word):
    rows = pd.DataFrame({"track_id": ["0"], "path": ["a"], "caption": [word]})
    path = tmp_path / f"table.{suffix}"
    {"csv": rows.to_csv, "json": lambda p, index: rows.to_json(p, orient="records"), "parquet": rows.to_parquet}[
        suffix
    ](path, index=False)
    place = "line 2" if suffix == "csv" else "row 1"
    with pytest.raises(DatasetError, match=f"{place}: caption is the word '{word.strip()}'"):
        captions(str(path))


RECORDS = [{"track_id": "0", "path": "a", "caption": "slow"}, {"track_id": "1", "path": "b", "caption": "f\u2028ast"}]
LINES = "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize("content", [LINES, LINES + "\n\n", "\ufeff" + LINES.replace("\n", "\r\n")])
def test_json_lines_are_read_whatever_the_file_is_called(tmp_path, suffix, content):
    assert captions(written(tmp_path, content, suffix)) == ["slow", "f\u2028ast"]


JSON = {
    ("jsonl", '{"track_id": "0"}\n{"track_id": "1"\n{"track_id": "2"}'): r"line 2 is no JSON record \(Expecting",
    ("json", '{"track_id": "0"}\n{"track_id": "1"\n'): "line 2 is no JSON record",
    ("jsonl", '[{"track_id": "0"}]'): "line 1 is a list, expected a record",
    ("json", '[{"track_id": "0"}, 5]'): "row 2 is a number, expected a record",
    ("json", '[{"track_id": "0"}] and more'): "cannot be read as json .Extra data",
    ("json", "5"): "expected a list of records",
    ("json", "[]"): "holds no row",
    ("json", '{"a": {"path": "x"}, "a": {"path": "y"}}'): "the name 'a' stands twice",
    ("jsonl", '{"track_id": "0"}\n{"track_id": "1", "track_id": "2"}'): "line 2 is no JSON record .*'track_id' stands",
    ("json", "[" * 100_000): "cannot be read as json",
    ("json", '[{"track_id": "0", "path": "a", "caption": "x \\ud83d"}]'): "row 1: caption is .*half a character",
    ("json", '[{"track_id": true, "path": "a", "caption": "x"}]'): "row 1: track_id .* is True, not text",
    ("json", '[{"track_id": null, "path": "a", "caption": "x"}]'): "row 1 has no track_id; give",
    ("json", '[{"track_id": 1e17, "path": "a", "caption": "x"}]'): "row 1: track_id .*too large to be exact",
    ("json", '[{"track_id": "1", "path": {"bytes": "xx", "path": "a"}, "caption": "x"}]'): (
        "row 1: path .* is a record of bytes, path, not text; map a column of file names, or of a Parquet"
    ),
}


@pytest.mark.parametrize(("suffix", "content"), JSON)
def test_json_that_is_no_table_is_refused_by_line_or_row(tmp_path, suffix, content):
    with pytest.raises(DatasetError, match=JSON[suffix, content]):
        captions(written(tmp_path, content, suffix))


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ({"en": "slow", "fr": "lent"}, "a record of en, fr"),
        ([{"text": "fast", "score": 0.5}], "a record of text, score"),
        ([["slow"], ["fast"]], "a list of 1"),
        (5, "5"),
        (True, "True"),
        (["slow", 5], "5"),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "parquet", "frame"])
def test_captions_are_texts_or_lists_of_them_and_nothing_else(tmp_path, suffix, caption, found):
    rows = [{"track_id": "0", "path": "a", "caption": caption}]
    if suffix == "parquet":
        if caption == ["slow", 5]:
            pytest.skip("Parquet has no such column")
        table = written(tmp_path, pa.Table.from_pylist(rows), suffix)
    else:
        table = written(tmp_path, json.dumps(rows), suffix) if suffix == "json" else pd.DataFrame(rows)
    with pytest.raises(DatasetError, match=f"row 1: caption is {found}, not text"):
        captions(table)


def test_lists_of_texts_are_captions_in_every_form(tmp_path):
    rows = [{"track_id": "0", "path": "a", "caption": ["slow", "sad"]}]
    tables = [written(tmp_path, json.dumps(rows), "json"), written(tmp_path, pa.Table.from_pylist(rows), "parquet")]
    tables += [pd.DataFrame(rows), pd.DataFrame([rows[0] | {"caption": np.array(["slow", "sad"])}])]
    for table in tables:
        assert captions(table) == ["slow", "sad"]
    with pytest.raises(DatasetError, match="row 1: caption is a list of 1, not text"):
        captions(pd.DataFrame([rows[0] | {"caption": np.array([["slow", "sad"]])}]))


@pytest.mark.parametrize("table", [{"track_id": "int64"}, {"track_id": "Int64"}, {"track_id": "float64"}])
def test_ids_are_the_same_whole_and_decimal_over_several_files(tmp_path, table):
    for number, dtype in enumerate(["int64", table["track_id"]]):
        rows = pd.DataFrame({"track_id": [number], "path": [f"{number}"], "caption": ["x"]})
        rows.astype({"track_id": dtype}).to_parquet(tmp_path / f"{number}.parquet")
    dataset = read_dataset(
        "some", [str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet")], "/audio", COLUMNS, by_name("test")
    )
    assert list(dataset.tracks["track_id"]) == ["0", "1"]


def test_large_integers_stay_exact_beside_decimals_and_missing_values(tmp_path):
    large = 2**60 + 1
    ids = written(
        tmp_path,
        pa.table({"track_id": [large], "path": ["a"], "caption": ["x"], "n": pa.array([None, large][:1])}),
        "parquet",
    )
    rows = [{"track_id": float(7), "path": "b", "caption": "y", "n": large}]
    (tmp_path / "more.json").write_text(json.dumps(rows))
    dataset = read_dataset("some", [ids, str(tmp_path / "more.json")], "/audio", COLUMNS, by_name("test"))
    assert list(dataset.tracks["track_id"]) == [str(large), "7"] and list(dataset.tracks["n"]) == [None, str(large)]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "string", "float64", "object"])
@pytest.mark.parametrize("column", ["track_id", "caption"])
@pytest.mark.parametrize("form", ["frame", "parquet"])
def test_a_missing_value_of_any_type_is_refused_by_row(tmp_path, dtype, column, form):
    text = dtype in ("string", "object")
    rows = pd.DataFrame({"track_id": ["0", "1"], "path": ["a", "b"], "caption": ["x", "y"]})
    if column == "caption" and not text:
        pytest.skip("numbers are refused as captions")
    rows[column] = pd.Series(["0", None] if text else [0, None], dtype=dtype)
    if form == "parquet":
        rows.to_parquet(tmp_path / "table.parquet")
    expected = "row 2 has no track_id; give" if column == "track_id" else "row 2 has an empty caption"
    with pytest.raises(DatasetError, match=expected):
        captions(rows if form == "frame" else str(tmp_path / "table.parquet"))


BASE = {"track_id": ["0", "1"], "path": ["a", "b"], "caption": ["x", "y"]}
EMBEDDED = [{"bytes": b"\xff" * 5000, "path": "a.wav"}] * 2


@pytest.mark.parametrize("audio", [[b"\xff" * 20] * 2, [[b"\xff"]] * 2, [{"data": b"\xff"}] * 2])
def test_bytes_that_are_no_audio_are_told_in_a_short_message_and_passed_over_when_not_mapped(tmp_path, audio):
    path = written(tmp_path, pa.table(BASE | {"audio": audio}), "parquet")
    with pytest.raises(
        DatasetError, match=r"row 1: path \(column 'audio'\).*; map a column of file names, or"
    ) as error:
        read_dataset("some", path, "/audio", COLUMNS | {"path": "audio"}, by_name("test"))
    assert len(str(error.value)) < 300 + len(path) and "xff" not in str(error.value)
    assert captions(path) == ["x", "y"]


def test_embedded_files_are_not_read_from_a_parquet(tmp_path):
    path = written(tmp_path, pa.table(BASE | {"audio": EMBEDDED}), "parquet")
    assert read_table(path)["audio"].iloc[1] == Embedded("a record of bytes, path", f"{path}#audio:2")
    assert list(read_table(path)["audio.path"]) == ["a.wav", "a.wav"]
    bare = pa.array([{"bytes": None, "path": "a.wav"}] * 2, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    table = read_table(written(tmp_path, pa.table(BASE | {"audio": bare}), "parquet"))
    assert list(table["audio"]) == ["a.wav", "a.wav"] and "audio.path" not in table
    with pytest.raises(DatasetError, match="row 1: caption is a record of bytes, path, not text"):
        captions_of_column = COLUMNS | {"caption": "audio"}
        path = written(tmp_path, pa.table(BASE | {"audio": EMBEDDED}), "parquet")
        read_dataset("some", path, "/audio", captions_of_column, by_name("test"))


def test_a_list_written_as_a_text_is_that_list(tmp_path):
    content = HEADER + '0,a,"[\'slow\', ""it\'s sad""]"\n' + '1,b,"[""fast""]"\n' + "2,c,[Intro] slow piano\n"
    assert captions(written(tmp_path, content)) == ["slow", "it's sad", "fast", "[Intro] slow piano"]


def test_json_keyed_by_id_may_hold_captions_alone(tmp_path):
    content = json.dumps({"0": "slow", "1": ["fast", "loud"]}, indent=1)
    dataset = read_dataset(
        *("some", written(tmp_path, content, "json"), "/audio", {"track_id": "key", "caption": "caption"}),
        *(by_name("test"), "{key}.wav"),
    )
    assert list(dataset.captions["caption"]) == ["slow", "fast", "loud"]
    assert list(dataset.tracks["path"]) == ["/audio/0.wav", "/audio/1.wav"]


def test_every_type_of_a_parquet_is_read_and_can_be_stored(tmp_path):
    others = {
        "decimal": [decimal.Decimal("1.50"), None],
        "time": [datetime.datetime(2020, 1, 1), None],
        "zone": pa.array([datetime.datetime(2020, 1, 1)] * 2, pa.timestamp("us", "UTC")),
        "date": [datetime.date(2020, 1, 1)] * 2,
        "far": pa.array([10**17] * 2, pa.timestamp("us")),
        "dictionary": pa.array(["a", "b"]).dictionary_encode(),
        "integer": [1, None],
        "boolean": [True, None],
        "list": [[1, 2], None],
        "map": pa.array([[("k", 1)]] * 2, pa.map_(pa.string(), pa.int64())),
        "null": pa.nulls(2),
        "span": [datetime.timedelta(1)] * 2,
    }
    path = written(tmp_path, pa.table(BASE | others), "parquet")
    assert captions(path) == ["x", "y"]
    tracks = read_dataset("some", path, "/audio", COLUMNS, by_name("test")).tracks
    assert list(tracks["integer"]) == ["1", None] and list(tracks["boolean"]) == ["true", None]
    assert list(tracks["decimal"]) == ["1.50", None] and list(tracks["dictionary"]) == ["a", "b"]


def test_ids_and_captions_of_binary_dictionary_and_decimal_columns_are_texts(tmp_path):
    table = pa.table(
        {
            "track_id": [decimal.Decimal("5.00"), decimal.Decimal("6.00")],
            "path": [b"a", b"b"],
            "caption": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    dataset = read_dataset("some", written(tmp_path, table, "parquet"), "/audio", COLUMNS, by_name("test"))
    assert [(t.track_id, t.path) for t in dataset] == [("5", "/audio/a"), ("6", "/audio/b")]


def test_a_broken_value_stops_reading_only_in_a_column_that_is_mapped(tmp_path):
    offsets, data = pa.py_buffer(np.array([0, 1, 2], dtype=np.int32)), pa.py_buffer(b"\xffa")
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    assert captions(written(tmp_path, pa.table(BASE | {"q": broken}), "parquet")) == ["x", "y"]
    with pytest.raises(DatasetError, match="row 1: caption .*a byte that is not UTF-8"):
        captions(written(tmp_path, pa.table(BASE | {"caption": broken}), "parquet"))
    records = '[{"track_id": "0", "path": "a", "caption": "x", "q": "\\ud83d", "\\ud83e": {"z": NaN}}]'
    assert captions(written(tmp_path, records, "json")) == ["x"]
    odd = pd.DataFrame(BASE).assign(x=[{1, 2}, complex(1)], y=[Path("a"), pd.NA], z=[1, "one"])
    assert captions(odd) == ["x", "y"]


def test_a_table_that_may_not_be_read_is_told_with_its_path(tmp_path, monkeypatch):
    path = Path(written(tmp_path, HEADER + "0,a,slow\n"))

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"table\.csv: may not be read \(permission denied\)"):
        captions(str(path))
    with pytest.raises(DatasetError, match=r"table\.csv: may not be read \(permission denied\)"):
        by_list({"test": str(path)})


def test_a_folder_or_no_file_at_all_is_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(
        DatasetError, match=r"folder\.csv: is a folder without tables, tars and audio; name a table in it"
    ):
        captions(str(tmp_path / "folder.csv"))
    for nothing in ([], {}):
        with pytest.raises(DatasetError, match="names no file"):
            captions(nothing)


def test_a_table_under_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, HEADER + "0,a,slow\n")
    (tmp_path / "a").touch()
    dataset = read_dataset("some", "~/table.csv", "~", COLUMNS, by_name("test"))
    assert not dataset.missing_audio() and next(iter(dataset)).path == os.path.join(tmp_path, "a")


def test_messages_about_several_files_name_the_file(tmp_path):
    (tmp_path / "one.csv").write_text(HEADER + "0,a,slow\n")
    (tmp_path / "two.csv").write_text(HEADER + "1,b,\n")
    for table in (
        [f"{tmp_path}/one.csv", f"{tmp_path}/two.csv"],
        {"a": f"{tmp_path}/one.csv", "b": f"{tmp_path}/two.csv"},
    ):
        with pytest.raises(DatasetError, match=r"some: .*two\.csv: line 2 has an empty caption"):
            captions(table)
