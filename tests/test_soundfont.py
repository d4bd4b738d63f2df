"""The sampler: keys sound at their pitch, for as long as they are held, and every key returns."""

import numpy as np
import pytest

from diffgar.dataloading.demo_music import BACKINGS, BASSES, KITS, LEADS, SAMPLE_RATE, soundfont
from diffgar.dataloading.soundfont import SoundFont, low_pass

HELD = [LEADS["violin"], LEADS["saxophone"], LEADS["flute"], BACKINGS["strings"], BACKINGS["choir"], BACKINGS["organ"]]


def cents_off(samples: np.ndarray, key: int) -> float:
    """How far the sound's strongest pitch near the key's lies from it; octaves above and below count as right."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples))) ** 2
    hertz = np.fft.rfftfreq(8 * len(samples), 1 / SAMPLE_RATE)
    heard = 69 + 12 * np.log2(hertz[np.argmax(power * (hertz > 50))] / 440)
    return 100 * ((heard - key + 6) % 12 - 6)


@pytest.mark.parametrize("name", ["violin", "saxophone", "flute", "clarinet", "vibraphone", "acoustic guitar"])
@pytest.mark.parametrize("key", [57, 64, 72, 79])
def test_a_key_sounds_at_its_pitch(name, key):
    samples = soundfont().tone(0, LEADS[name], key, 1.0).samples
    off = cents_off(samples, key)
    third = cents_off(samples, key + 7)  # the strongest partial of some is the third: a fifth above
    assert min(abs(off), abs(third)) < 30


def test_an_octave_higher_is_twice_the_frequency():
    low, high = (soundfont().tone(0, LEADS["flute"], key, 1.0).samples for key in (60, 72))
    peaks = [np.argmax(np.abs(np.fft.rfft(samples))) for samples in (low, high)]
    assert peaks[1] == pytest.approx(2 * peaks[0], rel=0.02)


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
        assert np.abs(short - long[: len(short)])[: SAMPLE_RATE // 4].max() < 1e-3


def test_the_low_pass_keeps_the_low_and_takes_the_high():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    low, high = (low_pass(np.sin(2 * np.pi * hertz * time).astype(np.float32), 1000, SAMPLE_RATE) for hertz in (100, 4000))
    assert np.sqrt(2 * np.square(low).mean()) == pytest.approx(1 / 1.01, rel=0.02)
    assert np.sqrt(2 * np.square(high).mean()) == pytest.approx(1 / 17, rel=0.1)


def test_a_file_that_is_no_soundfont_is_refused_by_name(tmp_path):
    (tmp_path / "font.sf2").write_bytes(b"RIFF1234WAVE")
    with pytest.raises(ValueError, match=r"font\.sf2: not a SoundFont 2"):
        SoundFont(tmp_path / "font.sf2", 22_050)
