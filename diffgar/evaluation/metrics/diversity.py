"""Diversity of sets: precision, recall, density, coverage and Vendi score, and how samples of one caption differ."""

import torch
from torch import Tensor

from diffgar.evaluation.metrics.distances import checked_sets
from diffgar.evaluation.metrics.ranks import top_k, unit_rows

CHUNK = 1024  # rows of a distance matrix held at once


def prdc(generated: Tensor, real: Tensor, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), between 0 and 1.

    Sets (n, D) and (m, D), euclidean, float64; density alone may pass 1. A ball reaches to the k-th neighbour of its
    centre within the centre's own set, border excluded.
    """
    generated, real = checked_sets(generated, real, at_least=k + 1)
    real_radius, generated_radius = _radii(real, k), _radii(generated, k)
    covered, recalled = [], []
    times_inside = torch.zeros(len(generated), dtype=torch.long, device=real.device)
    for start in range(0, len(real), CHUNK):
        distance = torch.cdist(real[start : start + CHUNK], generated)  # (chunk, n)
        inside = distance < real_radius[start : start + CHUNK].unsqueeze(1)
        times_inside += inside.sum(dim=0)
        covered.append(inside.any(dim=1))
        recalled.append((distance < generated_radius).any(dim=1))
    return {
        "precision": float((times_inside > 0).double().mean()),
        "recall": float(torch.cat(recalled).double().mean()),
        "density": float(times_inside.double().mean() / k),
        "coverage": float(torch.cat(covered).double().mean()),
    }


def vendi_score(vectors: Tensor) -> float:
    """The effective number of different vectors in (n, D) under cosine, from 1 to min(n, D) (Friedman & Dieng 2023).

    exp of the entropy of the eigenvalues of K / n; those of XXᵀ / n are those of XᵀX / n, so the smaller is solved.
    """
    return float(vendi_scores(vectors.unsqueeze(0))[0])


def vendi_scores(vectors: Tensor) -> Tensor:
    """The Vendi score of each of Q sets, (Q, n, D) to (Q,), in float64."""
    unit = unit_rows(vectors, "vectors").double()
    num_vectors, dim = unit.shape[1:]
    gram = unit @ unit.mT if num_vectors <= dim else unit.mT @ unit  # the smaller of (Q, n, n) and (Q, D, D)
    shares = torch.linalg.eigvalsh(gram / num_vectors).clamp(min=0)
    return torch.special.entr(shares).sum(dim=-1).exp()


def intra_caption_diversity(embeddings: Tensor) -> Tensor:
    """Mean 1 − cosine between the K samples of one caption: (Q, K, D) to (Q,), 0 where all are one point."""
    unit = unit_rows(embeddings, "embeddings").double()  # (Q, K, D)
    num_samples = unit.shape[1]
    if num_samples < 2:
        raise ValueError("diversity within a caption needs at least 2 samples of it; raise the number of samples")
    total = unit.sum(dim=1).square().sum(dim=-1)  # Σ of all cosines, the K on the diagonal among them
    return 1 - (total - unit.square().sum(dim=(1, 2))) / (num_samples * (num_samples - 1))


def overlap_at(embeddings: Tensor, index: Tensor, k: int = 10) -> Tensor:
    """The share of the k nearest tracks that two samples of one caption have in common, over all pairs of samples.

    embeddings (Q, K, D) against the index (N, D), N ≥ k, to (Q,): 1 where every sample retrieves the same.
    """
    num_samples = embeddings.shape[1]
    if num_samples < 2 or len(index) < k:
        raise ValueError(
            f"overlap@{k} needs 2 samples per caption and {k} tracks; found {num_samples} samples, {len(index)} tracks"
        )
    _, nearest = top_k(embeddings.flatten(0, 1), index, k)
    nearest = nearest.unflatten(0, embeddings.shape[:2])  # (Q, K, k)
    shared = torch.zeros(len(embeddings), dtype=torch.float64)
    for first in range(num_samples):
        for second in range(first):
            same = nearest[:, first].unsqueeze(2) == nearest[:, second].unsqueeze(1)  # (Q, k, k)
            shared += same.sum(dim=(1, 2)) / k
    return shared / (num_samples * (num_samples - 1) / 2)


def _radii(vectors: Tensor, k: int) -> Tensor:
    """The distance (n,) of each vector to its k-th neighbour in its own set, itself not counted."""
    rows = [torch.cdist(chunk, vectors).kthvalue(k + 1, dim=1).values for chunk in vectors.split(CHUNK)]
    return torch.cat(rows)
