"""The nearest tracks of an index: the exact product, and FAISS for large ones."""

import logging

import pytest
import torch
import torch.nn.functional as F

from diffgar.search import lists
from diffgar.search.nearest import LARGE, Nearest


@pytest.fixture
def index():
    """5,000 tracks around 50 centres."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(50, 16, generator=generator).repeat(100, 1)
    return F.normalize(centres + 0.3 * torch.randn(5000, 16, generator=generator), dim=-1)


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="FAISS is not installed: pip install diffgar[faiss]")


def test_the_exact_nearest_are_those_of_a_sort(index):
    query = index[7]
    found = Nearest(index).search(query, 10)
    by_hand = sorted(range(5000), key=lambda track: -float(index[track] @ query))[:10]
    assert found.positions.tolist() == by_hand and found.positions[0] == 7 and found.count == 5000
    torch.testing.assert_close(found.cosines, index[by_hand] @ query)
    assert torch.equal(found.cosines, found.scores)


def test_a_penalty_reorders_and_an_infinite_one_drops(index):
    query, penalty = index[7], torch.zeros(5000)
    first, second, third = Nearest(index).search(query, 3).positions.tolist()
    penalty[first], penalty[second] = torch.inf, 0.5
    found = Nearest(index).search(query, 5000, penalty)
    assert found.count == len(found.positions) == 4999 and first not in found.positions.tolist()
    assert found.positions[0] == third
    place = found.positions.tolist().index(second)
    assert float(found.scores[place]) == pytest.approx(float(found.cosines[place]) - 0.5)


def test_no_more_are_found_than_there_are(index):
    assert len(Nearest(index[:3]).search(index[0], 10).positions) == 3


def test_a_library_of_ordinary_size_is_searched_exactly(index, library):
    assert LARGE > 10_000 * 128
    assert Nearest(index).faiss is None and library.nearest.faiss is None


@pytest.mark.parametrize("form", lists.FORMS)
def test_what_faiss_proposes_is_ranked_exactly_and_hardly_any_is_missing(faiss, index, form):
    exact, large = Nearest(index), Nearest(index, large=0, form=form)
    assert large.faiss is faiss
    shared = 0
    for query in index[::250]:
        found, all_of_them = large.search(query, 10), exact.search(query, 10)
        torch.testing.assert_close(found.cosines, index[found.positions] @ query)
        assert found.cosines.tolist() == sorted(found.cosines.tolist(), reverse=True) and found.count == 5000
        shared += len(set(found.positions.tolist()) & set(all_of_them.positions.tolist()))
    assert shared >= 0.95 * 200


def test_with_a_penalty_a_large_index_is_compared_whole(faiss, index):
    penalty = torch.linspace(0, 1, 5000)
    large, exact = (Nearest(index, size).search(index[3], 10, penalty) for size in (0, LARGE))
    assert torch.equal(large.positions, exact.positions) and torch.equal(large.scores, exact.scores)


def test_lists_are_read_from_disk_where_the_vectors_are_the_same_and_made_anew_where_not(
    faiss, index, tmp_path, caplog, monkeypatch
):
    made, folder = [], tmp_path / "nearest"
    make = lists.made
    monkeypatch.setattr(lists, "made", lambda *asked: made.append(asked) or make(*asked))
    first, again = (Nearest(index, large=0, folder=folder).search(index[3], 10) for _ in range(2))
    assert len(made) == 1 and torch.equal(first.positions, again.positions) and torch.equal(first.scores, again.scores)
    assert (
        "5,000 tracks are searched by FAISS (ivf_sq): " in caplog.text
        and "of the exact top 10 are found" in caplog.text
    )
    changed = index.clone()
    changed[4000] = index[3]
    found = Nearest(changed, large=0, folder=folder).search(index[3], 2)
    assert len(made) == 2 and set(found.positions.tolist()) == {3, 4000}
    assert len(list(folder.iterdir())) == 2  # and no partial file


def test_a_damaged_file_of_lists_is_made_anew_and_few_are_kept(faiss, index, tmp_path):
    Nearest(index, large=0, folder=tmp_path).search(index[3], 10)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert Nearest(index, large=0, folder=tmp_path).search(index[3], 10).positions[0] == 3
    assert path.read_bytes() == whole
    for count in range(4990, 4995):
        assert Nearest(index[:count], large=0, folder=tmp_path).search(index[3], 10).count == count
    assert len(list(tmp_path.iterdir())) == lists.KEPT and not path.exists()


def test_a_folder_that_may_not_be_written_keeps_nothing_and_says_so(faiss, index, tmp_path, caplog):
    (tmp_path / "file").touch()
    caplog.set_level(logging.WARNING)
    assert Nearest(index, large=0, folder=tmp_path / "file/nearest").search(index[3], 10).positions[0] == 3
    assert "cannot be kept in" in caplog.text and "every process makes its own" in caplog.text
