"""Decoding ahead: workers that no file ends, however they are started, and what tells one audio from another."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from audio_files import music, write

from diffgar.dataloading import workers
from diffgar.dataloading.datasets.tracks import Track
from diffgar.extraction import decode_ahead as decoding
from diffgar.extraction.decode_ahead import Decoder, Framing, audio_digest, pieces_of

RATE = 8000
FRAMING = Framing(RATE, 0.5, 0.25, "reflect")


def tracks_of(folder, num_tracks=4):
    """Tracks of which the second has one sample, and the third is no audio."""
    for i in range(num_tracks):
        write(folder / f"{i}.flac", music(1 + i, RATE, seed=i)[: 1 if i == 1 else None], RATE)
    (folder / "2.flac").write_bytes(b"no audio" * 1000)
    return [Track(f"t{i}", str(folder / f"{i}.flac"), "train") for i in range(num_tracks)]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_give_what_one_process_gives_however_they_are_started(tmp_path, monkeypatch, start_method):
    if start_method == "fork" and sys.platform != "linux":
        pytest.skip("fork is Linux's way")
    monkeypatch.setattr(workers, "context", lambda: multiprocessing.get_context(start_method))
    tracks = tracks_of(tmp_path)
    expected = [piece for i, track in enumerate(tracks) for piece in pieces_of(i, track, FRAMING)]
    with Decoder(tracks, FRAMING, num_workers=2) as decoder:
        found = list(decoder)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.track, one.num_windows, one.seconds, one.error, one.digest) == (
            other.track,
            other.num_windows,
            other.seconds,
            other.error,
            other.digest,
        )
        np.testing.assert_array_equal(one.samples, other.samples)
    errors = [piece.error for piece in found if piece.samples is None]
    assert errors[0] is None and "less than 10 ms" in errors[1] and "not audio" in errors[2] and errors[3] is None


SCRIPT = """
import os, signal, sys
import multiprocessing
from diffgar.dataloading import workers
from diffgar.extraction import decode_ahead as decoding
from diffgar.dataloading.datasets.tracks import Track

if __name__ == "__main__":
    workers.context = lambda: multiprocessing.get_context("spawn")
    tracks = [Track(str(i), {path!r}, "train") for i in range(40)]
    with decoding.Decoder(tracks, decoding.Framing(8000, 0.5, 0.25, "zeros"), 2) as decoder:
        next(iter(decoder))
        print(*(worker.pid for worker in decoder.workers), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_spawned_workers_end_with_the_process_that_started_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(write(tmp_path / "a.flac", music(5, RATE), RATE))))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    workers = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert all(worker.status() == psutil.STATUS_ZOMBIE for worker in alive)  # ended, and nobody has asked how


def test_whatever_a_track_raises_is_its_own_error(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("a header that asks for 2**60 bytes")

    monkeypatch.setattr(decoding, "blocks", fail)
    (piece,) = pieces_of(3, tracks_of(tmp_path)[0], FRAMING)
    assert piece.track == 3 and "MemoryError: a header that asks" in piece.error and piece.digest is None


def test_a_cut_that_starts_at_the_last_sample_is_an_error_of_its_track(tmp_path):
    path = str(write(tmp_path / "a.flac", music(2, RATE), RATE))
    for start in (2 - 1 / RATE, 2 - 2 / RATE, 2, 3):
        (piece,) = pieces_of(0, Track("t", path, "train", start, start + 5), FRAMING)
        assert "less than 10 ms" in piece.error or "holds no sample" in piece.error


def test_a_digest_tells_bytes_and_cuts_and_nothing_else(tmp_path):
    path = write(tmp_path / "a.flac", music(2, RATE), RATE)
    digest = audio_digest(path)
    assert len(digest) == 16 and set(digest) <= set("0123456789abcdef")
    assert digest == audio_digest(str(path), None, None) == audio_digest(path, 0, None) == audio_digest(path, 0.0)
    copy = tmp_path / "another name.flac"
    copy.write_bytes(path.read_bytes())
    assert audio_digest(copy) == digest
    cuts = [(None, None), (0.5, None), (None, 1.5), (0.5, 1.5), (1.5, None)]
    assert len({audio_digest(path, *cut) for cut in cuts}) == len(cuts)
    assert audio_digest(path, 1, 2) == audio_digest(path, 1.0, np.float64(2))
    write(path, music(2, RATE, seed=1), RATE)
    os.utime(path, ns=(1, 1))
    assert audio_digest(path) != digest


def test_a_digest_is_a_hash_that_other_programs_can_make(tmp_path):
    (tmp_path / "a").write_bytes(b"some audio")
    content = hashlib.sha256(b"some audio").hexdigest()
    assert audio_digest(tmp_path / "a", 1, 2.5) == hashlib.sha256(f"{content} 1.0 2.5".encode()).hexdigest()[:16]
    assert audio_digest(tmp_path / "a") == hashlib.sha256(f"{content} 0.0 None".encode()).hexdigest()[:16]


def test_a_tracks_last_piece_has_its_digest(tmp_path):
    path = str(write(tmp_path / "a.flac", music(3, RATE), RATE))
    *_, last = pieces_of(0, Track("t", path, "train", 0.5, 2.5), FRAMING)
    assert last.digest == audio_digest(path, 0.5, 2.5) and last.seconds == 2
