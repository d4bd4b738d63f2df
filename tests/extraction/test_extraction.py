"""Extraction: every window once, the same store however it was made, and no track lost without a word."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
import torch
from torch.nn import functional as F

from diffgar.dataloading.audio import load, windows
from diffgar.dataloading.datasets.splits import by_name
from diffgar.dataloading.datasets.tables import DatasetError
from diffgar.dataloading.datasets.tracks import Dataset, Track, read_dataset
from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.extraction import decode_ahead as decoding
from diffgar.extraction.batches import Options
from diffgar.extraction.decode_ahead import Decoder, Framing, pieces_of
from diffgar.extraction.pair_check import self_test, warn_of_common_mean
from diffgar.extraction.progress import ExtractionError
from diffgar.extraction.stores import extract_audio, extract_text
from diffgar.models.encoders.base import AudioEncoder, EncoderPair, TextEncoder
from diffgar.text_states import TextStates

RATE, DIM = 8000, 16


class Bands(AudioEncoder):
    """Energies of spectral bands: a stand-in that any wrong sample changes."""

    name, checkpoint_hash, frontend_version = "bands", "none", 1
    sample_rate, window_seconds, dim, short_padding = RATE, 0.5, DIM, "repeat"

    def __init__(self, pause=0.0):
        super().__init__()
        self.pause, self.batches = pause, []

    def encode(self, batch):
        time.sleep(self.pause)
        self.batches.append(len(batch))
        spectrum = torch.fft.rfft(batch).abs()[:, : 125 * DIM]
        return F.normalize(spectrum.unflatten(1, (DIM, -1)).mean(dim=-1), dim=-1)


class Words(TextEncoder):
    """Token states that spell the caption's words; its embedding is the band that the caption names."""

    name, checkpoint_hash, frontend_version = "words", "none", 1
    dim, embedding_dim, max_tokens = 4, DIM, 3

    def encode(self, captions):
        words = [["<s>", *caption.split()] for caption in captions]
        lengths = torch.tensor([min(len(each), self.max_tokens) for each in words])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]  # (B, L)
        states = torch.zeros(*mask.shape, self.dim)
        for i, each in enumerate(words):
            for j, word in enumerate(each[: self.max_tokens]):
                states[i, j] = len(word)
        bands = torch.tensor([int(c.split()[-1]) if c else 0 for c in captions])
        too_long = sum(len(each) > self.max_tokens for each in words)
        return TextStates(states, mask, F.one_hot(bands, DIM).float(), too_long)


def write_collection(folder, num_tracks=12):
    """Tracks of 0.2 to 8 s, each a tone in one of the 16 bands over noise, captioned "band <number>"."""
    random, rows = np.random.default_rng(0), []
    for i in range(num_tracks):
        seconds, rate = random.uniform(0.2, 8), (RATE, 11025)[i % 2]
        wave = 0.05 * random.standard_normal(round(seconds * rate))
        band = int(random.integers(DIM))
        wave += 0.4 * np.sin(2 * np.pi * 250 * (band + 0.5) * np.arange(len(wave)) / rate)
        soundfile.write(folder / f"{i}.flac", wave, rate)
        rows.append({"track_id": f"t{i}", "path": f"{i}.flac", "caption": f"band {band}"})
    pd.DataFrame(rows).to_csv(folder / "captions.csv", index=False)


