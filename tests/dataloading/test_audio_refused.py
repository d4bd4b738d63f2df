"""Files that are no sound, or not one that can be read: each is refused by its name, the reason and what to do."""

import builtins
import os
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from audio_files import music, write

from diffgar.dataloading.audio import load
from diffgar.dataloading.decoders import decode as decoders
from diffgar.dataloading.decoders.parts import AudioError

RATE = 16000


def pcm(path, wave, rate=RATE):
    soundfile.write(path, wave, rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_cancel_are_not_called_silent(tmp_path, channels):
    wave = music(1, RATE)
    path = pcm(tmp_path / "anti.wav", np.concatenate([wave, -wave] * (channels // 2), axis=1))
    with pytest.raises(AudioError, match=r"anti\.wav: has channels that cancel each other: .*; turn one of them over"):
        load(path, RATE)
    wave = np.concatenate([wave, -0.9 * wave], axis=1)
    assert len(load(pcm(tmp_path / "faint.wav", wave), RATE)) == RATE


@pytest.mark.parametrize("scale", [32767, -1e6])
def test_integers_written_as_decimals_are_refused_and_loud_sound_is_not(tmp_path, scale):
    with pytest.raises(AudioError, match=r"int\.wav: has samples of .*, where -1 to 1 is full scale: integers"):
        load(pcm(tmp_path / "int.wav", scale * music(1, RATE)), RATE)
    assert len(load(pcm(tmp_path / "loud.wav", 20 * music(1, RATE)), RATE)) == RATE


def test_silence_in_all_channels_is_called_silence(tmp_path):
    with pytest.raises(AudioError, match="is silent"):
        load(pcm(tmp_path / "none.wav", np.zeros((RATE, 2))), RATE)


@pytest.mark.parametrize("num_samples", [1, 2, 100])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_under_ten_milliseconds_is_too_short_in_a_file_or_a_part(tmp_path, num_samples, rate):
    path = pcm(tmp_path / "short.wav", music(1, rate)[:num_samples], rate)
    with pytest.raises(AudioError, match=r"short\.wav: holds .* ms, less than 10 ms; correct start_s"):
        load(path, RATE)
    long = pcm(tmp_path / "long.wav", music(1, rate), rate)
    with pytest.raises(AudioError, match=r"long\.wav: holds .* ms from .* s on, less than 10 ms"):
        load(long, RATE, 1 - num_samples / rate, 5)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_apart_from_a_damaged_one(tmp_path):
    path = pcm(tmp_path / "mine.wav", music(1, RATE))
    path.chmod(0)
    with pytest.raises(AudioError, match=r"mine\.wav: may not be read \(permission denied\); let this user read it"):
        load(path, RATE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), r"may not be read \(permission denied\)"),
        (OSError(5, "Input/output error"), r"cannot be read \(Input/output error\)"),
        (RuntimeError("what no one foresaw"), r"cannot be decoded \(RuntimeError: what no one foresaw\)"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), r"cannot be decoded \(UnicodeEncodeError"),
    ],
)
def test_whatever_a_reader_raises_names_the_file(tmp_path, monkeypatch, error, reason):
    def refuse(file):
        raise error

    monkeypatch.setattr(decoders, "sniff", refuse)
    with pytest.raises(AudioError, match=rf"some\.wav: {reason}.*; \w+"):
        load(pcm(tmp_path / "some.wav", music(1, RATE)), RATE)


