"""A store follows its table: what is new or changed is encoded, and nothing else."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from test_extraction import OPTIONS, RATE, Bands, Words, collection, content, extract, write_collection

from diffgar.dataloading.datasets.splits import by_name
from diffgar.dataloading.datasets.tracks import mix, read_dataset
from diffgar.dataloading.store import join as store_join
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.extraction.batches import Options
from diffgar.extraction.progress import ExtractionError
from diffgar.extraction.stores import extract_text


class Counting(Bands):
    """Counts the windows that it was given, all but those that fill a shard's last batch."""

    def __init__(self):
        super().__init__()
        self.energies = []

    def encode(self, batch):
        self.energies += batch.square().sum(dim=1).tolist()
        return super().encode(batch)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "music").mkdir()
    write_collection(tmp_path / "music", num_tracks=6)
    return tmp_path / "music"


def table(folder):
    return pd.read_csv(folder / "captions.csv", dtype=str)


def edit(folder, **changes):
    """Write the table with other columns; a change may be a function of the table."""
    rows = table(folder)
    rows.assign(**changes).to_csv(folder / "captions.csv", index=False)


def tone(path, band, seconds=2.0):
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * 250 * (band + 0.5) * np.arange(int(seconds * RATE)) / RATE), RATE)


def add_track(folder, name="new", at=None):
    tone(folder / f"{name}.flac", 3)
    rows = table(folder)
    new = pd.DataFrame([{"track_id": name, "path": f"{name}.flac", "caption": "band 3"}])
    at = len(rows) if at is None else at
    pd.concat([rows[:at], new, rows[at:]]).to_csv(folder / "captions.csv", index=False)


def fresh(folder, tmp_path, name="fresh"):
    assert extract(collection(folder), tmp_path / name)
    return Store(tmp_path / name)


def frames_of(store):
    """All rows' frames in the table's order, wherever the file has them."""
    return np.concatenate([store.row(i) for i in range(len(store))])


def assert_same(one, other):
    """The same rows and latents: float16 may differ in its last bit where a window met other windows in its batch."""
    pd.testing.assert_frame_equal(one.rows, other.rows)
    np.testing.assert_allclose(frames_of(one), frames_of(other), atol=1e-3)
    assert np.allclose(one.card.mean, other.card.mean, atol=1e-3)


def encoded(encoder):
    return len(encoder.batches)


@pytest.mark.parametrize("at", [0, 3, None])
def test_a_new_track_is_encoded_alone_and_stands_where_the_table_has_it(folder, tmp_path, at):
    extract(collection(folder), tmp_path / "store")
    add_track(folder, at=at)
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder)
    assert encoded(encoder) == 2  # seven windows in batches of five
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))
    Store(tmp_path / "store").verify()


