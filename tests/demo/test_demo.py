"""The demo collection: reproducible, resumable, and as its captions say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from diffgar.demo import attributes as demo_attributes
from diffgar.demo import captions as demo_captions
from diffgar.demo import collection as demo
from diffgar.demo import music as demo_music
from diffgar.demo import sound as demo_sound
from diffgar.demo.collection import ATTRIBUTES, phrase, track_rows, write_collection
from diffgar.errors import InputError

PLAIN = {name: values[0] for name, values in ATTRIBUTES.items()}


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    write_collection(folder, 5, 1, 2, num_workers=0)
    return folder


def audio_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "audio").iterdir()}


def test_a_track_depends_on_neither_the_size_of_the_collection_nor_the_workers(collection, tmp_path):
    write_collection(tmp_path / "larger", 12, 2, 4, num_workers=2)
    larger = audio_bytes(tmp_path / "larger")
    assert all(larger[name] == content for name, content in audio_bytes(collection).items())
    small, large = (pd.read_csv(f / "captions.csv", dtype=str) for f in (collection, tmp_path / "larger"))
    same = large[large["caption_id"].isin(small["caption_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(small, same)


def test_a_killed_rendering_goes_on_and_ends_the_same(collection, tmp_path):
    folder = tmp_path / "demo"
    write_collection(folder, 3, 0, 0, num_workers=0)  # killed before the other five,
    (folder / "audio" / "train-00003.part").write_bytes(b"fLaC")  # while writing one of them,
    (folder / "captions.csv").unlink()  # and before the table
    kept = (folder / "audio" / "train-00000.flac").stat().st_mtime_ns
    write_collection(folder, 5, 1, 2, num_workers=0)
    assert (folder / "audio" / "train-00000.flac").stat().st_mtime_ns == kept
    assert audio_bytes(folder) == audio_bytes(collection)
    assert (folder / "captions.csv").read_bytes() == (collection / "captions.csv").read_bytes()


def test_a_finished_collection_is_left_alone(collection):
    before = (collection / "captions.csv").stat().st_mtime_ns
    assert write_collection(collection, 5, 1, 2, num_workers=0) == collection / "captions.csv"
    assert (collection / "captions.csv").stat().st_mtime_ns == before


def test_another_seed_is_refused_with_the_remedy(collection):
    with pytest.raises(ValueError, match=r"collection\.json.*delete .*demo"):
        write_collection(collection, 5, 1, 2, seed=1)


def test_another_version_is_refused(collection, monkeypatch):
    monkeypatch.setattr(demo, "COLLECTION_VERSION", demo.COLLECTION_VERSION + 1)
    with pytest.raises(ValueError, match="version"):
        write_collection(collection, 5, 1, 2)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="no collection.json"):
        write_collection(tmp_path, 1, 0, 0)


def test_the_files_are_audible_music_of_20_to_36_seconds(collection):
    table = pd.read_csv(collection / "captions.csv").drop_duplicates("track_id")
    assert len(table) == 8
    for row in table.itertuples():
        samples, rate = soundfile.read(collection / row.path, dtype="float32")
        assert samples.ndim == 1 and rate == demo_sound.SAMPLE_RATE
        assert len(samples) / rate == pytest.approx(row.duration, abs=1e-3) and 20 <= row.duration <= 36
        assert 0.2 < np.abs(samples).max() < 0.6
        seconds = samples[: len(samples) // rate * rate].reshape(-1, rate)
        assert (seconds.std(axis=1) > 1e-3).mean() > 0.9


def test_every_key_of_every_song_has_a_sample():
    for number in range(100):
        random = np.random.default_rng(number)
        for part in demo_music.compose(demo_attributes.draw_attributes(random), random).parts:
            for key in {key for _, _, key, _ in part.notes}:
                assert demo_sound.soundfont().zones(part.bank, part.program, key, 100), (part.program, key)


def test_a_caption_names_two_to_four_attributes_in_words_that_are_true():
    for number in range(100):
        for row in (row for row in track_rows(0, "test", number) if not row["tells_course"]):
            named = row["named"].split("|")
            assert 2 <= len(named) <= 4
            for name in named:
                assert any(words in row["caption"].lower() for words in wordings(name, row[name])), row


def wordings(name: str, value: str) -> list[str]:
    if value == "none":
        return ["no ", "without "]
    if name in ("lead", "backing"):
        return demo_captions.SYNONYMS.get(value, [value])
    tables = (demo_captions.ADJECTIVES, demo_captions.KEYS, demo_captions.THINGS)
    return next(table[name][value] for table in tables if name in table)


def test_one_caption_fits_several_tracks_as_in_life():
    rows = [row for number in range(500) for row in track_rows(0, "test", number) if not row["tells_course"]]
    tracks = pd.DataFrame(rows).drop_duplicates("track_id")
    fitting = []
    for row in rows[::10]:
        matches = [tracks[name] == row[name] for name in row["named"].split("|")]
        fitting.append(np.logical_and.reduce(matches).sum())
    assert np.mean(np.array(fitting) > 1) > 0.7
    assert np.median(fitting) < 50  # yet it tells something


def test_every_attribute_has_a_phrase_of_its_own():
    for name, values in ATTRIBUTES.items():
        assert len({phrase(name, value) for value in values}) == len(values)
    assert phrase("drums", "none") == "no drums" and phrase("lead", "violin") == "violin"
    with pytest.raises(KeyError):
        phrase("colour", "red")


def spectrum(**attributes: str) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (Hz) and power of a song of these attributes, unit sum."""
    samples = demo_sound.render(demo_music.compose(PLAIN | attributes, np.random.default_rng(0)))
    power = np.abs(np.fft.rfft(samples)) ** 2
    return np.fft.rfftfreq(len(samples), 1 / demo_sound.SAMPLE_RATE), power / power.sum()


@pytest.mark.parametrize(
    "name, values, band",
    [
        ("drums", ("none", "jazz"), (6000, 11000)),
        ("bass", ("none", "upright bass"), (40, 90)),
        ("register", ("low", "high"), (600, 1500)),
    ],
)
def test_an_attribute_is_heard_where_it_should_be(name, values, band):
    shares = []
    for value in values:
        hertz, power = spectrum(**{name: value})
        shares.append(power[(hertz >= band[0]) & (hertz < band[1])].sum())
    assert shares[1] > 2 * shares[0]


def test_a_fast_or_busy_song_has_more_melody_notes_a_second():
    def rate(**attributes: str) -> float:
        song = demo_music.compose(PLAIN | attributes, np.random.default_rng(0))
        return len(song.parts[0].notes) / song.seconds

    assert rate(tempo="fast", density="moderate") > 1.5 * rate(tempo="slow", density="moderate")
    assert rate(density="busy") > 2 * rate(density="moderate") > 3 * rate(density="sparse")


def test_the_mood_follows_from_mode_and_tempo():
    drawn = [demo_attributes.draw_attributes(np.random.default_rng(i)) for i in range(200)]
    assert all(d["mood"] == demo_attributes.MOODS[d["mode"], d["tempo"]] for d in drawn)
    assert {d["mood"] for d in drawn} == set(ATTRIBUTES["mood"])


def test_a_collection_of_less_than_no_track_is_refused(tmp_path):
    with pytest.raises(InputError, match="prepare.num_train is -3; give it a whole number of at least 0"):
        write_collection(tmp_path / "demo", num_train=-3)
