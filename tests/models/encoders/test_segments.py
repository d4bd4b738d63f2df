"""Sequences as parts side by side."""

import pytest
import torch
import torch.nn.functional as F

from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import segment_means, segment_weights, side_by_side


def test_a_frame_that_a_cut_goes_through_counts_for_both_parts():
    assert segment_weights(torch.tensor([3.0]), 3, 2).tolist() == [[[1, 0.5, 0], [0, 0.5, 1]]]
    assert segment_weights(torch.tensor([1.0]), 2, 2).tolist() == [[[0.5, 0], [0.5, 0]]]


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_parts_are_of_equal_length_and_have_every_valid_frame_once(segments):
    weights = segment_weights(torch.tensor([4.0, 7.0, 2.0]), 7, segments)
    torch.testing.assert_close(
        weights.sum(dim=2), torch.tensor([4.0, 7.0, 2.0])[:, None].expand(-1, segments) / segments
    )
    valid = (torch.arange(7) < torch.tensor([4, 7, 2])[:, None]).float()
    torch.testing.assert_close(weights.sum(dim=1), valid)


def test_the_means_are_those_of_a_slow_loop():
    latents, mask = torch.randn(2, 3, 6, 4), torch.arange(6) < 4
    means = segment_means(latents, 2, mask.expand(2, 3, 6))
    torch.testing.assert_close(means[..., 0, :], latents[..., :2, :].mean(dim=-2))
    torch.testing.assert_close(means[..., 1, :], latents[..., 2:4, :].mean(dim=-2))


def test_one_part_is_the_pooled_vector():
    latents, centre = torch.randn(3, 5, 4), torch.randn(4)
    torch.testing.assert_close(side_by_side(segment_means(latents, 1), centre), pool(latents, centre=centre))


def test_the_product_is_the_mean_of_the_parts_cosines_and_tells_a_sequence_from_its_reverse():
    query, track = torch.randn(2, 1, 8, 16)
    a, b = (segment_means(each, 2) for each in (query, track))  # (1, 2, 16)
    cosines = F.cosine_similarity(a, b, dim=-1).mean(dim=1)
    torch.testing.assert_close((side_by_side(a) * side_by_side(b)).sum(dim=-1), cosines)
    both = [side_by_side(segment_means(each, 2)) for each in (query, query.flip(1))]
    assert both[0].norm() == pytest.approx(1, abs=1e-6)
    assert (both[0] * both[0]).sum() > (both[0] * both[1]).sum() + 0.1
    pooled = [pool(each) for each in (query, query.flip(1))]
    torch.testing.assert_close(*pooled)  # which no pooled vector can
