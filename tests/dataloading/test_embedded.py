"""Audio inside Parquet files and tars is decoded where it lies: the samples, errors and digests are those of files."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import music, write, write_mp3

from diffgar.dataloading.audio import load
from diffgar.dataloading.decoders.embedded import Rows, open_audio
from diffgar.dataloading.decoders.parts import AudioError
from diffgar.dataloading.places import cell_place, file_of, inside, is_there, member_place
from diffgar.extraction.decode_ahead import audio_digest

WAVE = music(3.0)
FORMS = {
    "wav": lambda path: write(path, WAVE),
    "flac": lambda path: write(path, WAVE),
    "ogg": lambda path: write(path, WAVE),
    "mp3": lambda path: write_mp3(path, WAVE),
    "aiff": lambda path: write(path, WAVE),
}


def parquet_of(path: Path, files, **options) -> Path:
    cells = [{"bytes": None if file is None else file.read_bytes(), "path": "x"} for file in files]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"audio": pa.array(cells, kind)}), path, **options)
    return path


def tar_of(path: Path, contents: dict[str, bytes], mode="w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [(None, None), (0.5, 1.75)])
def test_the_samples_are_those_of_the_file(tmp_path, form, cut):
    file = FORMS[form](tmp_path / f"a.{form}")
    silence = write(tmp_path / "b.wav", WAVE[:1000])
    parquet = parquet_of(tmp_path / "shard.parquet", [silence, file, silence])
    tar = tar_of(tmp_path / "shard.tar", {"0.wav": silence.read_bytes(), f"s/1.{form}": file.read_bytes()})
    expected = load(file, 16000, *cut)
    for place in (cell_place(parquet, "audio", 2), member_place(tar, f"s/1.{form}")):
        assert np.array_equal(load(place, 16000, *cut), expected)
        assert audio_digest(place, *cut) == audio_digest(file, *cut)


def test_a_place_names_its_file_whatever_else_is_in_its_name(tmp_path):
    place = cell_place(tmp_path / "C# minor.tar.parquet", "audio", 3)
    assert inside(place) == (tmp_path / "C# minor.tar.parquet", "audio:3") and not is_there(place)
    assert inside("music/C# minor.wav") is None and file_of("a#b.wav") == Path("a#b.wav")
    assert inside(member_place(tmp_path / "x.tar", "y.tar#1.wav")) == (tmp_path / "x.tar", "y.tar#1.wav")


def test_rows_are_read_in_any_order_and_forwards_each_page_once(tmp_path):
    contents = [bytes([number]) * 1000 for number in range(10)]
    table = pa.table({"audio": [{"bytes": content, "path": ""} for content in contents]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4)
    rows = Rows(str(tmp_path / "a.parquet"), "audio")
    begun = []
    iter_batches = rows.file.iter_batches
    rows.file = type("File", (), {"iter_batches": lambda _, *a, **k: begun.append(k) or iter_batches(*a, **k)})()
    assert [rows.row(number) for number in (0, 0, 2, 3, 4, 9, 9)] == [contents[i] for i in (0, 0, 2, 3, 4, 9, 9)]
    assert len(begun) == 2  # at the first row, and at the last row group, which is jumped to
    assert [rows.row(number) for number in (5, 1, 8)] == [contents[i] for i in (5, 1, 8)]
    with pytest.raises(IndexError, match="10 rows"):
        rows.row(10)


def test_bytes_without_a_record_are_read_too(tmp_path):
    file = write(tmp_path / "a.flac", WAVE)
    pq.write_table(pa.table({"mp3": [file.read_bytes()] * 2}), tmp_path / "a.parquet")
    assert np.array_equal(load(cell_place(tmp_path / "a.parquet", "mp3", 2), 16000), load(file, 16000))


def refusals(folder: Path) -> dict[str, str]:
    wav = write(folder / "a.wav", WAVE)
    (folder / "empty").touch()
    (folder / "cut").write_bytes(wav.read_bytes()[:90000])
    (folder / "bad.parquet").write_bytes(b"PAR1 no table")
    parquet = parquet_of(folder / "s.parquet", [None, folder / "empty", folder / "cut"])
    tar = tar_of(folder / "s.tar", {"a.wav": (folder / "cut").read_bytes()})
    packed = tar_of(folder / "z.tar", {"a.wav": wav.read_bytes()}, "w:gz")
    return {
        "has no bytes in its Parquet file; leave its row out": cell_place(parquet, "audio", 1),
        "is empty .0 bytes.": cell_place(parquet, "audio", 2),
        "is truncated: 2.0 s of 3.0 s are not there": cell_place(parquet, "audio", 3),
        "cannot be read from its Parquet file .it has 3 rows.": cell_place(parquet, "audio", 4),
        "cannot be read from its Parquet file .*image": cell_place(parquet, "image", 1),
        "cannot be read from its Parquet file": cell_place(folder / "bad.parquet", "audio", 1),
        "is missing; check": cell_place(folder / "gone.parquet", "audio", 1),
        r"a\.wav: is truncated: 2.0 s": member_place(tar, "a.wav"),
        "is not in its tar": member_place(tar, "b.wav"),
        "is in a tar that cannot be read": member_place(packed, "a.wav"),
    }


def test_what_cannot_be_read_is_named_by_its_place_with_the_reason(tmp_path):
    for reason, place in refusals(tmp_path).items():
        with pytest.raises(AudioError, match=reason) as refusal:
            load(place, 16000)
        assert refusal.value.path == place


def test_a_tar_of_much_audio_is_read_by_its_headers_and_one_member(tmp_path, monkeypatch):
    """Reading a member touches its own bytes, not those of the other members."""
    contents = {f"{number}.wav": os.urandom(10**6) for number in range(20)}
    tar = tar_of(tmp_path / "a.tar", contents)
    with open_audio(Path(member_place(tar, "13.wav"))) as file:
        assert file.read() == contents["13.wav"]
    read = 0
    real = io.FileIO.readinto

    class Counted(io.FileIO):
        def readinto(self, buffer):
            nonlocal read
            count = real(self, buffer)
            read += count or 0
            return count

    monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedReader(Counted(path)))
    with open_audio(Path(member_place(tar, "7.wav"))) as file:
        assert file.read() == contents["7.wav"]
    assert 10**6 <= read < 1.2 * 10**6


def test_libsndfile_is_shown_the_member_alone(tmp_path):
    tar = tar_of(tmp_path / "a.tar", {"0.flac": write(tmp_path / "0.flac", WAVE).read_bytes(), "1.flac": b"x"})
    with open_audio(Path(member_place(tar, "0.flac"))) as file:
        assert soundfile.read(file)[0].shape == (len(WAVE),)
