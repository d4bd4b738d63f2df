"""From each form of a dataset to latents: they are those of the same audio in files of its own."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_extraction import extract, write_collection

from diffgar.dataloading.datasets.splits import by_name
from diffgar.dataloading.datasets.tracks import Dataset, read_dataset
from diffgar.dataloading.store.reader import Store
from diffgar.extraction.progress import ExtractionError

NUM_TRACKS = 7
FILES = [f"{number}.flac" for number in range(NUM_TRACKS)]


def parquet(files: Path, place: Path) -> dict[str, str]:
    """The hub's form, in two shards of row groups of two rows."""
    table = pd.read_csv(files / "captions.csv")
    table["audio"] = [{"bytes": (files / name).read_bytes(), "path": name} for name in table["path"]]
    for shard, rows in enumerate((table[:4], table[4:])):
        rows.to_parquet(place / f"train-0000{shard}-of-00002.parquet", row_group_size=2)
    return {"track_id": "track_id", "path": "audio", "caption": "caption"}


def tar(files: Path, place: Path) -> dict[str, str]:
    for shard in (0, 1):
        with tarfile.open(place / f"train-0000{shard}-of-00002.tar", "w") as archive:
            table = pd.read_csv(files / "captions.csv")
            for row in table[4 * shard : 4 * shard + 4].itertuples():
                archive.add(files / row.path, row.path)
                text = tarfile.TarInfo(row.path.replace("flac", "txt"))
                text.size = len(row.caption)
                archive.addfile(text, io.BytesIO(row.caption.encode()))
    return {"track_id": "__key__", "path": "audio", "caption": "txt"}


def audio_folder(files: Path, place: Path) -> dict[str, str]:
    for name in FILES:
        (place / name).write_bytes((files / name).read_bytes())
    pd.read_csv(files / "captions.csv").rename(columns={"path": "file_name"}).to_csv(
        place / "metadata.csv", index=False
    )
    return {"track_id": "track_id", "path": "file_name", "caption": "caption"}


def audio_alone(files: Path, place: Path) -> dict[str, str]:
    for name in FILES:
        (place / name).write_bytes((files / name).read_bytes())
    return {"track_id": "file_name", "path": "file_name"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, Store]:
    folder = tmp_path_factory.mktemp("plain")
    write_collection(folder, NUM_TRACKS)
    columns = {"track_id": "track_id", "path": "path", "caption": "caption"}
    extract(read(folder / "captions.csv", folder, columns), folder / "store")
    return folder, Store(folder / "store")


def read(table: Path, root: Path, columns: dict[str, str]) -> Dataset:
    return read_dataset("some", str(table), str(root), columns, by_name("train"))


@pytest.mark.parametrize("form", [parquet, tar, audio_folder, audio_alone], ids=lambda form: form.__name__)
def test_every_form_gives_the_latents_of_the_files(plain, tmp_path, form):
    files, expected = plain
    (tmp_path / "data").mkdir()
    dataset = read(tmp_path / "data", tmp_path / "data", form(files, tmp_path / "data"))
    if form is not audio_alone:
        assert list(dataset.captions["caption"]) == list(pd.read_csv(files / "captions.csv")["caption"])
    store = tmp_path / "store"
    assert extract(dataset, store)
    latents = Store(store)
    assert len(latents) == NUM_TRACKS
    for number in range(NUM_TRACKS):
        np.testing.assert_array_equal(latents.row(number), expected.row(number))
    assert list(latents.rows["_audio"]) == list(expected.rows["_audio"])
    assert list(latents.rows["path"]) == list(dataset.tracks["path"])


def test_a_shard_that_was_moved_or_written_anew_keeps_the_latents_of_the_audio_that_is_the_same(plain, tmp_path):
    files, _ = plain
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        columns = parquet(files, tmp_path / place)
    assert extract(read(tmp_path / "a", tmp_path, columns), tmp_path / "store")
    before = Store(tmp_path / "store").rows["_audio"].tolist()
    shard = tmp_path / "b/train-00001-of-00002.parquet"
    changed = pd.read_parquet(shard)
    changed.at[changed.index[-1], "audio"] = changed["audio"].iloc[0]
    changed.to_parquet(shard)
    assert extract(read(tmp_path / "b", tmp_path, columns), tmp_path / "store")
    after = Store(tmp_path / "store").rows["_audio"].tolist()
    assert after[:-1] == before[:-1] and after[-1] == before[4] != before[-1]


def test_a_row_whose_bytes_are_gone_is_left_out_and_counted(plain, tmp_path):
    files, _ = plain
    (tmp_path / "a").mkdir()
    columns = parquet(files, tmp_path / "a")
    assert extract(read(tmp_path / "a", tmp_path, columns), tmp_path / "store")
    shard = tmp_path / "a/train-00001-of-00002.parquet"
    changed = pd.read_parquet(shard)
    changed.at[changed.index[-1], "audio"] = {"bytes": None, "path": "6.flac"}
    changed.to_parquet(shard)
    with pytest.raises(ExtractionError, match=r"00001-of-00002\.parquet#audio:3: has no bytes in its Parquet file"):
        extract(read(tmp_path / "a", tmp_path, columns), tmp_path / "store")
    assert extract(read(tmp_path / "a", tmp_path, columns), tmp_path / "store", max_failures=1)
    assert Store(tmp_path / "store").rows["row_id"].tolist() == [f"t{number}" for number in range(NUM_TRACKS - 1)]
