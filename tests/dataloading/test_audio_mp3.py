"""MP3: what its frames hold is read, whatever its headers say; what is not whole is refused."""

import io

import numpy as np
import pytest
import soundfile
from audio_files import ID3V1, ape, id3v2, mp3_frames, music, write, write_mp3

from diffgar.dataloading.audio import load
from diffgar.dataloading.decoders.parts import AudioError
from diffgar.dataloading.decoders.quiet import SYMBOL

XING_FRAMES, XING_BYTES = 8, 12  # where the counts stand behind the word Xing
ROUNDING = 1e-6  # the filter bank of libmpg123 adds up in another order from another frame on


def samples(path, rate=44100):
    """What libsndfile alone decodes, in one piece: (S,) mono."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)


def replaced(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def vbr(tmp_path_factory):
    """(path, frames) of four seconds of VBR with LAME's header."""
    path = write_mp3(tmp_path_factory.mktemp("vbr") / "whole.mp3", music())
    return path, mp3_frames(path.read_bytes())


def with_count(frames, count, mark=b"Xing"):
    """The file with another number of frames in its information frame."""
    first = bytearray(frames[0])
    at = first.index(mark) + XING_FRAMES
    first[at : at + 4] = count.to_bytes(4, "big")
    return bytes(first) + b"".join(frames[1:])


@pytest.mark.parametrize("rate", [44100, 32000, 22050, 16000, 8000])
@pytest.mark.parametrize(("mode", "level"), [("VARIABLE", 0.5), ("CONSTANT", 0.5), ("CONSTANT", 0.99)])
def test_a_whole_file_is_what_libsndfile_reads_and_as_long_as_what_was_encoded(tmp_path, rate, mode, level):
    path = write_mp3(tmp_path / "whole.mp3", music(3, rate, 2), rate, mode, level)
    np.testing.assert_allclose(load(path, rate), samples(path), atol=ROUNDING)
    if b"LAME" in path.read_bytes()[:300]:  # the header says what the encoder put before and after
        assert len(load(path, rate)) == 3 * rate


def test_loud_music_is_not_clipped(tmp_path):
    path = write_mp3(tmp_path / "loud.mp3", np.sign(music(1, peak=1)))
    assert np.abs(load(path, 44100)).max() > 1.05
    np.testing.assert_allclose(load(path, 44100), samples(path), atol=ROUNDING)


@pytest.mark.parametrize("rate", [44100, 22050, 16000])
def test_the_size_of_blocks_changes_nothing(tmp_path, rate, monkeypatch):
    path = write_mp3(tmp_path / "whole.mp3", music(5, rate), rate)
    monkeypatch.setattr("diffgar.dataloading.decoders.decode.BLOCK_FRAMES", 7001)
    np.testing.assert_allclose(load(path, rate), samples(path), atol=ROUNDING)


@pytest.mark.parametrize(("rate", "level"), [(44100, 0.5), (44100, 0.99), (22050, 0.5), (16000, 0.99)])
@pytest.mark.parametrize("start", [0.01, 0.5, 1.2345, 2.6])
def test_a_clip_is_a_part_of_the_whole(tmp_path, rate, level, start):
    path = write_mp3(tmp_path / "whole.mp3", music(3, rate, 2), rate, "CONSTANT", level)
    first, last = round(start * rate), round((start + 0.3) * rate)
    np.testing.assert_allclose(load(path, rate, start, start + 0.3), load(path, rate)[first:last], atol=ROUNDING)


@pytest.mark.parametrize("count", [0, 1, 20, 140])
def test_a_header_that_says_too_little_is_not_believed(tmp_path, vbr, count):
    path = replaced(tmp_path / "few.mp3", with_count(vbr[1], count))
    wave = load(path, 44100)
    assert len(wave) / 44100 == pytest.approx(4, abs=0.05)
    np.testing.assert_allclose(wave[: 4 * 44100], samples(vbr[0]), atol=ROUNDING)


def test_a_header_that_says_too_much_is_refused_beyond_a_tenth_of_a_second(tmp_path, vbr):
    found = len(vbr[1]) - 1
    assert len(load(replaced(tmp_path / "many.mp3", with_count(vbr[1], found + 3)), 44100)) == 4 * 44100
    replaced(tmp_path / "many.mp3", with_count(vbr[1], 2 * found))
    with pytest.raises(AudioError, match=r"many\.mp3: is truncated: 4\.0 s of 8\.1 s are not there; fetch"):
        load(tmp_path / "many.mp3", 44100)


def vbri(frames, count):
    """The file with Fraunhofer's information frame in place of LAME's."""
    head = bytearray(frames[1][:4])
    head[2] = 0x90  # 128 kbit/s: 417 bytes
    body = bytes(32) + b"VBRI" + bytes([0, 1, 0, 0, 0, 0]) + bytes(4) + count.to_bytes(4, "big")
    return (bytes(head) + body).ljust(417, b"\0") + b"".join(frames[1:])