def test_a_folder_and_a_pipe_are_no_files(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav: is a folder, not a file"):
        load(tmp_path / "folder.wav", RATE)
    with pytest.raises(AudioError, match="is missing"):
        load(pcm(tmp_path / "file.wav", music(1, RATE)) / "inside.wav", RATE)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        with pytest.raises(AudioError, match=r"pipe\.wav: is a pipe or a device"):
            load(tmp_path / "pipe.wav", RATE)


def test_a_name_of_bytes_that_are_no_text_is_read(tmp_path):
    try:
        name = os.fsdecode(b"caf\xe9.flac")
        path = write(tmp_path / "some.flac", music(1, RATE), RATE).rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert len(load(path, RATE)) == RATE


NO_AUDIO = {
    "is a web page": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "is a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "is a ZIP archive": b"PK\x03\x04" + bytes(100),
    "is a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "is MIDI": b"MThd" + bytes(100),
    "is NIST SPHERE": b"NIST_1A\n   1024\n" + bytes(2000),
    "not audio": np.random.default_rng(0).bytes(100_000),
    "truncated": bytes(100_000),
}


@pytest.mark.parametrize("reason", NO_AUDIO)
@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_what_is_no_audio_is_named(tmp_path, reason, suffix):
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(NO_AUDIO[reason])
    with pytest.raises(AudioError, match=rf"other\.{suffix}: .*{reason}.*; \w+"):
        load(path, RATE)


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC", "OGG", "MP3"])
def test_no_damage_to_a_head_ends_in_anything_but_a_sentence(tmp_path, form):
    path = write(tmp_path / "head", music(1, RATE), RATE, form)
    whole, random = path.read_bytes(), np.random.default_rng(1)
    for _ in range(40):
        content = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for at in random.integers(0, min(len(content), 120), random.integers(0, 6)):
            content[at] = random.integers(256)
        path.write_bytes(content)
        try:
            load(path, RATE)
        except AudioError as error:
            assert str(path) in str(error)


def test_a_header_of_one_hertz_is_refused(tmp_path):
    path = pcm(tmp_path / "slow.wav", music(1, RATE), 1)
    with pytest.raises(AudioError, match="is of 1 Hz by its header"):
        load(path, RATE)


def write_av(path, codec, form, seconds=4, rate=44100, options=None):
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w", format=form, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 96_000
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=None)
        frame = av.AudioFrame.from_ndarray(music(seconds, rate).T.copy(), "fltp", "mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            fifo.write(part)
        while block := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


CONTAINERS = {
    "MP4 or M4A": ("aac", "ipod", 44100, {}),
    "MP4 in fragments": ("aac", "mp4", 44100, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
    "AAC (ADTS)": ("aac", "adts", 44100, {}),
    "WebM": ("libopus", "webm", 48000, {}),
    "WebM, live": ("libopus", "webm", 48000, {"live": "1"}),
    "WMA": ("wmav2", "asf", 44100, {}),
}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "m4a"])
def test_a_container_is_decoded_under_any_name(tmp_path, kind, suffix):
    codec, form, rate, options = CONTAINERS[kind]
    path = write_av(tmp_path / f"some.{suffix}", codec, form, 4, rate, options)
    wave = load(path, rate)
    assert len(wave) / rate == pytest.approx(4, abs=0.1)
    clip = load(path, rate, 1, 2.5)
    np.testing.assert_allclose(clip, wave[rate : round(2.5 * rate)], atol=1e-6)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_cut_container_is_refused(tmp_path, kind, share):
    codec, form, rate, options = CONTAINERS[kind]
    path = write_av(tmp_path / "cut.m4a", codec, form, 4, rate, options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match=r"cut\.m4a: .*truncated.*; fetch or convert"):
        load(path, rate)


@pytest.mark.parametrize("part", [1, 3, 6, 8])
def test_a_bare_stream_of_aac_that_ends_within_a_frame_is_refused(tmp_path, part):
    path = write_av(tmp_path / "cut.aac", "aac", "adts")
    content = path.read_bytes()
    last = content.rindex(content[:2])  # where its last frame begins
    path.write_bytes(content[: last + part])
    with pytest.raises(AudioError, match="truncated"):
        load(path, 44100)


def test_a_title_in_another_encoding_is_no_fault(tmp_path):
    path = write_av(tmp_path / "some.mp3", "aac", "ipod")
    content = path.read_bytes()
    assert b"Lavf" in content  # the name of the encoder is a tag
    path.write_bytes(content.replace(b"Lavf", b"caf\xe9"))
    assert len(load(path, 44100)) / 44100 == pytest.approx(4, abs=0.1)


def test_more_channels_than_a_container_can_have_are_refused(tmp_path):
    """PyAV would read memory that is not the frame's, and end the process."""
    av = pytest.importorskip("av")
    path = write_av(tmp_path / "some.m4a", "aac", "ipod")
    frame = SimpleNamespace(layout=SimpleNamespace(nb_channels=31))
    container = SimpleNamespace(streams=SimpleNamespace(audio=[None]), duration=None, decode=lambda _: [frame])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(av, "open", lambda *_, **__: nullcontext(container))
        with pytest.raises(AudioError, match="has 31 channels, or is damaged"):
            load(path, 44100)


def test_without_pyav_a_container_is_told_by_what_it_is(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    heads = {
        "MP4 or M4A": b"\0\0\0\x1cftypM4A " + bytes(100),
        "WebM or Matroska": b"\x1a\x45\xdf\xa3" + bytes(100),
        r"WMA \(ASF\)": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(100),
        r"AAC \(ADTS\)": (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 20,
    }
    for what, content in heads.items():
        (tmp_path / "song.mp3").write_bytes(content)
        with pytest.raises(AudioError, match=rf"song\.mp3: is {what}, which PyAV decodes; pip install av, or convert"):
            load(tmp_path / "song.mp3", RATE)
