"""When in a track it fits best."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diffgar.search.moments import best_moment, timeline


def test_a_moment_is_the_mean_of_the_frames_that_follow():
    frames, query = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)), torch.randn(4)
    found = timeline(frames, query, lambda means: F.normalize(means, dim=-1), width=3)
    for start in range(7):
        mean = frames[start : start + 3].mean(dim=0)
        assert found[start] == pytest.approx(float(F.cosine_similarity(mean, query, dim=0)), abs=1e-5)


def test_a_track_whose_second_half_fits_is_played_from_there():
    query, other = torch.eye(4)[0], torch.eye(4)[1]
    frames = torch.stack([other] * 6 + [query] * 6)
    similarity = timeline(frames, query, lambda means: F.normalize(means, dim=-1), width=3)
    assert best_moment(similarity, 3) == 6


@pytest.mark.parametrize(
    ("similarity", "width", "frame"),
    [([0.1, 0.5, 0.4, 0.9], 2, 1), ([0.3], 5, 0), ([0.2, 0.9], 9, 0), ([0.5, 0.5, 0.1], 1, 0)],
)
def test_a_moment_is_whole_and_the_first_of_equals(similarity, width, frame):
    assert best_moment(np.array(similarity), width) == frame


def test_a_hit_begins_within_its_track_and_a_timeline_has_a_value_a_frame(library):
    hits = library.search("electronic drums", k=3)
    for hit in hits:
        similarity = library.timeline(hit, hits)
        assert len(similarity) == len(library.frames(hit.position))
        assert 0 <= hit.seconds < len(similarity) * library.seconds_per_frame
        assert hit.seconds == best_moment(similarity, library.frames_per_moment) * library.seconds_per_frame
    by_words = library.timeline(hits[0].track_id, "electronic drums")
    np.testing.assert_allclose(by_words, library.timeline(hits[0], hits), atol=1e-5)
