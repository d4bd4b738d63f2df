"""OGG: chained streams are read to their end, a missing end mark is no cut, and a cut is one."""

import numpy as np
import pytest
import soundfile
from audio_files import id3v2, music, ogg_pages, sealed, write

from diffgar.dataloading.audio import load
from diffgar.dataloading.decoders.parts import AudioError

RATE = 16000
CODECS = ["VORBIS", "OPUS"]


@pytest.fixture(scope="module", params=CODECS)
def whole(request, tmp_path_factory):
    """Four seconds of Vorbis or Opus."""
    path = tmp_path_factory.mktemp("ogg") / f"{request.param}.ogg"
    return write(path, music(4, RATE), RATE, "OGG", request.param)


def samples(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)


def read(tmp_path, content):
    (tmp_path / "some.ogg").write_bytes(content)
    return load(tmp_path / "some.ogg", RATE)


def without_end_mark(content):
    pages = ogg_pages(content)
    pages[-1][5] &= ~4
    return b"".join(map(sealed, pages))


def test_a_whole_file_is_what_libsndfile_reads(whole):
    np.testing.assert_array_equal(load(whole, RATE), samples(whole))


@pytest.mark.parametrize("behind", [b"", bytes(200_000), b"\x55" * 3000, b"TAG" + bytes(125)])
def test_a_last_page_without_the_mark_of_an_end_is_whole(tmp_path, whole, behind):
    content = without_end_mark(whole.read_bytes())
    np.testing.assert_array_equal(read(tmp_path, content + behind), samples(whole))


@pytest.mark.parametrize("behind", [bytes(200_000), b"\x55" * 300_000, bytes(3)])
def test_bytes_behind_the_last_page_are_no_sound(tmp_path, whole, behind):
    np.testing.assert_array_equal(read(tmp_path, whole.read_bytes() + behind), samples(whole))


@pytest.mark.parametrize("front", [id3v2(3000), id3v2(3000) + bytes(500)])
def test_a_tag_in_front_is_passed_over(tmp_path, whole, front):
    np.testing.assert_array_equal(read(tmp_path, front + whole.read_bytes()), samples(whole))


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (RATE, 2), (48000, 2)])
@pytest.mark.parametrize("codec", CODECS)
def test_chained_streams_are_read_one_after_the_other(tmp_path, whole, rate, channels, codec):
    second = write(tmp_path / "second.ogg", music(6, rate, channels, seed=1), rate, "OGG", codec)
    for first in (whole.read_bytes(), without_end_mark(whole.read_bytes())):
        wave = read(tmp_path, first + second.read_bytes())
        assert len(wave) == pytest.approx(10 * RATE, abs=2)
        near = 400  # samples about the join, where one resampler has heard both
        np.testing.assert_allclose(wave[: 4 * RATE - near], samples(whole)[:-near], atol=1e-5)
        np.testing.assert_allclose(wave[near - 6 * RATE :], load(second, RATE)[near - 6 * RATE :], atol=1e-5)


def test_a_clip_of_a_chain_may_lie_in_any_link(tmp_path, whole):
    content = whole.read_bytes()
    expected = read(tmp_path, content * 3)
    assert len(expected) == 12 * RATE
    for start, end in ((3, 5.5), (4.5, 6), (9, 14), (0, 12)):
        clip = load(tmp_path / "some.ogg", RATE, start, end)
        np.testing.assert_allclose(clip, expected[round(start * RATE) : round(end * RATE)], atol=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_within_a_page_is_refused(tmp_path, whole, share):
    content = whole.read_bytes()
    with pytest.raises(AudioError, match=r"is truncated: its last pa\w+ is not whole; fetch"):
        read(tmp_path, content[: int(share * len(content))])


def test_a_file_without_pages_in_its_middle_is_refused(tmp_path, whole):
    pages = ogg_pages(write(tmp_path / "long.ogg", music(30, RATE), RATE, "OGG", whole.stem).read_bytes())
    assert len(pages) > 10
    with pytest.raises(AudioError, match=r"is truncated: \d+\.\d s of 30\.\d s are not there"):
        read(tmp_path, b"".join(pages[:4] + pages[8:]))


@pytest.mark.parametrize("number", [2, 3])
def test_a_page_of_which_a_part_is_gone_is_no_later_beginning(tmp_path, whole, number):
    """Of the first page of sound no count of samples tells."""
    pages = ogg_pages(write(tmp_path / "long.ogg", music(30, RATE), RATE, "OGG", whole.stem).read_bytes())
    start = sum(map(len, pages[:number]))
    content = b"".join(pages)
    with pytest.raises(AudioError, match=r"is damaged: (its first page of sound|\d+ bytes between its pages)"):
        read(tmp_path, content[: start + 500] + content[start + 900 :])
    with pytest.raises(AudioError, match=r"is damaged: its first page|is truncated: \d+\.\d s of 30\.\d s"):
        read(tmp_path, content[: start + 500] + b"\xaa" + content[start + 501 :])


def test_a_recording_of_a_stream_that_had_begun_before_is_read(tmp_path, whole):
    """Positions in it count from the stream's beginning, hours before."""
    pages = ogg_pages(whole.read_bytes())
    for page in pages:
        granule = int.from_bytes(page[6:14], "little", signed=True)
        if granule > 0:
            page[6:14] = (granule + 3600 * 48000).to_bytes(8, "little")
    wave = read(tmp_path, b"".join(map(sealed, pages)))
    assert len(wave) / RATE == pytest.approx(4, abs=0.1)


def test_the_head_of_a_stream_alone_holds_no_sample(tmp_path, whole):
    pages = ogg_pages(whole.read_bytes())
    with pytest.raises(AudioError, match="some.ogg: "):
        read(tmp_path, bytes(pages[0] + pages[1]))


def test_a_codec_that_libsndfile_has_not_is_decoded_by_pyav(tmp_path):
    av = pytest.importorskip("av")
    if "libspeex" not in av.codecs_available:
        pytest.skip("this PyAV has no Speex")
    path = tmp_path / "speech.ogg"
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libspeex", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((music(3, RATE).T * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert len(load(path, RATE)) / RATE == pytest.approx(3, abs=0.1)
