"""WAV, RF64, W64, AIFF, AU, CAF and FLAC: the samples that are there are read, whatever a header says of them."""

import io
import struct

import numpy as np
import pytest
import soundfile
from audio_files import ID3V1, ape, id3v2, music

from diffgar.dataloading.audio import load
from diffgar.dataloading.decoders.parts import AudioError

RATE = 8000
SECONDS = 4
BYTES = 2 * SECONDS * RATE
WAVE = music(SECONDS, RATE)
FORMATS = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"]


def encoded(form, wave=WAVE, rate=RATE, subtype="PCM_16", endian=None):
    target = io.BytesIO()
    soundfile.write(target, wave, rate, format=form, subtype=subtype, endian=endian)
    return bytearray(target.getvalue())


def with_length(form, length):
    """The file with another number of bytes of samples in its header; -1 is all ones."""
    content = encoded(form)
    place, code, addend = {
        "WAV": (content.find(b"data") + 4, "<I", 0),
        "RF64": (content.find(b"ds64") + 16, "<Q", 0),
        "W64": (content.find(b"data") + 16, "<Q", 24),
        "AIFF": (content.find(b"SSND") + 4, ">I", 8),
        "AU": (8, ">I", 0),
        "CAF": (content.find(b"data") + 4, ">q", 4),
    }[form]
    most = 2 ** (8 * struct.calcsize(code)) - 1
    value = min(most, length + addend) if length > 0 else length and (length if code[1] == "q" else most)
    struct.pack_into(code, content, place, value)
    return content


def read(tmp_path, content, name="some.wav"):
    (tmp_path / name).write_bytes(content)
    return load(tmp_path / name, RATE)


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_file_is_read_bit_by_bit_under_any_name(tmp_path, form):
    expected = soundfile.read(io.BytesIO(encoded(form)), dtype="float32")[0]
    for name in ("some.wav", "some.mp3", "some.flac", "some.m4a", "some"):
        np.testing.assert_array_equal(read(tmp_path, encoded(form), name), expected)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused_in_whole_and_in_part(tmp_path, form, share):
    content = encoded(form)
    (tmp_path / "cut").write_bytes(content[: int(share * len(content))])
    for start, end in ((None, None), (0, 3.9)):
        with pytest.raises(AudioError, match=r"cut: .*truncated.*; fetch or convert"):
            load(tmp_path / "cut", RATE, start, end)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_ends_with_its_header_is_refused(tmp_path, form):
    start = encoded(form).index(encoded("WAV")[-40:] if form in ("WAV", "WAVEX", "RF64", "W64") else b"") or 42
    start = {"WAV": 44, "AIFF": 54, "AU": 24}.get(form, min(start, 60))
    with pytest.raises(AudioError, match="truncated|no sample"):
        read(tmp_path, encoded(form)[:start])


@pytest.mark.parametrize(
    "length",
    [
        0,
        -1,
        0x7FFFF000,
        0x7FFFFFFF,
        0x80000000,
        0x7FFFFFDB,
        0xFFFFFFFF - 36,
        0x80000000 - 36,
        0xFFFFFFFE,
        0x7FFFF000 - 36,
    ],
)
@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU"])
def test_a_length_that_a_pipe_left_unknown_is_that_of_the_samples(tmp_path, form, length):
    np.testing.assert_array_equal(read(tmp_path, with_length(form, length)), read(tmp_path, encoded(form)))


