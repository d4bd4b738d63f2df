"""Fidelity metrics of ours against the packages a user would pick: value, time and peak memory. Prints JSON.

    python -m benchmarks.fidelity                    # 2,000 generated against 2,000 real vectors of 512 dimensions
    python -m benchmarks.fidelity --vectors 5000

Each runs in its own process, so that its memory is its own: `memory_mb` is the peak beyond the two sets and the
imports, `seconds` the median of three runs after one that warms up. Ours run on the GPU where there is one; packages
run on the CPU, and one that is not installed is skipped, as the report says.
"""

import multiprocessing
import resource
import statistics
import sys

import numpy as np
import psutil
import torch

from benchmarks.machine import name_of, parser_of, publish, seconds


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


def ours_kernel(generated, real):
    """The kernel distance of ours, which no package of these has."""
    from diffgar.evaluation.metrics.distances import kernel_distance

    return kernel_distance(generated, real)


CONTENDERS = {
    "frechet": {"ours": ours_frechet, "scipy sqrtm": scipy_frechet},
    "kernel": {"ours": ours_kernel},
    "prdc": {"ours": ours_prdc, "prdc": package_prdc},
    "vendi": {"ours": ours_vendi, "vendi-score": package_vendi},
}


def measure(metric: str, name: str, sizes: tuple[int, int], device: torch.device, queue) -> None:
    """Run one contender in this process, on (n, D) vectors, and put what was found on the queue."""
    work, (num_vectors, dim) = CONTENDERS[metric][name], sizes
    numbers = torch.Generator().manual_seed(0)
    mixing = torch.randn(dim, dim, generator=numbers) / dim**0.5
    generated, real = ((torch.randn(num_vectors, dim, generator=numbers) @ mixing).to(device) for _ in range(2))
    sys.stdout = sys.stderr  # packages that print keep out of the JSON
    try:
        work(generated[:64], real[:64])  # imports, and the libraries' own buffers
    except ModuleNotFoundError as error:
        queue.put({"skipped": str(error)})
        return
    before, value = memory_mb(device), None

    def run() -> None:
        nonlocal value
        value = work(generated, real)

    times = [seconds(run, device) for _ in range(4)]
    found = {"value": value, "seconds": round(statistics.median(times[1:]), 3), "device": name_of(device)}
    queue.put(found | {"memory_mb": round(memory_mb(device, peak=True) - before)})


def memory_mb(device: torch.device, peak: bool = False) -> float:
    """MB that this process has taken of the GPU or of the host, now or at most."""
    if device.type == "cuda":
        taken = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
        return taken(device) / 2**20
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    """Run every contender in a process of its own, and print the report."""
    parser = parser_of(__doc__)
    parser.add_argument("--vectors", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=512)
    args = parser.parse_args()
    context, sizes = multiprocessing.get_context("spawn"), (args.vectors, args.dim)
    report = {"sizes": [args.vectors, args.vectors, args.dim], "threads": torch.get_num_threads()}
    for metric, contenders in CONTENDERS.items():
        report[metric] = {}
        for name in contenders:
            queue, device = context.Queue(), args.device if name == "ours" else torch.device("cpu")
            process = context.Process(target=measure, args=(metric, name, sizes, device, queue))
            process.start()
            report[metric][name] = queue.get(timeout=600)
            process.join()
    publish("fidelity", report, args)


if __name__ == "__main__":
    main()