def test_a_table_of_3000_tracks_that_grew_by_ten_encodes_ten(tmp_path):
    tone(tmp_path / "one.flac", 3, seconds=1)
    columns = {"track_id": "track_id", "path": "path", "caption": "caption"}

    def dataset(num_tracks):
        rows = [(f"t{i}", "one.flac", f"band {i % 16}") for i in [*range(3000, num_tracks), *range(3000)]]
        return read_dataset(
            "large", pd.DataFrame(rows, columns=list(columns)), str(tmp_path), columns, by_name("train")
        )

    options = {"batch_size": 60, "shard_size": 500}
    assert extract(dataset(3000), tmp_path / "store", **options)
    before = Store(tmp_path / "store").frames.tobytes()
    encoder = Counting()
    assert extract(dataset(3010), tmp_path / "store", encoder, **options)
    windows = int(Store(tmp_path / "store").lengths[0])
    assert len(encoder.energies) == -(-10 * windows // 60) * 60, "ten tracks, and what fills their last batch"
    store = Store(tmp_path / "store")
    assert list(store.rows["row_id"][:11]) == [*(f"t{i}" for i in range(3000, 3010)), "t0"]
    assert store.frames.tobytes().startswith(before) and len(store.frames) == 3010 * windows


def test_a_mix_encodes_what_the_stores_of_its_datasets_lack_and_nothing_twice(folder, tmp_path):
    latents = tmp_path / "latents"
    assert extract(collection(folder), latents / "some/bands")
    both = mix("both", {"one": collection(folder)}, {"one": 1})
    encoder = Counting()
    assert extract(both, latents / "both/bands", encoder) and not encoder.batches
    assert list(Store(latents / "both/bands").rows["row_id"]) == [f"one/t{i}" for i in range(6)]
    add_track(folder)
    both = mix("both", {"one": collection(folder)}, {"one": 1})
    for index in (1, 0):
        job = {"index": index, "count": 2}
        assert extract(both, latents / "both/bands", encoder, shard=job) is (index == 0)
    mixed, own = Store(latents / "both/bands"), Store(latents / "some/bands")
    assert len(encoder.batches) == 2 and len(mixed) == 7
    assert np.array_equal(frames_of(mixed), frames_of(own)) and mixed.card.mean == own.card.mean
    options = Options(batch_size=4, device="cpu")
    assert extract_text(both, Words(), latents / "both/words", options)
    assert list(TextStore(latents / "both/words").rows["caption"])[:2] == ["", table(folder)["caption"][0]]
    assert TextStore(latents / "both/words").embeddings.shape == (8, 16)


def test_a_mix_with_frames_of_its_own_goes_on_with_them(folder, tmp_path):
    both = mix("both", {"one": collection(folder)}, {"one": 1})
    own = replace(both, parts={})
    assert extract(own, tmp_path / "both/bands")
    encoder = Counting()
    assert extract(both, tmp_path / "both/bands", encoder) and not encoder.batches
    assert (tmp_path / "both/bands/frames.f16").is_file() and not (tmp_path / "some").exists()


def test_a_changed_file_is_encoded_again(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    tone(folder / "2.flac", 9)
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder)
    assert encoded(encoder) == 2
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_a_changed_cut_is_encoded_again(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    edit(folder, path=["0.flac", "1.flac", "1.flac", "3.flac", "4.flac", "5.flac"])
    assert extract(collection(folder), tmp_path / "store")
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_files_that_were_moved_are_the_same_files(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    frames = Store(tmp_path / "store").frames.tobytes()
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)  # other times as well
    for _ in range(2):
        encoder = Counting()
        assert extract(collection(tmp_path / "elsewhere"), tmp_path / "store", encoder)
        assert not encoder.batches and Store(tmp_path / "store").frames.tobytes() == frames
    assert Store(tmp_path / "store").rows["path"].str.contains("elsewhere").all()


def test_a_further_column_needs_no_encoding(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    edit(folder, mood=["sad", "gay"] * 3)
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder)
    assert not encoder.batches and list(Store(tmp_path / "store").rows["mood"]) == ["sad", "gay"] * 3


def test_another_split_needs_no_encoding_and_gives_other_statistics(folder, tmp_path):
    dataset = collection(folder)
    extract(dataset, tmp_path / "store")
    dataset.tracks["split"] = ["train", "test"] * 3
    encoder = Counting()
    assert extract(dataset, tmp_path / "store", encoder) and not encoder.batches
    assert extract(dataset, tmp_path / "fresh")
    assert_same(Store(tmp_path / "store"), Store(tmp_path / "fresh"))
    assert content(tmp_path / "store") == content(tmp_path / "fresh")


def test_tracks_that_the_table_lost_are_in_no_split_until_they_come_back_or_are_let_go(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    whole = table(folder)
    whole[1:].to_csv(folder / "captions.csv", index=False)
    encoder = Counting()
    for _ in range(2):
        assert extract(collection(folder), tmp_path / "store", encoder) and not encoder.batches
        rows = Store(tmp_path / "store").rows
        assert list(rows["row_id"]) == ["t1", "t2", "t3", "t4", "t5", "t0"]
        assert list(rows["split"]) == ["train"] * 5 + [""]
    whole.to_csv(folder / "captions.csv", index=False)
    assert extract(collection(folder), tmp_path / "store", encoder) and not encoder.batches
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))
    whole[1:].to_csv(folder / "captions.csv", index=False)
    assert extract(collection(folder), tmp_path / "store", encoder, prune=True) and not encoder.batches
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path, "pruned"))


