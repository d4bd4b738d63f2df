"""The frames of a track that are inverted: those that the model was trained on."""

import numpy as np
import pytest
import torch

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.evaluation.control.editor import Editor
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import task_of
from diffgar.models.encoders.segments import segment_means
from diffgar.search import likeness

ASKED = {"like": "test-00003", "edit": "fast drums", "editing": "inversion", "edit_strength": 0.1}


def as_trained(frames, crop):
    """What a model of four frames was trained on, whole or cropped, of a track (T, D)."""
    return frames[:4] if crop else segment_means(frames, 4)


@pytest.mark.parametrize("frames", ["crop", "whole"])
def test_a_search_inverts_the_frames_that_the_model_was_trained_on(retriever_of, frames, monkeypatch):
    retriever, seen = retriever_of(), []

    class Watched(Editor):
        def __init__(self, model, sampler, latents, mask):
            seen.append((latents, mask))
            super().__init__(model, sampler, latents, mask)

    monkeypatch.setattr(likeness, "Editor", Watched)
    retriever.opened.config.datamodule = {"frames": frames}
    library = retriever.trained_library()
    hits = library.search(segments=2, **ASKED)
    [(latents, mask)] = seen
    track = library.frames(library.position_of("test-00003"))
    assert torch.equal(latents[0], as_trained(track, frames == "crop")) and mask.all()
    assert hits.query.shape == (256,) and library.search(**ASKED).query.shape == (128,)


@pytest.mark.parametrize("frames", ["crop", "whole"])
def test_an_evaluation_inverts_the_frames_that_the_model_was_trained_on(retriever, collection, frames):
    opened, audio, text = retriever.opened, Store(collection / "demo_audio"), TextStore(collection / "demo_text")
    task, trained = task_of("demo", audio, text, "test"), {"datamodule": {"frames": frames}}
    experiment = Experiment("toy", opened.model, 1, trained, opened.sampler, opened.sampler, audio, text, task, None)
    editor = Editor.of_tracks(experiment, opened.sampler, np.array([2, 5]))
    for latents, position in zip(editor.latents, experiment.track_positions[[2, 5]], strict=True):
        expected = as_trained(torch.from_numpy(audio.row(position).astype(np.float32)), frames == "crop")
        torch.testing.assert_close(latents, expected, atol=2e-3, rtol=0)  # a batch of whole tracks is of half precision
    assert editor.mask.all()
