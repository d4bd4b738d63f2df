"""A map asks of UMAP only what there is, and of a large collection draws a part."""

from unittest import mock

import pytest
import torch

from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.reports import maps


def test_umap_is_asked_for_no_more_neighbours_than_there_are(monkeypatch):
    class Umap:
        def __init__(self, n_neighbors, **options):
            self.n_neighbors = n_neighbors

        def fit_transform(self, every):
            assert self.n_neighbors < len(every)
            return every[:, :2]

    monkeypatch.setattr(maps, "has_umap", lambda: True)
    with mock.patch.dict("sys.modules", {"umap": mock.Mock(UMAP=Umap)}):
        real, others = maps.project_umap(torch.randn(5, 4), torch.randn(3, 4))
    assert real.shape == (5, 2) and others.shape == (3, 2)


@pytest.mark.parametrize(("num_tracks", "num_queries", "drawn"), [(30, 40, (30, 40)), (900, 700, (60, 51))])
def test_of_many_a_part_is_drawn_and_the_query_with_its_top_10_always(
    monkeypatch, tmp_path, num_tracks, num_queries, drawn
):
    seen = {}

    def figure(path, points, query, nearest, title):
        seen.update(points, query=query, nearest=nearest)
        return [path]

    monkeypatch.setattr(maps, "MOST", 50)
    monkeypatch.setattr(maps, "has_umap", lambda: False)
    monkeypatch.setattr(maps, "map_figure", figure)
    index, queries = torch.randn(num_tracks, 2), torch.randn(num_queries, 2)
    monkeypatch.setattr(maps, "project_pca", lambda *vectors: [each.numpy() for each in vectors])
    maps.latent_maps(tmp_path, index, queries, which=7)
    tracks, answers = drawn
    assert len(seen["generated"]) == answers and tracks - 10 <= len(seen["real"]) <= tracks
    units = torch.nn.functional.normalize(index, dim=1)[top_k(queries[7:8], index)[1][0]]
    torch.testing.assert_close(torch.from_numpy(seen["nearest"]), units)
    torch.testing.assert_close(torch.from_numpy(seen["query"]), torch.nn.functional.normalize(queries[7], dim=0))