@pytest.mark.parametrize("count", [0, 30, None])
def test_a_vbri_header_is_no_sound_and_its_count_is_not_believed(tmp_path, vbr, count):
    found = len(vbr[1]) - 1
    wave = load(replaced(tmp_path / "vbri.mp3", vbri(vbr[1], found if count is None else count)), 44100)
    assert len(wave) == found * 1152
    np.testing.assert_allclose(wave[1105 : 1105 + 4 * 44100], samples(vbr[0]), atol=ROUNDING)


def test_a_vbri_header_that_says_too_much_is_refused(tmp_path, vbr):
    with pytest.raises(AudioError, match="is truncated"):
        load(replaced(tmp_path / "vbri.mp3", vbri(vbr[1], 300)), 44100)


def test_vbr_without_any_header_is_read_whole(tmp_path, vbr):
    wave = load(replaced(tmp_path / "bare.mp3", b"".join(vbr[1][1:])), 44100)
    assert len(wave) == (len(vbr[1]) - 1) * 1152
    np.testing.assert_allclose(wave[1105 : 1105 + 4 * 44100], samples(vbr[0]), atol=ROUNDING)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (44100, 2), (22050, 1), (48000, 2)])
@pytest.mark.parametrize("between", [b"", ID3V1 + id3v2(5000)])
def test_joined_files_are_read_one_after_the_other(tmp_path, vbr, rate, channels, between):
    second = write_mp3(tmp_path / "second.mp3", music(6, rate, channels, seed=1), rate)
    path = replaced(tmp_path / "joined.mp3", vbr[0].read_bytes() + between + second.read_bytes())
    wave = load(path, 16000)
    assert len(wave) == pytest.approx(10 * 16000, abs=2)
    near = 400  # samples about the join, where one resampler has heard both
    np.testing.assert_allclose(wave[: 4 * 16000 - near], load(vbr[0], 16000)[:-near], atol=1e-5)
    np.testing.assert_allclose(wave[near - 6 * 16000 :], load(second, 16000)[near - 6 * 16000 :], atol=1e-5)


def test_a_clip_of_joined_files_may_lie_in_both_or_in_the_second(tmp_path, vbr):
    second = write_mp3(tmp_path / "second.mp3", music(6, seed=1))
    path = replaced(tmp_path / "joined.mp3", vbr[0].read_bytes() + second.read_bytes())
    whole = np.concatenate([load(vbr[0], 44100), load(second, 44100)])
    for start, end in ((3, 5.5), (4.5, 6), (9, 12), (0, 3)):
        expected = whole[round(start * 44100) : round(end * 44100)]
        np.testing.assert_allclose(load(path, 44100, start, end), expected, atol=ROUNDING)


TAGGED = {
    "album art": lambda content: id3v2(300_000) + content,
    "two tags": lambda content: id3v2(100) + id3v2(40_000) + content,
    "a tag and zeros": lambda content: id3v2(100) + bytes(70_000) + content,
    "ID3v1": lambda content: content + ID3V1,
    "APE": lambda content: content + ape(50_000),
    "an APE footer alone that counts nothing": lambda content: content + b"APETAGEX" + bytes(24) + ID3V1,
    "a piece of an APE tag": lambda content: content + b"APETAGEX",
    "APE and ID3v1": lambda content: content + ape(2000) + ID3V1,
    "zeros": lambda content: content + bytes(200_000),
    "Lyrics3": lambda content: content + b"LYRICSBEGIN" + b"la " * 900 + b"002711LYRICS200" + ID3V1,
    "a piece of a frame in front": lambda content: content[300:420][1:] + content,
}


@pytest.mark.parametrize("tags", TAGGED)
def test_tags_and_zeros_around_are_no_sound(tmp_path, vbr, tags):
    path = replaced(tmp_path / "tagged.mp3", TAGGED[tags](vbr[0].read_bytes()))
    np.testing.assert_allclose(load(path, 44100), samples(vbr[0]), atol=ROUNDING)


@pytest.mark.parametrize("front", [b"", id3v2(300), id3v2(300) + id3v2(90_000)])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused_whatever_stands_before_it(tmp_path, vbr, front, share):
    content = vbr[0].read_bytes()
    path = replaced(tmp_path / "cut.mp3", front + content[: int(share * len(content))])
    with pytest.raises(AudioError, match=r"cut\.mp3: is truncated: .* s of 4\.0 s are not there; fetch"):
        load(path, 44100)


def test_a_file_without_a_header_that_ends_within_a_frame_is_refused(tmp_path, vbr):
    frames = vbr[1][1:]
    for part in (40, len(frames[-1]) - 1, len(frames[-1]) - 2, len(frames[-1]) - 4):
        path = replaced(tmp_path / "cut.mp3", b"".join(frames)[:-part])
        with pytest.raises(AudioError, match="its last frame is not whole"):
            load(path, 44100)


