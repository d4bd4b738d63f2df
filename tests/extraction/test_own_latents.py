"""Own latents: the same store from every layout, nothing left out without a word, and a model trained on it."""

import json
import os
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import composed, places

from diffgar.dataloading.datasets.splits import by_column
from diffgar.dataloading.datasets.tracks import read_dataset
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.extraction.array_files import LatentsError
from diffgar.extraction.batches import Options
from diffgar.extraction.given_latents import OwnLatents
from diffgar.extraction.progress import ExtractionError
from diffgar.extraction.stores import import_latents
from diffgar.jobs import extract, train

DIM, NUM_TRACKS = 8, 10
IDS = [f"t{i}" for i in range(NUM_TRACKS)]


def arrays(num_tracks=NUM_TRACKS, dim=DIM):
    """Latents by track id: of 1 to 9 frames, the second track's a lone vector (D,)."""
    random = np.random.default_rng(0)
    latents = {f"t{i}": random.standard_normal((1 + 5 * i % 9, dim)).astype(np.float32) for i in range(num_tracks)}
    return latents | {"t1": latents["t1"][0]}


def as_folder(path, latents):
    for name, array in latents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / f"{name}.npy", array)
    return path


def as_archive(path, latents):
    np.savez(path.with_suffix(".npz"), **latents)
    return path.with_suffix(".npz")


def as_parquet(path, latents):
    """Backwards, in row groups of three: neither may matter."""
    names = list(latents)[::-1]
    cells = [np.atleast_2d(latents[name]).tolist() for name in names]
    table = pa.table({"track_id": names, "latents": pa.array(cells, pa.list_(pa.list_(pa.float32())))})
    pq.write_table(table, path.with_suffix(".parquet"), row_group_size=3)
    return path.with_suffix(".parquet")


LAYOUTS = {"folder": as_folder, "npz": as_archive, "parquet": as_parquet}


def dataset(ids=IDS, **columns):
    """A table without a path to any audio."""
    splits = ["test" if i % 3 == 2 else "train" for i in range(len(ids))]
    table = pd.DataFrame({"track_id": ids, "caption": [f"tune {i}" for i in ids], "split": splits, **columns})
    mapping = {"track_id": "track_id", "path": None, "caption": "caption"}
    return read_dataset("mine", table, "", mapping, by_column(), path_template="{track_id}")


def imported(path, store, tracks=None, max_failures=0, shard=None, **how):
    options = Options(shard_size=3, max_failures=max_failures, shard=shard or {"index": 0, "count": 1})
    return import_latents(tracks or dataset(), OwnLatents(path, **({"dim": DIM} | how)), store, 0.5, options)


def content(store):
    """What does not tell which files it was imported from."""
    card, mapped = json.loads((store / "card.json").read_text()), Store(store)
    other = {name: value for name, value in card.items() if name not in ("plan", "files", "notes")}
    return mapped.frames.tobytes(), mapped.starts.tolist(), mapped.rows.drop(columns="_key").to_csv(), other


@pytest.fixture
def one(tmp_path):
    """A folder of latents and its store."""
    path = as_folder(tmp_path / "one", arrays())
    assert imported(path, tmp_path / "store")
    return path, tmp_path / "store"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_tracks_in_the_tables_order_bit_by_bit(tmp_path, layout, one):
    path = LAYOUTS[layout](tmp_path / "latents", arrays())
    assert imported(path, tmp_path / "same")
    store = Store(tmp_path / "same")
    for i, (track_id, array) in enumerate(arrays().items()):
        assert store.rows["track_id"][i] == track_id
        np.testing.assert_array_equal(store.row(i), np.atleast_2d(array).astype(np.float16))
    assert content(tmp_path / "same") == content(one[1])


def test_the_card_says_whose_the_latents_are(tmp_path):
    path = as_archive(tmp_path / "latents", arrays())
    assert imported(path, tmp_path / "store", name="theirs", window_seconds=3)
    card = Store(tmp_path / "store").card
    assert (card.encoder, card.hop_seconds, card.window_seconds, card.sample_rate) == ("theirs", 0.5, 3, None)
    assert (card.num_rows, card.num_skipped, card.checkpoint_hash) == (NUM_TRACKS, 0, "given")
    train = np.concatenate([np.atleast_2d(array) for i, array in enumerate(arrays().values()) if i % 3 != 2])
    np.testing.assert_allclose(card.mean, train.mean(axis=0), atol=1e-3)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), DIM), pa.large_list(pa.float16())])
