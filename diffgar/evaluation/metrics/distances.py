"""Distances between two sets of vectors: Fréchet and kernel. Tensors in, numbers out."""

import torch
from torch import Tensor

FIT_SIZES = 8  # subset sizes of the FD∞ fit, equally spaced in 1/n from n to n / 4
MEDIAN_SAMPLE = 1000  # vectors whose pairwise distances give the kernel's bandwidth
KERNEL_CHUNK = 2048


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The squared Fréchet distance of the Gaussians fitted to two sets (n, D) and (m, D), in float64.

    |μ₁ − μ₂|² + tr(C₁) + tr(C₂) − 2 tr((C₁^½ C₂ C₁^½)^½), Dowson & Landau 1982. Both roots come from symmetric
    eigendecompositions, so that it is never complex and never negative. It is biased upwards by an amount of order D² /
    n: quote it beside that of real music, or as `frechet_infinity`.
    """
    first, second = checked_sets(first, second, at_least=2)
    mean_gap = first.mean(dim=0) - second.mean(dim=0)  # (D,)
    first_cov, second_cov = torch.cov(first.T), torch.cov(second.T)  # (D, D)
    values, vectors = torch.linalg.eigh(first_cov.reshape(len(mean_gap), -1))
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # C₁^½
    product = root @ second_cov.reshape(len(mean_gap), -1) @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = mean_gap.square().sum() + first.var(dim=0).sum() + second.var(dim=0).sum() - 2 * cross
    return max(0.0, float(distance))


def frechet_infinity(first: Tensor, second: Tensor, generator: torch.Generator) -> float:
    """The Fréchet distance extrapolated to infinitely many samples (FD∞, Chong & Forsyth 2020).

    The distance of random subsets of n vectors each is fitted by a line in 1/n, whose intercept is returned; noise can
    put that a little below zero. `generator` draws the subsets.
    """
    first, second = checked_sets(first, second, at_least=8)
    most = min(len(first), len(second))
    inverse = torch.linspace(1 / most, 4 / most, FIT_SIZES, dtype=torch.float64)
    distances = []
    for size in (1 / inverse).round().long().clamp(min=2).tolist():
        rows = [torch.randperm(len(side), generator=generator)[:size] for side in (first, second)]
        distances.append(frechet_distance(first[rows[0]], second[rows[1]]))
    design = torch.stack([torch.ones_like(inverse), inverse], dim=1)  # (sizes, 2)
    target = torch.tensor(distances, dtype=torch.float64).unsqueeze(1)
    return float(torch.linalg.lstsq(design, target).solution[0])


def kernel_distance(first: Tensor, second: Tensor, bandwidth: float | None = None) -> float:
    """100 times the unbiased squared maximum mean discrepancy under a Gaussian kernel (Gretton et al. 2012, eq. 3).

    Sets (n, D) and (m, D); k(x, y) = exp(−|x − y|² / 2σ²), σ = `bandwidth`, by default the median distance within
    `second`, the real set, as the kernel audio distance has it. Around zero, on either side, for one distribution.
    """
    first, second = checked_sets(first, second, at_least=2)
    sigma = median_distance(second) if bandwidth is None else bandwidth
    if sigma == 0:
        raise ValueError("the real vectors are all equal: the kernel has no bandwidth; check the extraction")
    n, m = len(first), len(second)
    within_first = (_kernel_sum(first, first, sigma) - n) / (n * (n - 1))  # less the diagonal, where k = 1
    within_second = (_kernel_sum(second, second, sigma) - m) / (m * (m - 1))
    across = _kernel_sum(first, second, sigma) / (n * m)
    return 100 * (within_first + within_second - 2 * across)


def median_distance(vectors: Tensor) -> float:
    """The median of the pairwise distances within a set (n, D); of 1,000 evenly spread rows when it is larger."""
    rows = torch.linspace(0, len(vectors) - 1, min(len(vectors), MEDIAN_SAMPLE)).long()
    return float(torch.pdist(vectors[rows].double()).median())


def _kernel_sum(first: Tensor, second: Tensor, sigma: float) -> float:
    """Σ k(x, y) over all pairs, a chunk of `first` at a time."""
    total = 0.0
    norms = second.square().sum(dim=1)
    for rows in first.split(KERNEL_CHUNK):
        squared = rows.square().sum(dim=1, keepdim=True) + norms - 2 * rows @ second.T
        total += float(squared.clamp_(min=0).div_(-2 * sigma**2).exp_().sum())
    return total


def checked_sets(first: Tensor, second: Tensor, at_least: int) -> tuple[Tensor, Tensor]:
    """Both sets as float64; refuses wrong shapes, too few vectors and numbers that are not finite."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"expected (n, D) and (m, D), found {tuple(first.shape)} and {tuple(second.shape)}")
    for name, vectors in (("first", first), ("second", second)):
        if len(vectors) < at_least:
            raise ValueError(f"the {name} set has {len(vectors)} vectors; at least {at_least} are needed")
        bad = ~vectors.isfinite().all(dim=1)
        if bad.any():
            raise ValueError(f"the {name} set has NaN or infinite numbers, in row {int(bad.nonzero()[0])} first")
    return first.double(), second.double()
