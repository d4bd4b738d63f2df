"""A model knows the latents and the tracks that it was trained on."""

import re
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf
from test_datamodule import make_stores

from diffgar import identity
from diffgar.checkpoints import CheckpointError

HASHES = [
    "ee21075b3a73d6e3",
    "2f19f3ef8bbf1acb",
]  # the first 8 bytes of BLAKE2b of the UTF-8 words, the least one first


@pytest.fixture
def stores(tmp_path):
    return make_stores(tmp_path / "stores")  # t0 … t19 of dataset "toy", of which each third validates


@pytest.fixture
def model(tmp_path, stores):
    folder = tmp_path / "mine"
    folder.mkdir()
    OmegaConf.save({"module": {}, "encoder_pair": {"name": "toy_pair"}}, folder / "config.yaml")
    identity.save_identity(folder, *stores)
    return folder


def test_the_latents_it_was_trained_on_are_taken_whatever_dataset_they_are_of(model, stores):
    cards = [store.card for store in stores]
    identity.refuse_other_latents(model, *cards, "toy_pair")
    identity.refuse_other_latents(
        model, *(replace(card, dataset="other", num_rows=3, mean=None) for card in cards), "toy_pair"
    )


@pytest.mark.parametrize("kind", ["audio", "text"])
@pytest.mark.parametrize(
    ("field", "value"), [("checkpoint_hash", "random"), ("hop_seconds", 10), ("layer", "first"), ("precision", "bf16")]
)
def test_latents_that_were_made_otherwise_are_refused_by_store_field_and_remedy(model, stores, kind, field, value):
    cards = {store.card.kind: store.card for store in stores}
    had = getattr(cards[kind], field)
    cards[kind] = replace(cards[kind], **{field: value})
    message = (
        f"model mine was trained on {kind} latents of {field} {had!r}, but those of toy have {field} {value!r}; "
        "delete that store and run extract_dataset.py data=toy encoder_pair=toy_pair"
    )
    with pytest.raises(CheckpointError, match=message):
        identity.refuse_other_latents(model, **cards, pair="toy_pair")


@pytest.mark.parametrize("content", [None, "", "{}", '{"audio": 3, "text": {}}'])
def test_a_model_that_does_not_say_what_it_was_trained_on_is_refused_with_the_remedy(model, stores, content):
    (model / "latents.json").unlink()
    if content is not None:
        (model / "latents.json").write_text(content)
    with pytest.raises(CheckpointError, match="latents.json is not there or damaged.*train it again"):
        identity.refuse_other_latents(model, *(store.card for store in stores), "toy_pair")


def test_the_tracks_it_was_trained_on_are_counted(model):
    ids = [f"t{i}" for i in range(20)]
    assert identity.seen_tracks(model, "toy", ids) == 13  # 7 of 20 validate
    assert identity.seen_tracks(model, "toy", ["t1", "t3", "new"]) == 1
    assert identity.seen_tracks(model, "other", ids) == 0


def test_tracks_are_known_by_their_audio_in_another_dataset_too(tmp_path, stores):
    audio, text = stores
    audio.rows["_audio"] = [f"hash {i}" for i in range(20)]
    audio.rows.loc[1, "_audio"] = None
    identity.save_identity(tmp_path, audio, text)
    assert identity.seen_tracks(tmp_path, "other", ["a", "b", "c"], ["hash 2", "hash 3", "hash 50"]) == 1
    assert identity.seen_tracks(tmp_path, "other", ["a", "b"], [None, np.nan]) == 0
    assert identity.seen_tracks(tmp_path, "toy", ["t1", "t2"], ["hash 1", "hash 2"]) == 2  # counted once each


def test_tracks_of_a_mix_are_those_of_its_datasets(tmp_path, stores):
    audio, text = stores
    for table, column in ((audio.rows, "row_id"), (text.rows, "track_id")):
        table[column] = "jamendo/" + table[column]
    audio.rows["_dataset"] = "jamendo"
    identity.save_identity(tmp_path, audio, text)
    assert identity.seen_tracks(tmp_path, "jamendo", ["t1", "t3"]) == 1
    assert identity.seen_tracks(tmp_path, "mix", ["jamendo/t1", "jamendo/t3"]) == 1


def test_a_track_without_a_caption_is_not_trained_on(tmp_path, stores):
    audio, text = stores
    text.rows.loc[text.rows["track_id"] == "t1", "split"] = "elsewhere"
    identity.save_identity(tmp_path, audio, text)
    assert identity.seen_tracks(tmp_path, "toy", ["t1", "t2"]) == 1


def test_what_its_teacher_was_trained_on_and_what_it_was_trained_on_before_count_too(model, tmp_path, stores, caplog):
    audio, text = stores
    new = {f"t{i}": f"u{i}" for i in range(20)}
    for table, column in ((audio.rows, "row_id"), (text.rows, "track_id")):
        table[column] = table[column].replace(new)
    identity.save_identity(tmp_path, audio, text, teacher=model)
    assert identity.seen_tracks(tmp_path, "toy", ["t1", "u1"]) == 2 and not caplog.records
    identity.save_identity(model, audio, text)
    assert identity.seen_tracks(model, "toy", ["t1", "u1"]) == 2
    assert "13 training tracks were not there when the training of" in caplog.text


def test_a_folder_without_its_tracks_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="tracks.npz is not there.*copy the model's whole folder again"):
        identity.seen_tracks(tmp_path, "toy", ["t1"])


def test_hashes_are_the_same_on_every_machine():
    assert [f"{value:x}" for value in identity.hashes(["toy/t1", "é"])] == HASHES


def contents(audio, changed=()):
    audio.rows["_audio"] = [f"hash {i}{' anew' * (i in changed)}" for i in range(len(audio.rows))]
    return audio


@pytest.mark.parametrize("layer", ["given", "last"])
@pytest.mark.parametrize("changed", [(), (1,), range(20)])
def test_training_tracks_that_hold_something_else_by_now_are_noticed(model, stores, caplog, layer, changed):
    audio, text = stores
    (model / "tracks.npz").unlink()
    identity.save_identity(model, contents(audio), text)
    audio.card = replace(audio.card, layer=layer)
    message = f"{13 if len(changed) > 1 else 1} of the 13 tracks of .*audio that model mine was trained on"
    if layer == "given" and len(changed) > 1:
        with pytest.raises(CheckpointError, match=f"{message} have other latents now, the first 'toy/t1': .*version"):
            identity.refuse_changed_tracks(model, contents(audio, changed))
    else:
        identity.refuse_changed_tracks(model, contents(audio, changed))
        assert bool(caplog.records) == bool(changed)
        assert not changed or re.search(f"{message} hold something else now, the first 'toy/t1'", caplog.text)


def test_nothing_is_said_of_tracks_whose_hashes_were_not_known(model, stores, caplog):
    identity.refuse_changed_tracks(model, contents(stores[0]))
    with np.load(model / "tracks.npz") as known:
        np.savez(model / "tracks.npz", ids=known["ids"], audio=known["audio"])  # as an earlier version wrote it
    identity.refuse_changed_tracks(model, stores[0])
    (model / "tracks.npz").unlink()
    identity.refuse_changed_tracks(model, stores[0])
    assert not caplog.records
