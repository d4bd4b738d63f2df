"""Fidelity and diversity: against closed forms, slow loops and the reference packages."""

import numpy as np
import prdc as reference_prdc
import pytest
import scipy.linalg
import torch
from vendi_score import vendi

from diffgar.evaluation.fidelity import FidelityOptions, evaluate_fidelity
from diffgar.evaluation.metrics.distances import frechet_distance, frechet_infinity, kernel_distance, median_distance
from diffgar.evaluation.metrics.diversity import intra_caption_diversity, overlap_at, prdc, vendi_score
from diffgar.evaluation.metrics.per_caption import teacher_scores, track_parts
from diffgar.evaluation.report import REAL, System
from diffgar.evaluation.reports.json_form import summary_as_json

GDR = System("gdr")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def gaussian_set(mean, deviations, count=200, seed=0):
    """Vectors whose sample mean and covariance are exactly `mean` and diag(deviations²)."""
    vectors = normal(count, len(deviations), seed=seed)
    vectors = vectors - vectors.mean(dim=0)
    values, axes = torch.linalg.eigh(torch.cov(vectors.T))
    white = vectors @ axes / values.sqrt()
    return white * torch.tensor(deviations) + torch.tensor(mean)


def test_frechet_distance_of_two_known_gaussians():
    first = gaussian_set([0.0, 1.0, 2.0], [1.0, 2.0, 0.5], seed=1)
    second = gaussian_set([1.0, 1.0, 0.0], [3.0, 2.0, 1.0], seed=2)
    expected = (1 + 0 + 4) + (2**2 + 0 + 0.5**2)  # |μ₁ − μ₂|² + Σ (σ₁ − σ₂)²
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-9)


def test_frechet_distance_agrees_with_the_matrix_square_root():
    first, second = normal(300, 12) @ normal(12, 12, seed=1), normal(250, 12, seed=2) @ normal(12, 12, seed=3)
    covs = np.cov(first.numpy().T), np.cov(second.numpy().T)
    gap = first.mean(dim=0) - second.mean(dim=0)
    expected = float(gap @ gap) + np.trace(covs[0] + covs[1] - 2 * scipy.linalg.sqrtm(covs[0] @ covs[1]).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("count", [5, 500])  # fewer than dimensions, and more
def test_frechet_distance_of_a_set_to_itself_is_zero(count):
    vectors = normal(count, 32)
    assert 0 <= frechet_distance(vectors, vectors.flip(0)) < 1e-6


def test_frechet_distance_to_one_point_repeated_is_the_mean_squared_distance_to_it():
    vectors, point = normal(400, 8), normal(8, seed=1)
    expected = float((vectors.mean(dim=0) - point).square().sum() + vectors.var(dim=0).sum())
    assert frechet_distance(point.expand(50, 8), vectors) == pytest.approx(expected)


def test_extrapolation_takes_off_what_the_number_of_samples_adds():
    halves = normal(600, 48).split(300)
    plain = frechet_distance(*halves)
    assert plain > 2  # of one distribution: nothing but too few samples
    assert abs(frechet_infinity(*halves, generator())) < 0.15 * plain


def test_kernel_distance_agrees_with_the_sum_over_pairs():
    first, second = normal(23, 5), normal(31, 5, seed=1) + 0.5
    sigma = median_distance(second)
    assert sigma == pytest.approx(float(torch.pdist(second).median()))

    def kernel(x, y):
        return float(torch.exp(-(x - y).square().sum() / (2 * sigma**2)))

    within = [
        sum(kernel(x, y) for i, x in enumerate(vectors) for j, y in enumerate(vectors) if i != j)
        / (len(vectors) * (len(vectors) - 1))
        for vectors in (first, second)
    ]
    across = sum(kernel(x, y) for x in first for y in second) / (23 * 31)
    assert kernel_distance(first, second) == pytest.approx(100 * (sum(within) - 2 * across))


def test_kernel_distance_within_one_distribution_is_about_zero_at_any_size():
    for count in (20, 100):
        distances = [kernel_distance(*normal(2 * count, 16, seed=seed).split(count)) for seed in range(100)]
        assert abs(np.mean(distances)) < 3 * np.std(distances) / 10  # unbiased: three standard errors
        assert min(distances) < 0 < max(distances)
    assert kernel_distance(normal(200, 16) + 1, normal(200, 16, seed=1)) > 5


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, prdc])
def test_distances_refuse_what_they_cannot_compare(distance):
    good, bad = normal(20, 4), normal(20, 4)
    bad[7, 1] = float("nan")
    with pytest.raises(ValueError, match="first set has NaN or infinite numbers, in row 7"):
        distance(bad, good)
    with pytest.raises(ValueError, match=r"expected \(n, D\) and \(m, D\)"):
        distance(good, normal(20, 5))
    with pytest.raises(ValueError, match="second set has 1 vectors"):
        distance(good, good[:1])


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_prdc_agrees_with_the_package(shift):
    real, generated = normal(300, 6), normal(230, 6, seed=1) * 0.8 + shift
    expected = reference_prdc.compute_prdc(real.numpy(), generated.numpy(), nearest_k=5)
    assert prdc(generated, real, k=5) == pytest.approx(expected)