def collection(folder, **options):
    columns = {"track_id": "track_id", "path": "path", "caption": "caption"}
    return read_dataset("some", str(folder / "captions.csv"), str(folder), columns, by_name("train"), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("collection")
    write_collection(path)
    return path


OPTIONS = {"batch_size": 5, "shard_size": 3, "num_workers": 2, "device": "cpu"}


def extract(dataset, store, encoder=None, **options):
    return extract_audio(dataset, encoder or Bands(), store, 0.25, Options(**OPTIONS | options))


def content(store):
    """The bytes of a store's files: card, plan, table, offsets and frames."""
    return {path.name: path.read_bytes() for path in sorted(store.iterdir()) if path.is_file()}


@pytest.fixture(scope="module")
def one_run(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("stores") / "one"
    encoder = Bands()
    assert extract(collection(folder), store, encoder)
    return store, encoder


def test_latents_are_the_encoders_of_every_window_of_the_whole_file(folder, one_run):
    store, _ = one_run
    store = Store(store)
    for i, track in enumerate(collection(folder)):
        waveform = load(track.path, RATE)
        each = [Bands().encode(torch.tensor(w)[None]) for w in windows(waveform, RATE, 0.5, 0.25, "repeat")]
        np.testing.assert_allclose(store.row(i), torch.cat(each), atol=1e-3)  # fp16
        assert store.rows["_seconds"][i] == pytest.approx(len(waveform) / RATE, abs=1e-3)
        assert store.rows["track_id"][i] == track.track_id


def test_every_batch_is_full_and_only_a_shards_last_is_filled_up(one_run):
    store, encoder = one_run
    assert set(encoder.batches) == {OPTIONS["batch_size"]}
    frames = [num_frames for num_frames, _ in Store(store).card.checksums]
    assert len(encoder.batches) == sum(-(-n // OPTIONS["batch_size"]) for n in frames)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_the_number_of_workers_changes_no_byte(folder, one_run, tmp_path, num_workers):
    assert extract(collection(folder), tmp_path / "store", num_workers=num_workers)
    assert content(tmp_path / "store") == content(one_run[0])


def test_two_jobs_make_the_store_of_one_bitwise(folder, one_run, tmp_path):
    store = tmp_path / "store"
    assert not extract(collection(folder), store, shard={"index": 1, "count": 2})
    assert extract(collection(folder), store, shard={"index": 0, "count": 2})
    assert content(store) == content(one_run[0])


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_extraction import Bands, collection, extract
extract(collection(Path({folder!r})), Path({store!r}), Bands(pause=0.1))
"""


def ended(process: psutil.Process) -> bool:
    """Within a minute; one that nobody waits for stays as a zombie."""
    deadline = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_killed_at_any_moment_and_run_again_it_makes_the_same_store(folder, one_run, tmp_path):
    store = tmp_path / "store"
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), store=str(store))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(store.glob("writing/*/*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in store.glob("writing/*/*.npz")}
    assert 0 < len(done) < 4 and len(workers) == 2 and not (store / "rows.parquet").exists()
    assert all(ended(worker) for worker in workers)  # with their parent
    encoder = Bands()
    assert extract(collection(folder), store, encoder)
    assert 0 < len(encoder.batches) < len(one_run[1].batches)  # what was done is not done again
    assert content(store) == content(one_run[0])


def test_a_finished_store_needs_neither_the_audio_nor_the_encoder_again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "some")
    assert extract(collection(tmp_path / "some"), tmp_path / "store")
    before, encoder = content(tmp_path / "store"), Bands()
    for path in (tmp_path / "some").glob("*.flac"):
        path.unlink()
    for _ in range(2):
        assert extract(collection(tmp_path / "some"), tmp_path / "store", encoder)
        after = content(tmp_path / "store")
        assert not encoder.batches and after["frames.f16"] == before["frames.f16"]


@pytest.fixture
def damaged(folder, tmp_path):
    """The collection with one silent, one truncated and one absent track."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    soundfile.write(tmp_path / "2.flac", np.zeros(RATE), RATE)
    (tmp_path / "7.flac").write_bytes((tmp_path / "7.flac").read_bytes()[:2000])
    (tmp_path / "9.flac").unlink()
    return tmp_path


def test_tracks_left_out_are_listed_with_the_reason_and_the_others_are_as_ever(damaged, one_run, capsys):
    assert extract(collection(damaged, missing="skip"), damaged / "store", max_failures=2)
    skipped = pd.read_csv(damaged / "store" / "skipped.csv").set_index("row_id")["reason"]
    assert set(skipped.index) == {"t2", "t7", "t9"}
    assert "12/12" in (bar := capsys.readouterr().err) and "h of audio, 2 failed" in bar
    assert "silent" in skipped["t2"] and "truncated" in skipped["t7"] and "missing" in skipped["t9"]
    store, whole = Store(damaged / "store"), Store(one_run[0])
    assert len(store) == 9 and store.card.num_skipped == 3
    for i, track_id in enumerate(store.rows["track_id"]):
        np.testing.assert_allclose(store.row(i), whole.row(int(track_id[1:])), atol=1e-3)


def test_it_stops_when_more_than_max_failures_fail_and_keeps_what_is_done(damaged):
    dataset = collection(damaged, missing="skip")
    with pytest.raises(ExtractionError, match="2 tracks failed, max_failures is 1 .*2.flac.*7.flac.*raise"):
        extract(dataset, damaged / "store", max_failures=1)
    assert len(list((damaged / "store").glob("writing/*/*.npz"))) == 2
    with pytest.raises(ExtractionError, match="2 tracks failed, max_failures is 1"):
        extract(dataset, damaged / "store", max_failures=1)  # that of the shard that is done still counts
    assert extract(dataset, damaged / "store", max_failures=2)


def test_missing_audio_is_refused_before_anything_is_written(damaged):
    with pytest.raises(DatasetError, match="1 of 12 tracks is not on disk, the first .*9.flac"):
        extract(collection(damaged), damaged / "store")
    assert not (damaged / "store").exists()


def test_a_track_whose_latents_are_not_finite_is_left_out(folder, tmp_path):
    class Broken(Bands):
        def encode(self, batch):
            latents = super().encode(batch)
            return torch.where(batch.abs().amax(dim=1, keepdim=True) > 0.57, torch.nan, latents)

    assert extract(collection(folder), tmp_path / "store", Broken(), max_failures=11)
    reasons = pd.read_csv(tmp_path / "store" / "skipped.csv")["reason"]
    assert 0 < len(reasons) < 12 and set(reasons) == {"what the encoder made of it has NaN or infinite values"}


@pytest.mark.parametrize(("window", "hop"), [(0.5, 0.25), (0.5, 0.5), (0.25, 0.6), (3.0, 1.0)])
def test_the_pieces_of_a_long_file_hold_its_windows_once_each(tmp_path, monkeypatch, window, hop):
    monkeypatch.setattr(decoding, "PIECE_SECONDS", 2)
    monkeypatch.setattr("diffgar.dataloading.decoders.decode.BLOCK_FRAMES", 3001)
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-1, 1, 20 * 11025), 11025)
    framing = Framing(RATE, window, hop, "zeros")
    track = Track("long", str(tmp_path / "long.wav"), "train", start_s=1.3, end_s=18.05)
    *pieces, last = pieces_of(0, track, framing)
    found = [windows(piece.samples, RATE, window, hop) for piece in pieces]
    assert len(found) > 3 and max(len(piece.samples) for piece in pieces) <= (2 + window) * RATE
    whole = windows(load(track.path, RATE, 1.3, 18.05), RATE, window, hop)
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert last.samples is None and last.seconds == pytest.approx(16.75, abs=1e-3)


@pytest.mark.parametrize("seconds", [0.8, 30])  # a message that a pipe holds, and one that it does not
def test_a_worker_that_dies_is_reported_with_the_track_it_died_at(tmp_path, seconds):
    tracks = [Track(f"t{i}", str(tmp_path / f"t{i}.flac"), "train") for i in range(6)]
    for track in tracks:
        soundfile.write(track.path, np.zeros(int(seconds * RATE)), RATE)
    with Decoder(tracks, Framing(RATE, 0.5, 0.25, "zeros"), num_workers=1) as decoder:
        pieces = iter(decoder)
        next(pieces)
        time.sleep(0.5)  # it is ahead now, and waits to write the next piece
        os.kill(decoder.workers[0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match=r"worker 0 died \(exit code -9\) .*\.flac; .*num_workers"):
            list(pieces)


def test_captions_become_ragged_token_states_with_the_empty_one_first(folder, tmp_path, caplog):
    dataset = collection(folder)
    dataset.captions["caption"] = "a very long " + dataset.captions["caption"]
    assert extract_text(dataset, Words(), tmp_path / "text", Options(**OPTIONS))
    store = TextStore(tmp_path / "text")
    assert list(store.rows["caption"]) == ["", *dataset.captions["caption"]]
    assert [len(store.row(i)) for i in range(3)] == [1, 3, 3]  # no padding is kept
    np.testing.assert_array_equal(store.row(1)[:, 0], [3, 1, 4])
    torch.testing.assert_close(store.embeddings[1:], Words().encode(list(dataset.captions["caption"])).embedding)
    assert store.card.notes["num_truncated"] == 12 and "12 captions are longer than 3 tokens" in caplog.text
    caplog.clear()
    assert extract_text(dataset, Words(), tmp_path / "text", Options(**OPTIONS)) and not caplog.text  # nothing to do


def test_the_self_test_tells_a_joint_pair_from_broken_weights(folder, caplog):
    class Shuffled(Bands):
        def encode(self, batch):
            return super().encode(batch).roll(5, dims=1)

    options = Options(**OPTIONS)
    found = self_test(EncoderPair("fine", Bands(), Words(), joint=True), collection(folder), options)
    assert found["paired"] > found["shuffled"] + 0.2 and found["z"] > 3 and "broken" not in caplog.text
    found = self_test(EncoderPair("torn", Shuffled(), Words(), joint=True), collection(folder), options)
    assert found["z"] < 3 and "encoder_pair torn" in caplog.text and "look broken" in caplog.text


def test_the_self_test_takes_the_tracks_that_are_there_and_leaves_a_handful_alone(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "some")
    pair, options = EncoderPair("fine", Bands(), Words(), joint=True), Options(**OPTIONS)
    for i in (0, 5):
        (tmp_path / "some" / f"{i}.flac").unlink()
    assert self_test(pair, collection(tmp_path / "some", missing="skip"), options)["z"] > 3
    for i in range(6, 12):
        (tmp_path / "some" / f"{i}.flac").write_bytes(b"no audio")
    assert self_test(pair, collection(tmp_path / "some", missing="skip"), options) is None
    dataset = collection(folder)
    assert self_test(pair, Dataset("silent", dataset.tracks, dataset.captions[:0]), options) is None


def test_a_mean_that_outweighs_the_spread_is_told(caplog):
    def card(mean):
        return Card("audio", "d", "e", "0", 1, "last", 2, mean=[mean, 0.0], std=[1.0, 1.0])

    warn_of_common_mean(card(2.0), "here")
    assert not caplog.text
    warn_of_common_mean(card(10.0), "here")
    assert "here: the latents' common mean is 7.1 times their standard deviation" in caplog.text
    warn_of_common_mean(card(1e4), "here")
    assert "here: the latents of all tracks are the same" in caplog.text


@pytest.mark.parametrize("change", [{"device": "tpu"}, {"device": "cuda:99"}, {"max_failures": True}])
def test_a_device_or_a_number_that_cannot_be_is_refused_before_anything_is_read(change):
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"extraction.{name} is "):
        Options(**change)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="extraction.batch_size is 0; give it a whole number of at least 1"):
        Options(batch_size=0)
    with pytest.raises(ValueError, match="shard.index is 4, but with shard.count 4 it must be 0 to 3"):
        Options(shard={"index": 4, "count": 4})
    with pytest.raises(ValueError, match="fp8.*fp32, bf16, fp16"):
        Options(precision="fp8")