def test_shards_of_a_larger_table_outlive_a_smaller_one(folder, tmp_path):
    whole, last = table(folder), (folder / "5.flac").read_bytes()
    (folder / "5.flac").write_bytes(b"no audio at all, but some bytes that are not empty")
    with pytest.raises(ExtractionError):
        extract(collection(folder), tmp_path / "store", shard_size=1)
    whole[2:5].to_csv(folder / "captions.csv", index=False)
    assert extract(collection(folder), tmp_path / "store", shard_size=1)
    (folder / "5.flac").write_bytes(last)
    whole.to_csv(folder / "captions.csv", index=False)
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder, shard_size=1)
    assert len(encoder.batches) == -(-len(Store(tmp_path / "store").row(5)) // OPTIONS["batch_size"])
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_mended_tracks_come_into_an_unfinished_store_and_into_a_finished_one(folder, tmp_path):
    for name in ("1.flac", "4.flac"):
        (folder / name).write_bytes(b"no audio at all, but some bytes that are not empty")
    with pytest.raises(ExtractionError, match="2 tracks failed"):
        extract(collection(folder), tmp_path / "store", max_failures=1, shard_size=2)
    tone(folder / "1.flac", 1)
    assert extract(collection(folder), tmp_path / "store", max_failures=1, shard_size=2)
    assert list(pd.read_csv(tmp_path / "store/skipped.csv")["row_id"]) == ["t4"]
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder, max_failures=1, shard_size=2)
    assert not encoder.batches, "what cannot be read is not tried again as long as it stays as it is"
    tone(folder / "4.flac", 4)
    assert extract(collection(folder), tmp_path / "store", shard_size=2)
    assert not (tmp_path / "store/skipped.csv").exists()
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_a_broken_track_may_be_left_out_of_the_table_on_the_way(folder, tmp_path):
    (folder / "4.flac").write_bytes(b"no audio at all, but some bytes that are not empty")
    with pytest.raises(ExtractionError, match="leave them out of the table"):
        extract(collection(folder), tmp_path / "store", shard_size=2)
    table(folder).drop(index=4).to_csv(folder / "captions.csv", index=False)
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder, shard_size=2)
    done, every = encoded(encoder), Counting()
    assert extract(collection(folder), tmp_path / "fresh", every)
    assert done < encoded(every), "the shards before the broken track were kept"
    assert_same(Store(tmp_path / "store"), Store(tmp_path / "fresh"))


def test_a_file_that_comes_later_is_encoded_then(folder, tmp_path):
    later = (folder / "3.flac").read_bytes()
    (folder / "3.flac").unlink()
    assert extract(collection(folder, missing="skip"), tmp_path / "store")
    assert len(Store(tmp_path / "store")) == 5
    (folder / "3.flac").write_bytes(later)
    encoder = Counting()
    assert extract(collection(folder, missing="skip"), tmp_path / "store", encoder)
    assert encoder.batches and len(Store(tmp_path / "store")) == 6
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_tracks_left_out_are_tried_again_without_skipped_csv(folder, tmp_path):
    (folder / "4.flac").write_bytes(b"no audio at all, but some bytes that are not empty")
    assert extract(collection(folder), tmp_path / "store", max_failures=1)
    (tmp_path / "store/skipped.csv").unlink()
    with pytest.raises(ExtractionError, match="1 tracks failed"):
        extract(collection(folder), tmp_path / "store")


def test_edited_captions_get_new_states_and_the_others_keep_theirs(folder, tmp_path):
    class Heard(Words):
        heard = ()

        def encode(self, captions):
            self.heard = (*self.heard, *captions)
            return super().encode(captions)

    options = Options(batch_size=4, device="cpu")
    assert extract_text(collection(folder), Heard(), tmp_path / "text", options)
    edit(folder, caption=[*table(folder)["caption"][:5], "now it is 7"])
    encoder = Heard()
    assert extract_text(collection(folder), encoder, tmp_path / "text", options)
    assert encoder.heard == ("now it is 7",)
    assert extract_text(collection(folder), Heard(), tmp_path / "fresh", options)
    store, fresh = TextStore(tmp_path / "text"), TextStore(tmp_path / "fresh")
    assert list(store.rows["caption"]) == ["", *table(folder)["caption"]]
    assert np.array_equal(frames_of(store), frames_of(fresh)) and np.array_equal(store.embeddings, fresh.embeddings)


