"""MIDI files are rendered by the demo's sampler, notes where they stand; what cannot be is named."""

import numpy as np
import pretty_midi
import pytest

from diffgar.dataloading.audio import load
from diffgar.demo.midi import PEAK, render_folder, render_midi
from diffgar.demo.sound import SAMPLE_RATE


def write_midi(path, pitches, program=0, drum=False):
    """One note per second, each half a second long."""
    music = pretty_midi.PrettyMIDI()
    instrument = pretty_midi.Instrument(program, drum)
    instrument.notes = [pretty_midi.Note(100, pitch, second, second + 0.5) for second, pitch in enumerate(pitches)]
    music.instruments.append(instrument)
    path.parent.mkdir(parents=True, exist_ok=True)
    music.write(str(path))
    return path


@pytest.mark.parametrize("pitch", [57, 69])
def test_a_note_sounds_at_its_pitch_when_it_is_played(tmp_path, pitch):
    samples = render_midi(write_midi(tmp_path / "a.mid", [pitch, pitch + 12], program=73))  # a flute
    assert len(samples) == round(2.5 * SAMPLE_RATE) and np.abs(samples).max() == pytest.approx(PEAK)
    for second, played in enumerate((pitch, pitch + 12)):
        part = samples[round((second + 0.1) * SAMPLE_RATE) : round((second + 0.45) * SAMPLE_RATE)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 2**18))
        frequency = 440 * 2 ** ((played - 69) / 12)
        peaks = np.fft.rfftfreq(2**18, 1 / SAMPLE_RATE)
        near = spectrum[np.abs(peaks / frequency - 1) < 0.03].max()
        assert near > 3 * spectrum[np.abs(peaks / (frequency * 2**0.5) - 1) < 0.03].max()


def test_a_folder_is_rendered_once_and_what_cannot_be_is_named(tmp_path):
    source, target = tmp_path / "midi", tmp_path / "audio"
    write_midi(source / "a/1.mid", [36, 38], drum=True)
    write_midi(source / "b/2.MID", [60])
    write_midi(source / "none.mid", [])
    (source / "bad.mid").write_bytes(b"MThd and no more")
    left_out = render_folder(source, target, 2)
    assert len(left_out) == 2 and "bad.mid: cannot be read as MIDI" in left_out[0]
    assert "none.mid: holds no note" in left_out[1]
    assert len(load(target / "a/1.flac", SAMPLE_RATE)) == round(2.5 * SAMPLE_RATE)
    before = (target / "b/2.flac").stat().st_mtime_ns
    render_folder(source, target, 1)
    assert (target / "b/2.flac").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="no MIDI file in this folder"):
        render_folder(target, source, 1)