def test_one_point_repeated_recalls_and_covers_almost_nothing():
    real = normal(300, 6)
    found = prdc(real[:1].expand(100, 6), real)
    assert found["precision"] == 1 and found["recall"] == 0 and found["coverage"] < 0.05


def test_vendi_score_agrees_with_the_package_and_its_closed_forms():
    vectors = torch.nn.functional.normalize(normal(40, 12), dim=-1)
    expected = vendi.score_K((vectors @ vectors.T).numpy())
    assert vendi_score(vectors) == pytest.approx(expected, rel=1e-5)  # 40 > 12: solved in 12 dimensions
    assert vendi_score(vectors.T[:, :7].T) == pytest.approx(vendi.score_K((vectors[:7] @ vectors[:7].T).numpy()), 1e-5)
    assert vendi_score(vectors[:1].expand(9, 12)) == pytest.approx(1, abs=1e-5)
    assert vendi_score(torch.eye(6)) == pytest.approx(6)


def test_diversity_within_a_caption_agrees_with_the_pairs():
    samples = normal(5, 4, 8)
    cosine = torch.nn.functional.cosine_similarity(samples[:, :, None], samples[:, None], dim=-1)
    expected = [(1 - row[~torch.eye(4, dtype=bool)]).mean() for row in cosine]
    assert intra_caption_diversity(samples).tolist() == pytest.approx([float(value) for value in expected], abs=1e-6)
    assert intra_caption_diversity(samples[:, :1].expand(5, 4, 8)).abs().max() < 1e-6
    assert intra_caption_diversity(torch.eye(4)[None]).item() == pytest.approx(1)


def test_overlap_counts_what_two_samples_retrieve_in_common():
    index = torch.eye(40)
    first = torch.cat([torch.arange(40, 20, -1.0), torch.zeros(20)])  # retrieves 0 to 9
    second = torch.cat([torch.zeros(5), torch.arange(40, 20, -1.0), torch.zeros(15)])  # retrieves 5 to 14
    found = overlap_at(torch.stack([torch.stack([first, second]), torch.stack([first, first])]), index)
    assert found.tolist() == [0.5, 1.0]


def test_the_teacher_score_is_calibrated_between_shuffled_and_true_pairs():
    index, targets = normal(30, 8), torch.arange(30)
    captions = index + 0.5 * normal(30, 8, seed=1)
    own = teacher_scores(index[None], index, targets, captions)["teacher_score_calibrated"]
    assert own.mean() == pytest.approx(100)
    shifts = torch.stack([index.roll(shift, dims=0) for shift in range(1, 30)])  # every wrong pair once
    assert teacher_scores(shifts, index, targets, captions)["teacher_score_calibrated"].mean().abs() < 1e-4


