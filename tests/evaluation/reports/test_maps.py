"""A map asks of UMAP only what there is."""

from unittest import mock

import torch

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
