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
    UMAP. Returns the files written, `map-pca` and `map-umap` as PNG and PDF.
    """
    real, generated = unit_rows(index, "index"), unit_rows(queries, "queries")
    nearest = top_k(generated[which : which + 1], real)[1][0]
    projections = {"pca": project_pca}
    if has_umap() and len(real) + len(generated) >= LEAST_FOR_UMAP:
        projections["umap"] = project_umap
    written = []
    for name, project in projections.items():
        tracks, answers = project(real, generated)
        points = {"real": tracks, "generated": answers}
        path = Path(folder) / f"map-{name}"
        written += map_figure(path, points, answers[which], tracks[nearest.numpy()], caption)
    return written