def test_a_parquet_of_plain_lists_is_one_latent_a_track(tmp_path, kind):
    vectors = np.random.default_rng(0).standard_normal((NUM_TRACKS, DIM)).astype(np.float16)
    values = [list(vector) for vector in vectors]
    table = pa.table({"id": list(range(NUM_TRACKS)), "vector": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "vectors.parquet")
    tracks = dataset([str(i) for i in range(NUM_TRACKS)])
    assert imported(tmp_path / "vectors.parquet", tmp_path / "store", tracks, columns=("id", "vector"))
    store = Store(tmp_path / "store")
    assert set(store.lengths) == {1}
    np.testing.assert_array_equal(store.frames, vectors)


def test_a_parquets_names_are_written_as_the_tables_are_whatever_their_type(tmp_path):
    vectors = [[float(i + 1)] * DIM for i in range(NUM_TRACKS)]
    table = pa.table({"track_id": [float(i) for i in range(NUM_TRACKS)], "latents": vectors})
    pq.write_table(table, tmp_path / "vectors.parquet")
    own = OwnLatents(tmp_path / "vectors.parquet", DIM)
    assert list(own.source.names) == [str(i) for i in range(NUM_TRACKS)]


def test_a_column_of_the_table_can_name_the_arrays(tmp_path, one):
    files = [f"{i % 2}/song {i}é" for i in range(NUM_TRACKS)]
    path = as_folder(tmp_path / "named", dict(zip(files, arrays().values(), strict=True)))
    assert imported(path, tmp_path / "mine", dataset(file=files), name_column="file")
    assert Store(tmp_path / "mine").frames.tobytes() == Store(one[1]).frames.tobytes()


def test_two_jobs_make_the_store_of_one_and_what_is_done_is_not_done_again(tmp_path, one, monkeypatch):
    path, store = one
    assert not imported(path, tmp_path / "two", shard={"index": 1, "count": 2})
    names, read = [], OwnLatents.read
    monkeypatch.setattr(OwnLatents, "read", lambda self, name: names.append(name) or read(self, name))
    for _ in range(2):  # the second finds a finished store
        assert imported(path, tmp_path / "two")
        assert names == ["t0", "t1", "t2", "t3", "t4", "t5"]  # three tracks a shard; the other job took the last half
        assert content(tmp_path / "two") == content(store)


def test_latents_that_changed_are_read_again_and_no_others(one, monkeypatch):
    path, store = one
    np.save(path / "t3.npy", arrays()["t3"] + 1)
    names, read = [], OwnLatents.read
    monkeypatch.setattr(OwnLatents, "read", lambda self, name: names.append(name) or read(self, name))
    assert imported(path, store) and set(names) == {"t3"}
    np.testing.assert_array_equal(Store(store).row(3), np.atleast_2d(arrays()["t3"] + 1).astype(np.float16))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_with_another_time_are_hashed_once_and_what_is_the_same_is_not_written_again(
    tmp_path, layout, monkeypatch
):
    path, store = LAYOUTS[layout](tmp_path / "latents", arrays()), tmp_path / "store"
    assert imported(path, store)
    place = (store / "frames.f16").stat().st_ino
    LAYOUTS[layout](tmp_path / "latents", arrays() | {"t3": arrays()["t3"] + 1})
    for file in path.rglob("*.npy") if path.is_dir() else [path]:
        os.utime(file, (1, 1))
    names, read = [], OwnLatents.read
    monkeypatch.setattr(OwnLatents, "read", lambda self, name: names.append(name) or read(self, name))
    assert not imported(path, store, shard={"index": 1, "count": 2})
    compared = ["t3"] if layout == "npz" else IDS  # an archive has checksums of its own
    assert sorted(names) == compared
    assert imported(path, store, shard={"index": 0, "count": 2}) and names[len(compared) :] == ["t3"]
    assert imported(path, store) and len(names) == len(compared) + 1
    assert (store / "frames.f16").stat().st_ino == place
    for i, array in enumerate((arrays() | {"t3": arrays()["t3"] + 1}).values()):
        np.testing.assert_array_equal(Store(store).row(i), np.atleast_2d(array).astype(np.float16))


def test_latents_of_another_version_are_refused_where_a_store_is(one):
    with pytest.raises(StoreError, match="holds latents with checkpoint_hash 'given', .* 'given-2'; .* or delete that"):
        imported(*one, version=2)


BAD = {
    "holds <U1, not numbers; write it as float32": np.array([["a"] * DIM]),
    r"has shape \(2, 3, 8\), expected \(T, 8\), or \(8,\) for one latent": np.zeros((2, 3, DIM)),
    r"is empty, of shape \(0, 8\); leave its track out": np.zeros((0, DIM)),
    r"has shape \(3, 7\), expected 8 at the end; correct encoder_pair.latent_dim$": np.zeros((3, DIM - 1)),
    r"has shape \(8, 5\), expected 8 at the end; .* or transpose it": np.zeros((DIM, 5)),
    "has NaN or infinite values; compute it again": np.full((2, DIM), np.nan),
    r"has values up to 1e\+05, but float16, .*, ends at 65504; compute it again": np.full((2, DIM), 1e5),
}


def test_what_cannot_be_imported_is_left_out_with_the_reason_and_refused_beyond_max_failures(tmp_path):
    bad = dict(zip(IDS, BAD.values(), strict=False))
    path = as_folder(tmp_path / "latents", arrays() | bad)
    (path / "t8.npy").unlink()
    (path / "t9.npy").write_bytes((path / "t9.npy").read_bytes()[:-5])
    with pytest.raises(ExtractionError, match="9 tracks failed, max_failures is 8 .*latents/t0.npy: holds .* raise"):
        imported(path, tmp_path / "store", max_failures=8)
    assert imported(path, tmp_path / "other", max_failures=9)
    skipped = pd.read_csv(tmp_path / "other/skipped.csv").set_index("row_id")
    for track_id, reason in zip(IDS, BAD, strict=False):
        assert re.search(reason, skipped["reason"][track_id])
    assert skipped["reason"]["t8"] == "is missing" and skipped["path"]["t8"] == f"{path}/t8.npy"
    assert skipped["reason"]["t9"].startswith("cannot be read") and "write it again" in skipped["reason"]["t9"]
    assert list(Store(tmp_path / "other").rows["track_id"]) == ["t7"]


def test_a_latent_of_zeros_which_no_direction_ranks_is_left_out(tmp_path):
    path = as_folder(tmp_path / "latents", arrays() | {"t2": np.zeros(DIM)})
    with pytest.raises(ExtractionError, match="t2.npy: is all zeros, so that it has no direction to be ranked by"):
        imported(path, tmp_path / "store")


def test_it_stops_at_the_first_track_without_latents_unless_told_otherwise(tmp_path):
    path = as_archive(tmp_path / "latents", {key: value for key, value in arrays().items() if key != "t4"})
    with pytest.raises(ExtractionError, match=r"latents.npz\[t4\]: is missing.*raise extraction.max_failures"):
        imported(path, tmp_path / "store")
    assert len(list((tmp_path / "store/writing").glob("*/*.npz"))) == 1
    assert imported(path, tmp_path / "store", max_failures=1)  # goes on with what is done
    assert Store(tmp_path / "store").card.num_skipped == 1


def test_parquet_rows_that_are_null_or_ragged_are_left_out_with_the_reason(tmp_path):
    cells = [[[1.0] * DIM]] * 8 + [None, [[1.0] * DIM, [1.0]]]
    pq.write_table(pa.table({"track_id": IDS, "latents": cells}), tmp_path / "latents.parquet")
    assert imported(tmp_path / "latents.parquet", tmp_path / "store", max_failures=2)
    reasons = list(pd.read_csv(tmp_path / "store/skipped.csv")["reason"])
    assert "is null" in reasons[0] and "latents of 8 and of 1 dimensions" in reasons[1]


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)