def test_vectors_of_some_captions_alone_are_left_out(folder, tmp_path):
    class WithoutVectors(Words):
        embedding_dim = None

        def encode(self, captions):
            return replace(super().encode(captions), embedding=None)

    options = Options(batch_size=4, device="cpu")
    assert extract_text(collection(folder), WithoutVectors(), tmp_path / "text", options)
    add_track(folder)
    assert extract_text(collection(folder), Words(), tmp_path / "text", options)
    assert extract_text(collection(folder), WithoutVectors(), tmp_path / "fresh", options)
    store, fresh = TextStore(tmp_path / "text"), TextStore(tmp_path / "fresh")
    assert store.embeddings is None and len(store.rows) == 8 and np.array_equal(store.frames, fresh.frames)


def test_another_cut_of_captions_or_precision_is_another_store(folder, tmp_path):
    options = Options(batch_size=4, device="cpu")
    extract_text(collection(folder), Words(), tmp_path / "text", options)
    with pytest.raises(StoreError, match="holds latents with max_tokens 3, this run would write 9"):
        extract_text(collection(folder), type("Longer", (Words,), {"max_tokens": 9})(), tmp_path / "text", options)
    with pytest.raises(StoreError, match="holds latents with precision 'fp32', this run would write 'bf16'"):
        extract_text(collection(folder), Words(), tmp_path / "text", Options(device="cpu", precision="bf16"))


def test_a_kill_while_the_new_store_is_put_in_place_is_gone_on_with(folder, tmp_path, monkeypatch):
    extract(collection(folder), tmp_path / "store")
    add_track(folder)

    def killed(folder):
        (folder / "ready/card.json").replace(folder / "card.json")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store_join, "install", killed)
        extract(collection(folder), tmp_path / "store")
    with pytest.raises(StoreError, match="was being replaced when its run was killed; run"):
        Store(tmp_path / "store")
    encoder = Counting()
    assert extract(collection(folder), tmp_path / "store", encoder) and not encoder.batches
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_a_kill_right_after_the_join_leaves_no_shards_for_good(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            shutil,
            "rmtree",
            lambda path, **how: (_ for _ in ()).throw(KeyboardInterrupt) if "writing" in str(path) else None,
        )
        extract(collection(folder), tmp_path / "store")
    assert list((tmp_path / "store").glob("writing/*/*.npz"))
    assert extract(collection(folder), tmp_path / "store")
    assert not (tmp_path / "store/writing").exists() or not list((tmp_path / "store").glob("writing/*/*.npz"))


def test_a_store_is_joined_where_the_file_system_has_no_flock(folder, tmp_path, monkeypatch):
    import errno
    import fcntl

    def absent(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", absent)
    assert extract(collection(folder), tmp_path / "store")
    assert len(Store(tmp_path / "store")) == 6


def test_two_jobs_extend_a_store_together(folder, tmp_path):
    extract(collection(folder), tmp_path / "store")
    for i in range(8):
        add_track(folder, f"new{i}")
    assert not extract(collection(folder), tmp_path / "store", shard={"index": 1, "count": 2})
    assert len(Store(tmp_path / "store")) == 6, "until it is joined the old store is there"
    assert extract(collection(folder), tmp_path / "store", shard={"index": 0, "count": 2})
    assert_same(Store(tmp_path / "store"), fresh(folder, tmp_path))


def test_a_plan_without_keys_knows_rows_by_their_ids(tmp_path):
    from test_latents import card, latents_of, plan, write

    write(tmp_path)
    writer = StoreWriter(tmp_path, card(), plan(11))
    assert [writer.ids[i] for i in writer.rows_of(0)] == ["track10"]
    writer.write_shard(0, {"track10": latents_of("track10")})
    assert writer.finish() and len(Store(tmp_path)) == 11
