"""Audio inside a Parquet file or a tar is played by the app as a file is: whole, and in parts."""

import io
import tarfile
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audio_files import music, write

from diffgar.app.parts import served
from diffgar.app.uploads import Uploads
from diffgar.dataloading.decoders.parts import AudioError
from diffgar.dataloading.places import cell_place, member_place, name_of


@pytest.fixture
def places(tmp_path) -> tuple[bytes, list[Path]]:
    """The bytes of a file, and its places in a Parquet file and in a tar; the last place holds none."""
    content = write(tmp_path / "a.flac", music(0.5)).read_bytes()
    pq.write_table(pa.table({"audio": [{"bytes": content, "path": "a"}]}), tmp_path / "x.parquet")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("s/a.flac")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    parquet, tar = tmp_path / "x.parquet", tmp_path / "x.tar"
    found = [cell_place(parquet, "audio", 1), member_place(tar, "s/a.flac"), cell_place(parquet, "audio", 2)]
    return content, [Path(place) for place in found]


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=100-199", 206, slice(100, 200)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-100", 206, slice(-100, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("bytes=0-1,5-6", 200, slice(None)),
    ],
)
def test_the_bytes_that_a_player_asks_for(places, wanted, status, part):
    content, (cell, member, _) = places
    for place in (cell, member):
        sent = served(place, wanted)
        assert (sent.status, sent.content) == (status, content[part])
        assert sent.headers["content-type"] == "audio/flac"
    if status == 206:
        first = len(content[: part.start]) if part.start else 0
        assert sent.headers["content-range"] == f"bytes {first}-{first + len(sent.content) - 1}/{len(content)}"


def test_a_track_is_called_by_its_member_or_its_row(places):
    _, (cell, member, _) = places
    assert (name_of(cell), name_of(member), name_of("b/c.d.mp3")) == ("x 1", "a", "c.d")


def test_the_app_serves_it(places):
    pytest.importorskip("gradio", reason="the app's page needs requirements-app.txt")
    from fastapi.testclient import TestClient

    from diffgar.app.server import build_server

    content, paths = places
    opening: Future = Future()
    library = type("Library", (), {"__len__": lambda _: len(paths), "path_of": lambda _, position: paths[position]})()
    opening.set_result(SimpleNamespace(library=library))
    client = TestClient(build_server(opening, Uploads()), base_url="http://127.0.0.1")
    for position in (0, 1):
        assert client.get(f"/audio/{position}").content == content
        part = client.get(f"/audio/{position}", headers={"range": "bytes=5-9"})
        assert (part.status_code, part.content, part.headers["content-length"]) == (206, content[5:10], "5")
    gone = client.get("/audio/2")
    assert gone.status_code == 404 and "it has 1 rows" in gone.json()["sentence"]


def test_a_row_that_is_not_there_is_refused(places):
    with pytest.raises(AudioError, match="it has 1 rows"):
        served(places[1][2], None)