UNUSABLE = {
    ("absent", "no such folder or file; set encoder_pair.latents"): lambda path: None,
    ("folder", "no .npy file in this folder; set encoder_pair.latents"): lambda path: path.mkdir(),
    ("a.csv", "no reader for '.csv'; give a folder of .npy, a .npz or a .parquet"): lambda path: path.write_text("1"),
    ("a.npz", "cannot be read as .npz .*; write it again"): lambda path: path.write_text("1"),
    ("b.npz", "holds no array"): np.savez,
    ("a.parquet", "cannot be read as .parquet .*; write it again"): lambda path: path.write_text("1"),
    ("b.parquet", r"no column 'track_id'; there are \['id', 'latents'\]; set encoder_pair.columns"): (
        lambda path: parquet(path, id=IDS, latents=[[1.0]] * NUM_TRACKS)
    ),
    ("c.parquet", r"no column 'latents'; there are \['track_id', 'z'\]; set encoder_pair.columns"): (
        lambda path: parquet(path, track_id=IDS, z=[[1.0]] * NUM_TRACKS)
    ),
    ("d.parquet", "column 'latents' holds string, expected one list per row"): (
        lambda path: parquet(path, track_id=IDS, latents=IDS)
    ),
    ("e.parquet", "'t0' stands in rows 1 and 3; keep one row per track"): (
        lambda path: parquet(path, track_id=["t0", "t1", "t0"], latents=[[1.0]] * 3)
    ),
    ("f.parquet", "holds no row"): lambda path: parquet(
        path, track_id=[], latents=pa.array([], pa.list_(pa.float32()))
    ),
}


