"""Contrastive losses: the sums of the papers, written out."""

import math

import pytest
import torch
import torch.nn.functional as F

from diffgar.models.contrastive import against_reverse, info_nce, nt_xent
from diffgar.models.diffusion.objective import Objective
from diffgar.models.encoders.segments import side_by_side


@pytest.fixture
def views():
    return F.normalize(torch.randn(2, 4, 6), dim=-1)  # queries and index


def own_share(one, own, others):
    """−log of the own vector's part among the others, at temperature 0.1."""
    return -math.log(math.exp(one @ own / 0.1) / sum(math.exp(one @ other / 0.1) for other in others))


def test_nt_xent_is_among_all_others_of_both_kinds(views):
    queries, index = views
    every = [*queries, *index]
    expected = []
    for i in range(4):
        mine, its = every[i], every[i + 4]
        terms = [own_share(a, b, [x for x in every if x is not a]) for a, b in ((mine, its), (its, mine))]
        expected.append(sum(terms) / 2)
    torch.testing.assert_close(nt_xent(queries, index), torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_info_nce_is_among_all_of_the_other_kind(views):
    queries, index = views
    expected = [(own_share(q, a, index) + own_share(a, q, queries)) / 2 for q, a in zip(queries, index, strict=True)]
    torch.testing.assert_close(info_nce(queries, index), torch.tensor(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_captions_of_one_track_are_not_each_others_negatives(loss, views):
    groups = torch.tensor([5, 3, 5, 4])
    found = loss(*views, groups=groups)
    for left_out, row in ((2, 0), (0, 2)):  # as if its own pair's other caption were in no batch
        rows = [i for i in range(4) if i != left_out]
        alone = loss(*views[:, rows])[rows.index(row)]
        torch.testing.assert_close(found[row], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[[1, 3]], loss(*views)[[1, 3]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss(*views, groups=torch.arange(4)), loss(*views), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_mixed_precision_does_not_round_the_cosines(loss):
    alike = F.normalize(torch.randn(6) + 0.1 * torch.randn(2, 4, 6), dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*alike, 0.05)
    torch.testing.assert_close(found, loss(*alike, 0.05), atol=1e-5, rtol=1e-5)


def test_the_reverse_is_a_hard_negative_of_its_own():
    parts = F.normalize(torch.randn(5, 2, 6), dim=-1)
    index, reverse = side_by_side(parts), side_by_side(parts.flip(1))
    right, wrong = against_reverse(index, index, reverse, 0.1), against_reverse(reverse, index, reverse, 0.1)
    margin = (1 - (index * reverse).sum(dim=-1)) / 0.1
    torch.testing.assert_close(right, torch.log1p(torch.exp(-margin)))
    torch.testing.assert_close(wrong, torch.log1p(torch.exp(margin)))
    unordered = side_by_side(parts.mean(dim=1, keepdim=True).expand(-1, 2, -1))  # the same in both parts
    torch.testing.assert_close(against_reverse(unordered, index, reverse, 0.1), torch.full((5,), math.log(2)))


def test_an_order_of_one_part_is_refused():
    with pytest.raises(ValueError, match="reverse_weight needs parts .* use objective.contrastive_segments=2"):
        Objective(contrastive_weight=1.0, reverse_weight=4.0)
