"""Decoding, resampling, windows: what comes out is what was put in; what is unusable is refused by name."""

import numpy as np
import pytest
import soundfile
import soxr

from diffgar.dataloading import audio
from diffgar.dataloading.audio import load, pad_short, windows
from diffgar.dataloading.decoders.decode import AudioError


def tone(frequency=440.0, seconds=3.0, rate=44100, channels=1):
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * frequency * time)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def write(path, wave, rate=44100, **options):
    soundfile.write(path, wave, rate, **options)
    return path


def pitch(wave, rate):
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return spectrum.argmax() * rate / len(wave)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("wanted", [16000, 48000])
def test_a_tone_keeps_its_pitch_and_duration(tmp_path, suffix, wanted):
    wave = load(write(tmp_path / f"tone.{suffix}", tone(440, 3.0, channels=2)), wanted)
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert len(wave) / wanted == pytest.approx(3.0, abs=0.06)  # an encoder may pad its last frames
    assert pitch(wave, wanted) == pytest.approx(440, abs=0.5)
    assert np.abs(wave[1000:-5000]).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(8000, 1, "PCM_U8"), (96000, 2, "PCM_24"), (48000, 6, "FLOAT")]
)
def test_any_rate_depth_and_number_of_channels_is_read(tmp_path, rate, channels, subtype):
    path = write(tmp_path / "tone.wav", tone(440, 2.0, rate, channels), rate, subtype=subtype)
    wave = load(path, 16000)
    assert len(wave) == 32000 and pitch(wave, 16000) == pytest.approx(440, abs=0.5)


