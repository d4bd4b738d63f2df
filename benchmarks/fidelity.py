"""Fidelity metrics of ours against the packages a user would pick: value, time and peak memory. Prints JSON.

    python -m benchmarks.fidelity                    # 2,000 generated against 2,000 real vectors of 512 dimensions
    python -m benchmarks.fidelity --vectors 5000

Each runs in its own process, so that its memory is its own: `memory_mb` is the peak beyond the two sets and the
imports, `seconds` the median of three runs after one that warms up.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time

import numpy as np
import psutil
import torch


def ours_frechet(generated, real):
    """The Fréchet distance by our formula."""
    from diffgar.evaluation.metrics.distances import frechet_distance

    return frechet_distance(generated, real)


def scipy_frechet(generated, real):
    """The usual formula: the matrix square root of the product of the covariances."""
    import scipy.linalg

    generated, real = generated.double().numpy(), real.double().numpy()
    covariances = np.cov(generated.T), np.cov(real.T)
    gap = generated.mean(axis=0) - real.mean(axis=0)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return float(gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * root.real))


def ours_prdc(generated, real):
    """Precision, recall, density and coverage of ours."""
    from diffgar.evaluation.metrics.diversity import prdc

    return prdc(generated, real, k=5)


def package_prdc(generated, real):
    """The same by the package `prdc`."""
    import prdc

    found = prdc.compute_prdc(real.numpy(), generated.numpy(), nearest_k=5)
    return {name: float(value) for name, value in found.items()}


def ours_vendi(generated, real):
    """The Vendi score of ours; `real` is not used."""
    from diffgar.evaluation.metrics.diversity import vendi_score

    return vendi_score(generated)


def package_vendi(generated, real):
    """The same by the package `vendi-score`."""
    from vendi_score import vendi

    unit = torch.nn.functional.normalize(generated, dim=-1)
    return float(vendi.score_K((unit @ unit.T).numpy()))


CONTENDERS = {
    "frechet": {"ours": ours_frechet, "scipy sqrtm": scipy_frechet},
    "prdc": {"ours": ours_prdc, "prdc": package_prdc},
    "vendi": {"ours": ours_vendi, "vendi-score": package_vendi},
}


def measure(metric: str, name: str, num_vectors: int, dim: int, queue) -> None:
    """Run one contender in this process and put what was found on the queue."""
    work = CONTENDERS[metric][name]
    numbers = torch.Generator().manual_seed(0)
    mixing = torch.randn(dim, dim, generator=numbers) / dim**0.5
    generated, real = (torch.randn(num_vectors, dim, generator=numbers) @ mixing for _ in range(2))
    sys.stdout = sys.stderr  # packages that print keep out of the JSON
    work(generated[:64], real[:64])  # imports, and the libraries' own buffers
    before = psutil.Process().memory_info().rss / 2**20
    value, times = None, []
    for _ in range(4):
        start = time.perf_counter()
        value = work(generated, real)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    seconds = statistics.median(times[1:])
    queue.put({"value": value, "seconds": round(seconds, 3), "memory_mb": round(peak - before)})


def main() -> None:
    """Run every contender in a process of its own, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=512)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    report = {"sizes": [args.vectors, args.vectors, args.dim], "threads": torch.get_num_threads()}
    for metric, contenders in CONTENDERS.items():
        report[metric] = {}
        for name in contenders:
            queue = context.Queue()
            process = context.Process(target=measure, args=(metric, name, args.vectors, args.dim, queue))
            process.start()
            report[metric][name] = queue.get(timeout=600)
            process.join()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
