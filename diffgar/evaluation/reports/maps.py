"""Latents on the plane: real tracks, generated queries, one query and what it retrieves."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffgar.evaluation.metrics.ranks import top_k, unit_rows
from diffgar.evaluation.reports.figures import map_figure

SEED = 0  # of UMAP's layout
NEIGHBOURS = 15  # its default
MOST = 2500  # tracks, and queries, on a map: more cannot be told apart, and UMAP would take hours
LEAST_FOR_UMAP = 8  # vectors: fewer have no neighbourhoods to lay out


def project_pca(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """The first two principal components of the real vectors (N, D), and the others (M, D) seen in them: (·, 2).

    Each axis points where its largest loading is positive, so that the same vectors give the same map.
    """
    real = real.double()
    centre = real.mean(dim=0)
    scatter = (real - centre).T @ (real - centre)  # (D, D); of one vector it is zero, and any plane is as good
    axes = torch.linalg.eigh(scatter).eigenvectors[:, -2:].flip(1)  # (D, 2), the largest first
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    axes = torch.nn.functional.pad(axes, (0, 2 - axes.shape[1]))  # one dimension is a line on the plane
    return [((vectors.double() - centre) @ axes).numpy() for vectors in (real, *others)]


def project_umap(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """UMAP by cosine, fitted to all the vectors together. Refuses (ImportError) where `umap-learn` is absent."""
    if not has_umap():
        raise ImportError("the UMAP map needs umap-learn: pip install umap-learn, or draw the PCA map")
    import umap

    every = torch.cat([real, *others]).numpy()
    neighbours = min(NEIGHBOURS, len(every) - 1)
    plane = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=SEED).fit_transform(every)
    return np.split(plane, np.cumsum([len(real), *map(len, others)])[:-1])


def has_umap() -> bool:
    """Whether `umap-learn` is installed."""
    return find_spec("umap") is not None


def latent_maps(folder: str | Path, index: Tensor, queries: Tensor, which: int = 0, caption: str = "") -> list[Path]:
    """Maps of the index (N, D) and generated queries (Q, D), with query `which` and its top 10: PCA and, if installed,
    UMAP. Of more than `MOST` tracks or queries a part is drawn, evenly spread. Returns the files written, `map-pca` and
    `map-umap` as PNG and PDF.
    """
    nearest = top_k(queries[which : which + 1], index)[1][0]
    tracks, near = drawn(len(index), nearest)
    answers, query = drawn(len(queries), torch.tensor([which]))
    real, generated = unit_rows(index[tracks.to(index.device)], "index").cpu(), unit_rows(queries[answers], "queries")
    projections = {"pca": project_pca}
    if has_umap() and len(real) + len(generated) >= LEAST_FOR_UMAP:
        projections["umap"] = project_umap
    written = []
    for name, project in projections.items():
        on_map, answered = project(real, generated)
        points = {"real": on_map, "generated": answered}
        written += map_figure(Path(folder) / f"map-{name}", points, answered[query[0]], on_map[near], caption)
    return written


def drawn(count: int, needed: Tensor) -> tuple[Tensor, np.ndarray]:
    """Which of `count` vectors are drawn, ascending, and where the `needed` (n,) stand among them, (n,).

    All of them, or `MOST` evenly spread and the needed.
    """
    spread = torch.linspace(0, count - 1, min(count, MOST), dtype=torch.float64).long()
    positions = torch.cat([spread, needed]).unique()
    return positions, torch.searchsorted(positions, needed).numpy()