@pytest.mark.parametrize("form", ["RF64", "W64", "CAF"])
@pytest.mark.parametrize("length", [0, -1])
def test_a_long_length_that_was_left_unknown_is_that_of_the_samples(tmp_path, form, length):
    found = read(tmp_path, with_length(form, length))
    whole = read(tmp_path, encoded(form))
    np.testing.assert_array_equal(found[: len(whole)], whole)
    assert len(found) - len(whole) < RATE / 10  # a chunk behind the samples cannot be told from them


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF"])
def test_a_length_of_a_few_bytes_too_many_is_forgiven_and_one_of_a_second_is_not(tmp_path, form):
    whole = read(tmp_path, encoded(form))
    behind = (
        len(encoded(form)) - encoded(form).find(encoded("AU" if form in ("AIFF", "AU", "CAF") else "WAV")[-64:]) - 64
    )
    content = with_length(form, BYTES + behind + 16)
    assert len(read(tmp_path, content)) - len(whole) <= behind
    np.testing.assert_array_equal(read(tmp_path, content)[: len(whole)], whole)
    with pytest.raises(AudioError, match=r"is truncated: .* s of 5\.\d s are not there"):
        read(tmp_path, with_length(form, BYTES + 2 * RATE))


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "AU"])
def test_a_length_that_says_too_little_is_refused_not_believed(tmp_path, form):
    with pytest.raises(
        AudioError, match=r"holds \d+ bytes behind the 2\.0 s that its header promises; write its header"
    ):
        read(tmp_path, with_length(form, BYTES // 2))


def test_a_wav_without_samples_does_not_read_the_chunk_behind_as_sound(tmp_path):
    content = encoded("WAV")[:40] + bytes(4) + b"LIST" + (20_000).to_bytes(4, "little") + b"art!" * 5000
    with pytest.raises(AudioError, match="holds no sample"):
        read(tmp_path, content)


BEHIND = {
    "a chunk": b"LIST\x04\0\0\0abcd",
    "a large chunk": b"bext" + (5000).to_bytes(4, "little") + b"\x01" * 5000,
    "a pad byte and a chunk": b"\0id3 \x08\0\0\0" + bytes(8),
    "ID3v2": id3v2(8000),
    "ID3v1": ID3V1,
    "APE": ape(8000),
    "zeros": bytes(200_000),
    "a few bytes": b"\r\n\x1a",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "FLAC"])
def test_what_follows_the_samples_is_no_sound(tmp_path, form, behind):
    np.testing.assert_array_equal(read(tmp_path, encoded(form) + BEHIND[behind]), read(tmp_path, encoded(form)))


def test_a_chunk_behind_the_samples_of_a_w64_is_no_sound(tmp_path):
    chunk = b"levl\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a" + (4024).to_bytes(8, "little") + b"@" * 4000
    np.testing.assert_array_equal(read(tmp_path, encoded("W64") + chunk), read(tmp_path, encoded("W64")))


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC"])
def test_an_id3_tag_in_front_is_passed_over(tmp_path, form):
    np.testing.assert_array_equal(read(tmp_path, id3v2(70_000) + encoded(form)), read(tmp_path, encoded(form)))


@pytest.mark.parametrize("pad", [b"\0", b""])
def test_chunks_of_odd_length_are_passed_over_padded_or_not(tmp_path, pad):
    content = encoded("WAV")
    at = content.index(b"data")
    odd = content[:at] + b"note\x03\0\0\0abc" + pad + content[at:]
    np.testing.assert_array_equal(read(tmp_path, odd), read(tmp_path, content))


def test_the_broadcast_form_of_rf64_and_big_endian_wav_are_read(tmp_path):
    whole = read(tmp_path, encoded("WAV"))
    np.testing.assert_array_equal(read(tmp_path, b"BW64" + encoded("RF64")[4:]), whole)
    np.testing.assert_array_equal(read(tmp_path, encoded("WAV", endian="BIG")), whole)


def test_a_wav_beyond_what_32_bits_say_has_a_header_of_64(tmp_path):
    from diffgar.dataloading.decoders.chunks import sound

    content = bytes(with_length("WAV", -1))
    view = sound("WAV", io.BytesIO(content), 0, 5 * 2**30).view(io.BytesIO(content), 0, 5 * 2**30)
    head = view.read(72)
    assert head[:4] == b"RF64" and head[12:16] == b"ds64"
    assert struct.unpack("<Q", head[28:36])[0] == 5 * 2**30 - 44


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM"])
def test_other_samples_are_counted_by_their_time(tmp_path, subtype):
    content = encoded("WAV", subtype=subtype)
    assert len(read(tmp_path, content)) / RATE == pytest.approx(SECONDS, abs=0.1)
    with pytest.raises(AudioError, match=r"is truncated: \d\.\d s of \d\.\d s are not there"):
        read(tmp_path, content[: len(content) // 2])


def test_alac_in_caf_is_read_and_its_half_refused(tmp_path):
    content = encoded("CAF", subtype="ALAC_16")
    np.testing.assert_array_equal(read(tmp_path, content), read(tmp_path, encoded("CAF")))
    with pytest.raises(AudioError, match="truncated"):
        read(tmp_path, content[: len(content) // 2])


def flac_with_total(total, content=None):
    content = content or encoded("FLAC")
    word = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    return content[:18] + word.to_bytes(8, "big") + content[26:]


@pytest.mark.parametrize("total", [0, 1, RATE, SECONDS * RATE - 100])
def test_a_flac_whose_header_says_nothing_or_too_little_is_read_whole(tmp_path, total):
    found = read(tmp_path, flac_with_total(total))
    np.testing.assert_array_equal(found, read(tmp_path, encoded("FLAC"))[: len(found)])
    assert SECONDS * RATE - len(found) <= 100  # up to 0.1 s it is believed


def test_a_flac_of_unknown_length_is_refused_if_it_is_cut_or_says_too_much(tmp_path):
    content = flac_with_total(0)
    for share in (0.3, 0.5, 0.99):
        with pytest.raises(AudioError, match="truncated"):
            read(tmp_path, content[: int(share * len(content))])
    with pytest.raises(AudioError, match="truncated"):
        read(tmp_path, flac_with_total(2 * SECONDS * RATE))


@pytest.mark.parametrize("rate", [RATE, 16000])
@pytest.mark.parametrize("channels", [1, 2])
def test_joined_flac_files_are_read_one_after_the_other(tmp_path, rate, channels):
    second = encoded("FLAC", music(2, rate, channels, seed=1), rate)
    wave = read(tmp_path, encoded("FLAC") + second)
    assert len(wave) == 6 * RATE
    np.testing.assert_array_equal(wave[: 4 * RATE], read(tmp_path, encoded("FLAC")))
    near = 0 if rate == RATE else 400
    np.testing.assert_allclose(wave[4 * RATE + near :], read(tmp_path, second)[near:], atol=1e-5)


def test_flac_of_large_blocks_and_high_rates_is_read(tmp_path):
    wave = music(2, 96000, 2)
    content = encoded("FLAC", wave, 96000, "PCM_24")
    (tmp_path / "high.flac").write_bytes(flac_with_total(0, content))
    assert len(load(tmp_path / "high.flac", 96000)) == len(wave)


@pytest.mark.parametrize("form", FORMATS)
def test_a_clip_of_a_file_with_a_mended_header_is_a_part_of_it(tmp_path, form):
    content = flac_with_total(0) if form == "FLAC" else encoded(form) if form == "WAVEX" else with_length(form, 0)
    (tmp_path / "pipe").write_bytes(content)
    clip, whole = load(tmp_path / "pipe", RATE, 1.5, 3.25), load(tmp_path / "pipe", RATE)
    np.testing.assert_array_equal(clip, whole[round(1.5 * RATE) : round(3.25 * RATE)])