def test_channels_are_averaged(tmp_path):
    left, right = tone(300), 0.2 * tone(700)
    path = write(tmp_path / "two.wav", np.concatenate([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(load(path, 44100), (left + right)[:, 0] / 2, atol=1e-7)


def test_names_with_spaces_and_accents_are_read(tmp_path):
    path = write(tmp_path / "Señor Ünïcode – été (1).flac", tone())
    assert len(load(path, 44100)) == 3 * 44100


def test_frequencies_above_the_new_nyquist_are_removed_and_those_below_kept(tmp_path):
    gain = {}
    for frequency in (7000, 9000):
        wave = load(write(tmp_path / f"{frequency}.wav", tone(frequency), subtype="FLOAT"), 16000)
        gain[frequency] = np.abs(wave[2000:-2000]).max() / 0.5
    assert gain[7000] == pytest.approx(1, abs=1e-3)
    assert gain[9000] < 1e-5  # -100 dB


def test_what_is_read_in_blocks_is_the_whole_file_resampled_at_once(tmp_path, monkeypatch):
    wave = np.random.default_rng(0).uniform(-1, 1, (3 * 44100, 2)).astype(np.float32)
    path = write(tmp_path / "noise.wav", wave, subtype="FLOAT")
    mono = (wave[:, 0] + wave[:, 1]) / np.float32(2)
    oracle = soxr.resample(mono, 44100, 48000, quality=audio.QUALITY)
    for frames in (1000, 2**18):
        monkeypatch.setattr("diffgar.dataloading.decoders.decode.BLOCK_FRAMES", frames)
        np.testing.assert_array_equal(load(path, 48000), oracle)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_clip_is_the_files_seconds(tmp_path, suffix):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * 16000)
    path = write(tmp_path / f"noise.{suffix}", wave, 16000)
    whole, clip = load(path, 16000), load(path, 16000, start=4, end=7.5)
    assert len(clip) == 3.5 * 16000
    np.testing.assert_allclose(clip, whole[4 * 16000 : round(7.5 * 16000)], atol=1e-4)


def test_a_clip_that_ends_after_its_file_ends_with_it_and_one_that_starts_there_is_refused(tmp_path):
    path = write(tmp_path / "short.wav", tone(seconds=3))
    assert len(load(path, 44100, start=2, end=12)) == 44100
    with pytest.raises(AudioError, match="short.wav: holds no sample from 5 s on; .*start_s"):
        load(path, 44100, start=5, end=15)


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = cut(write(tmp_path / f"cut.{suffix}", tone(seconds=20)), share)
    with pytest.raises(AudioError, match=rf"cut\.{suffix}: .*truncated.*; fetch or convert"):
        load(path, 16000)


def test_a_header_written_while_streaming_is_no_truncation(tmp_path):
    path = write(tmp_path / "stream.wav", tone())
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(load(path, 44100)) == 3 * 44100


def test_bytes_after_the_samples_are_no_truncation(tmp_path):
    path = write(tmp_path / "tagged.wav", tone())
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00abcd")
    assert len(load(path, 44100)) == 3 * 44100


def with_samples(wave):
    return lambda path: write(path, wave, 16000, subtype="FLOAT")


BAD = {
    "is missing": lambda path: path,
    "is empty": lambda path: path.touch(),
    "not audio": lambda path: path.write_text("this is no audio\n" * 100),
    "holds no sample": with_samples(np.zeros(0)),
    "is silent": with_samples(np.zeros(16000)),
    "NaN": with_samples(np.where(np.arange(16000) == 9000, np.nan, 0.1)),
    "infinite": with_samples(np.where(np.arange(16000) == 9000, np.inf, 0.1)),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_bad_file_is_refused_by_name_with_the_reason_and_a_remedy(tmp_path, reason, rate):
    path = tmp_path / "bad.wav"
    BAD[reason](path)
    with pytest.raises(AudioError, match=rf"bad\.wav: .*{reason}.*; \w+") as refusal:
        load(path, rate)
    assert refusal.value.path == str(path) and refusal.value.reason in str(refusal.value)


def test_the_last_bit_of_sixteen_is_silence_and_the_last_two_are_not(tmp_path):
    path = write(tmp_path / "faint.wav", np.full(16000, 2 / 2**15), 16000, subtype="PCM_16")
    assert len(load(path, 16000)) == 16000
    write(path, np.full(16000, 1 / 2**15), 16000, subtype="PCM_16")
    with pytest.raises(AudioError, match="silent"):
        load(path, 16000)


def test_m4a_is_decoded_or_names_the_package_that_would(tmp_path):
    path = tmp_path / "tone.m4a"
    try:
        import av
    except ImportError:
        path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(1000))
        with pytest.raises(AudioError, match=r"tone\.m4a: .*PyAV.*; pip install av"):
            load(path, 16000)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tone(seconds=5, channels=2).T.copy(), "fltp", "stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    wave = load(path, 16000)
    assert len(wave) / 16000 == pytest.approx(5, abs=0.1) and pitch(wave, 16000) == pytest.approx(440, abs=1)
    np.testing.assert_allclose(load(path, 44100, 1, 2.5), load(path, 44100)[44100:110250], atol=1e-6)
    with pytest.raises(AudioError, match=r"tone\.m4a: "):
        load(cut(path), 16000)


def test_windows_are_slices_at_the_hop_without_a_copy_and_the_last_partial_one_is_dropped():
    wave = np.arange(10 * 8 + 7, dtype=np.float32)  # 8 Hz
    cut_windows = windows(wave, 8, window_seconds=3, hop_seconds=1)
    assert cut_windows.shape == (8, 24)
    for t, window in enumerate(cut_windows):
        np.testing.assert_array_equal(window, wave[8 * t : 8 * t + 24])
    assert np.shares_memory(cut_windows, wave)


@pytest.mark.parametrize(
    ("short_padding", "expected"),
    [
        ("zeros", [1, 2, 3, 0, 0, 0, 0, 0]),
        ("repeat", [1, 2, 3, 1, 2, 3, 0, 0]),  # whole repetitions, as CLAP's repeatpad
        ("wrap", [1, 2, 3, 1, 2, 3, 1, 2]),  # as MuQ-MuLan
        ("reflect", [1, 2, 3, 2, 1, 2, 3, 2]),
    ],
)
def test_a_waveform_shorter_than_a_window_is_one_window(short_padding, expected):
    wave = np.array([1, 2, 3], dtype=np.float32)
    (window,) = windows(wave, 1, window_seconds=8, hop_seconds=1, short_padding=short_padding)
    assert window.tolist() == expected


def test_a_third_of_a_second_is_enough(tmp_path):
    wave = load(write(tmp_path / "hit.wav", tone(seconds=0.3)), 48000)
    assert windows(wave, 48000, 10, 1, "repeat").shape == (1, 480000)


def test_an_unknown_padding_and_a_window_of_no_sample_are_refused():
    with pytest.raises(ValueError, match="mirror.*zeros, repeat, wrap or reflect"):
        pad_short(np.ones(3, np.float32), 8, "mirror")
    with pytest.raises(ValueError, match="hop_seconds 0"):
        windows(np.ones(9, np.float32), 8, 1, 0)


def write_m4a(path, wave, rate=44100):
    """AAC in MP4 by PyAV, which is no requirement: its wheels carry GPL codecs."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), format="fltp", layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_m4a_is_read_where_pyav_is_installed(tmp_path):
    wave = load(write_m4a(tmp_path / "tone.m4a", tone(440, 3.0, channels=2)), 16000)
    assert len(wave) / 16000 == pytest.approx(3.0, abs=0.06)
    assert pitch(wave, 16000) == pytest.approx(440, abs=0.5)


def test_a_truncated_m4a_is_refused(tmp_path):
    path = write_m4a(tmp_path / "tone.m4a", tone(440, 3.0, channels=2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="tone.m4a.*fetch or convert"):
        load(path, 16000)