def test_a_file_without_a_header_that_ends_in_something_else_is_refused_and_one_with_a_header_is_not(tmp_path, vbr):
    noise = np.random.default_rng(0).bytes(20_000).replace(b"\xff", b"\0")
    with pytest.raises(AudioError, match="20000 bytes behind its last frame are none of MP3"):
        load(replaced(tmp_path / "bare.mp3", b"".join(vbr[1][1:]) + noise), 44100)
    assert len(load(replaced(tmp_path / "bare.mp3", b"".join(vbr[1][1:]) + bytes(20_000)), 44100)) > 4 * 44100
    path = replaced(tmp_path / "whole.mp3", vbr[0].read_bytes() + noise)
    np.testing.assert_allclose(load(path, 44100), samples(vbr[0]), atol=ROUNDING)


def test_a_second_file_of_which_only_the_header_was_joined_is_missed(tmp_path, vbr):
    with pytest.raises(AudioError, match="is truncated: 4.0 s of 4.0 s"):
        load(replaced(tmp_path / "joined.mp3", vbr[0].read_bytes() + vbr[1][0]), 44100)


def test_a_hole_in_a_file_is_refused(tmp_path, vbr):
    frames = vbr[1]
    path = replaced(tmp_path / "hole.mp3", b"".join(frames[1:60]) + b"\x11" * 20_000 + b"".join(frames[60:]))
    with pytest.raises(AudioError, match="is damaged: 20000 bytes between its frames"):
        load(path, 44100)


def test_a_stream_cut_out_of_another_keeps_its_time(tmp_path, vbr):
    """Its first frames lack what they borrow from frames that are not there."""
    wave = load(replaced(tmp_path / "radio.mp3", b"".join(vbr[1][41:])), 44100)
    expected = samples(vbr[0])[40 * 1152 - 1105 :]
    np.testing.assert_allclose(wave[12 * 1152 : len(expected)], expected[12 * 1152 :], atol=ROUNDING)


@pytest.mark.skipif(SYMBOL is None, reason="this C library does not export its stream")
def test_damage_within_frames_writes_nothing_on_the_terminal(tmp_path, vbr, capfd):
    content = bytearray(vbr[0].read_bytes())
    for at in range(3000, len(content) - 1000, 900):
        content[at : at + 40] = np.random.default_rng(at).bytes(40).replace(b"\xff", b"\0")
    path = replaced(tmp_path / "damaged.mp3", bytes(content))
    soundfile.read(path)
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err  # it is damage that the library speaks of
    try:
        load(path, 44100)
    except AudioError as error:
        assert "damaged.mp3" in str(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["mp3.wav", "mp3.ogg", "mp3", "mp3.m4a"])
def test_an_mp3_is_known_by_its_bytes(tmp_path, vbr, name):
    path = replaced(tmp_path / name, vbr[0].read_bytes())
    np.testing.assert_array_equal(load(path, 44100), load(vbr[0], 44100))


def test_mp3_in_a_wav_is_read(tmp_path, vbr):
    content = vbr[0].read_bytes()
    form = (0x55).to_bytes(2, "little") + (1).to_bytes(2, "little") + (44100).to_bytes(4, "little") + bytes(22)
    head = b"WAVEfmt " + len(form).to_bytes(4, "little") + form + b"data" + len(content).to_bytes(4, "little")
    path = replaced(tmp_path / "mp3.wav", b"RIFF" + (len(head) + len(content)).to_bytes(4, "little") + head + content)
    np.testing.assert_allclose(load(path, 44100), samples(vbr[0]), atol=ROUNDING)


def test_layer_two_is_read_whole(tmp_path):
    av = pytest.importorskip("av")
    target = io.BytesIO()
    with av.open(target, "w", format="mp2") as container:
        stream = container.add_stream("mp2", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray((music(3, 48000).T * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    path = replaced(tmp_path / "layer.mp2", target.getvalue())
    assert len(load(path, 48000)) / 48000 == pytest.approx(3, abs=0.05)
    np.testing.assert_allclose(load(path, 48000, 1, 2), load(path, 48000)[48000:96000], atol=ROUNDING)


def test_the_shortest_files_are_read_or_refused(tmp_path, vbr):
    assert len(load(replaced(tmp_path / "one.mp3", vbr[1][1]), 44100)) == 1152
    short = write(tmp_path / "short.mp3", music(0.05), form="MP3", subtype="MPEG_LAYER_III")
    assert len(load(short, 44100)) == round(0.05 * 44100)
    for content in (vbr[1][1][:-1], vbr[1][0]):  # a frame without its end; an information frame alone
        with pytest.raises(AudioError, match=r"none\.mp3: "):
            load(replaced(tmp_path / "none.mp3", content), 44100)
