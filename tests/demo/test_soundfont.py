"""The sampler: keys sound at their pitch, for as long as they are held, and every key returns."""

import numpy as np
import pytest

from diffgar.demo.attributes import DEMO
from diffgar.demo.sound import SAMPLE_RATE, soundfont
from diffgar.demo.soundfont import SoundFont

LEADS, BACKINGS, BASSES, KITS = DEMO.leads, DEMO.backings, DEMO.basses, DEMO.kits
HELD = [LEADS["violin"], LEADS["saxophone"], LEADS["flute"], BACKINGS["strings"], BACKINGS["choir"], BACKINGS["organ"]]


def cents_off(samples: np.ndarray, key: int) -> float:
    """How far the sound's period, the best self-similarity within half an octave of the key's, is from the key's."""
    hertz = 440 * 2 ** ((key - 69) / 12)
    power = np.square(np.abs(np.fft.rfft(samples, 2**14)))
    similarity = np.fft.irfft(power, 2**17)  # 8 times finer than a sample
    low, high = (int(8 * SAMPLE_RATE / (hertz * factor)) for factor in (1.4, 0.7))
    period = (low + np.argmax(similarity[low:high])) / (8 * SAMPLE_RATE)
    return 1200 * np.log2(1 / (period * hertz))


@pytest.mark.parametrize("name", LEADS)
def test_a_key_sounds_at_its_pitch(name):
    for key in (48, 57, 66, 76):
        samples = soundfont().tone(0, LEADS[name], key, 0.4).samples[SAMPLE_RATE // 10 :]
        assert abs(cents_off(samples, key)) < 30


@pytest.mark.parametrize("program", HELD)
def test_a_held_instrument_still_sounds_after_three_seconds(program):
    samples = soundfont().tone(0, program, 60, 4.0).samples
    second = np.sqrt(np.square(samples[: 4 * SAMPLE_RATE]).reshape(4, -1).mean(axis=1))
    assert second[3] > 0.1 * second.max()


def test_a_struck_instrument_dies_away():
    samples = soundfont().tone(0, LEADS["marimba"], 60, 3.0).samples
    assert np.abs(samples[-SAMPLE_RATE:]).max() < 0.05 * np.abs(samples).max()


def test_every_key_of_every_instrument_returns_and_is_finite():
    for program in [*LEADS.values(), *BACKINGS.values(), *BASSES.values()]:
        for key in (0, 21, 60, 108, 127):
            assert np.isfinite(soundfont().tone(0, program, key, 0.05).samples).all()


def test_a_longer_tone_begins_as_the_shorter():
    for bank, program, key in ((0, LEADS["trumpet"], 67), (0, BASSES["synth bass"], 36), (128, KITS["rock"], 38)):
        short, long = (soundfont().tone(bank, program, key, seconds).samples for seconds in (0.5, 1.0))
        assert np.array_equal(short, long[: len(short)])


def test_a_file_that_is_no_soundfont_is_refused_by_name(tmp_path):
    (tmp_path / "font.sf2").write_bytes(b"RIFF1234WAVE")
    with pytest.raises(ValueError, match=r"font\.sf2: not a SoundFont 2"):
        SoundFont(tmp_path / "font.sf2", 22_050)