def test_a_track_is_cut_into_consecutive_parts_and_short_ones_are_left_out():
    long, short = torch.stack([torch.eye(4)[i // 2] for i in range(8)]), torch.ones(3, 4)
    assert torch.equal(track_parts([long, short], 4), torch.eye(4)[None])


@pytest.fixture(scope="module")
def collection():
    """Music of 8 dimensions: tracks around own centres, 2 captions each, ragged in length."""
    numbers = generator()
    centres = torch.randn(2, 60, 1, 8, generator=numbers)  # of the real tracks, and of others like them
    frames = centres + 0.4 * torch.randn(2, 60, 12, 8, generator=numbers)
    real = [track[: 6 + n % 7] for n, track in enumerate(frames[0])]
    captions = centres[0, :, 0].repeat_interleave(2, dim=0) + 0.1 * torch.randn(120, 8, generator=numbers)
    return real, frames[1], torch.arange(60).repeat_interleave(2), captions


@pytest.fixture(scope="module")
def fidelity(collection):
    real, others, targets, captions = collection
    rows = {
        System("like real"): others[targets].expand(2, -1, -1, -1) + 1e-3 * normal(2, 120, 12, 8).float(),
        System("one point"): torch.ones(2, 120, 12, 8),
    }
    options = FidelityOptions(num_splits=2, num_resamples=100)
    return evaluate_fidelity(rows, real, targets, caption_embeddings=captions, options=options)


def test_generated_latents_as_good_as_real_reach_the_floor(fidelity):
    floor, like = fidelity.rows[REAL], fidelity.rows[System("like real")]
    for name in ("pooled_frechet", "frame_frechet"):  # one collection of this size varies by a fifth
        assert like[name].mean == pytest.approx(floor[name].mean, rel=0.6), name
    for name in ("pooled_recall", "pooled_coverage", "vendi", "temporal_variance"):
        assert like[name].mean == pytest.approx(floor[name].mean, rel=0.15), name


def test_one_point_for_every_caption_is_far_from_the_floor(fidelity):
    floor, point = fidelity.rows[REAL], fidelity.rows[System("one point")]
    assert point["pooled_frechet"].mean > 10 * floor["pooled_frechet"].mean
    assert point["pooled_recall"].mean == 0
    assert point["vendi"].mean == pytest.approx(1, abs=1e-4)
    assert point["intra_caption_diversity"].mean == pytest.approx(0, abs=1e-6)
    assert point["overlap@10"].mean == 100
    assert point["temporal_variance"].mean == 0 < floor["temporal_variance"].mean
    assert point["teacher_score_calibrated"].mean < 30
    assert floor["teacher_score_calibrated"].mean == pytest.approx(100)


def test_every_number_has_its_floor_and_how_many_it_was_counted_on(fidelity):
    floor, like = fidelity.rows[REAL], fidelity.rows[System("like real")]
    assert set(floor) == set(like)
    assert floor["pooled_frechet"].n == like["pooled_frechet"].n == 30
    assert like["temporal_variance"].n == 120
    assert fidelity.protocol["samples"] == {"like real": 2, "one point": 2}


def test_fidelity_is_the_same_from_padded_frames_with_a_mask(collection):
    real, others, targets, _ = collection
    padded = torch.nn.utils.rnn.pad_sequence(real, batch_first=True, padding_value=9.0)
    mask = torch.arange(padded.shape[1]) < torch.tensor([len(track) for track in real])[:, None]
    options = FidelityOptions(num_splits=1, num_resamples=10)
    ragged = evaluate_fidelity({GDR: others[targets][None]}, real, targets, options=options).rows
    masked = evaluate_fidelity({GDR: others[targets][None]}, padded, targets, mask, options=options).rows
    for system, metric in ((system, metric) for system, metrics in ragged.items() for metric in metrics):
        found, expected = (summary_as_json(rows[system][metric]) for rows in (masked, ragged))
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3), (system, metric)


def test_runs_are_no_redraws_so_that_rows_of_fidelity_are_not_compared_in_pairs(collection):
    real, others, targets, _ = collection
    two = torch.stack([others[targets], others[targets]])
    options = FidelityOptions(num_splits=3, num_resamples=10)
    paired = evaluate_fidelity({GDR: two}, real, targets, options=options).paired
    assert "frame_frechet" not in {name for metrics in paired.values() for name in metrics}


def test_what_is_pooled_is_seen_from_the_centre_and_frames_are_as_far_from_each_other_as_before(collection):
    """A common mean of a hundred times the latents' length: seen from it, everything is as it was without."""
    real, others, targets, _ = collection
    mean = 100 * torch.ones(8)
    options = FidelityOptions(num_splits=1, num_resamples=10)
    rows = {GDR: others[targets].expand(2, -1, -1, -1) + 0.1 * normal(2, 120, 12, 8).float()}
    plain = evaluate_fidelity(rows, real, targets, options=options).rows[GDR]
    shifted = {GDR: rows[GDR] + mean}, [track + mean for track in real], targets
    about = evaluate_fidelity(*shifted, options=options, centre=mean).rows[GDR]
    for metric in ("frame_kernel", "pooled_coverage", "intra_caption_diversity", "overlap@10", "pooled_norm"):
        assert about[metric].mean == pytest.approx(plain[metric].mean, rel=0.05, abs=0.05), metric
    from_the_origin = evaluate_fidelity(*shifted, options=options).rows[GDR]
    assert from_the_origin["intra_caption_diversity"].mean < 0.1 * plain["intra_caption_diversity"].mean


def test_fidelity_refuses_too_few_tracks_and_other_shapes(collection):
    real, others, targets, _ = collection
    with pytest.raises(ValueError, match="captions of at least 24 tracks, found 20"):
        evaluate_fidelity({GDR: others[targets][None, :40]}, real, targets[:40])
    with pytest.raises(ValueError, match=r"system 'gdr': expected latents \(S, 120, T, D\)"):
        evaluate_fidelity({GDR: others[targets]}, real, targets)
    with pytest.raises(ValueError, match="none named 'real'"):
        evaluate_fidelity({REAL: others[targets][None]}, real, targets)