@pytest.mark.parametrize(("name", "message"), UNUSABLE)
def test_a_source_that_cannot_be_used_is_refused_by_name_with_the_remedy(tmp_path, name, message):
    UNUSABLE[name, message](tmp_path / name)
    with pytest.raises(LatentsError, match=f"{tmp_path / name}: {message}"):
        OwnLatents(tmp_path / name, DIM)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"name_column": "file"},
            "no column 'file' of the tracks; set encoder_pair.name_column to one of .*'track_id'",
        ),
        ({"name_column": "split"}, "'t0' and others have one split, 'train'; .* a column that tells tracks apart"),
        ({"name_column": "path"}, "holds 't0' and others, but none of the table's path, the first './t0'; rename"),
    ],
)
def test_names_that_do_not_tell_the_tracks_arrays_are_refused_before_anything_is_written(one, tmp_path, how, message):
    with pytest.raises(LatentsError, match=message):
        imported(one[0], tmp_path / "new", **how)
    assert not (tmp_path / "new").exists()


DEMO_TEXT = [  # in the place of Flan-T5, which is not at hand offline
    "~encoder_pair.text_encoder",
    "+encoder_pair.text_encoder={_target_:diffgar.demo.encoder.DemoTextEncoder}",
    "encoder_pair.text_name=demo_text",
    "encoder_pair.text_dim=128",
]
TRAINING = [
    "data=template",
    "encoder_pair=own",
    "model_name=mine",
    "backbone=mlp_small",
    "num_frames=1",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=1",
    "lr_scheduler.warmup_steps=1",
    "batch_size=8",
    "sampler.num_steps=2",
    "task=demo",
    "task.dataset=template",
    "task.attributes=[]",
]


def test_one_command_makes_the_stores_that_a_model_is_trained_and_evaluated_on(tmp_path, monkeypatch, capsys):
    ids = [f"t{i}" for i in range(40)]
    table = pd.DataFrame({"track_id": ids, "caption": [f"a slow tune, number {i}" for i in range(40)]})
    table.to_csv(tmp_path / "captions.csv", index=False)
    monkeypatch.setenv("MY_DATASET", str(tmp_path))
    path = as_archive(tmp_path / "latents", dict(zip(ids, np.random.default_rng(0).random((40, 16)), strict=True)))
    data = ["data.columns.path=null", "data.path_template='{track_id}'"]
    data += ["data.split.fractions={train:0.5,validation:0.25,test:0.25}"]
    own = [f"encoder_pair.latents={path}", "encoder_pair.latent_dim=16", "encoder_pair.hop_seconds=null", *DEMO_TEXT]
    extract.extract(composed("extract_features/own/extract_own", *data, *own, *places(tmp_path)))
    output = capsys.readouterr().out
    assert "audio latents of template: " in output and "text latents of template: " in output
    store = Store(tmp_path / "data/latents/template/own")
    assert len(store) == 40 and set(store.lengths) == {1} and store.card.hop_seconds is None
    train.run(composed("train_ldm", *TRAINING, *own, *places(tmp_path)))
    output = capsys.readouterr().out
    assert "\ngdr " in output and "\nteacher " not in output  # the captions lie in another space
    assert (tmp_path / "checkpoints/mine/step=2.ckpt").is_file()
    assert list((tmp_path / "results/mine/demo").glob("retrieval-*-unique_tracks.json"))
