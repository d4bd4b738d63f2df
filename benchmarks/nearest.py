"""The 10 nearest tracks of 10,000 to 1,000,000: the exact product, and FAISS where it is installed. Prints JSON.

    pip install faiss-cpu                       # the extra `faiss`; without it the exact product alone is measured
    python -m benchmarks.nearest --dim 128
    python -m benchmarks.nearest --dim 512 --sizes 10000 100000 1000000

Vectors are drawn around 2,000 centres in a space of 32 directions: music is nearer to that than to noise, in which an
approximate index finds less. Times are of one query on one thread, in ms: the median of the wall clock, and of the
process's CPU time, which a machine that is busy with other things changes less. recall: of the exact top 10.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    import faiss
except ImportError:
    faiss = None

K, SHORT = 10, 100
PROBES = [1, 4, 16, 64]


def vectors(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Unit vectors (count, dim) about 2,000 centres, always the same ones for a dim."""
    fixed = torch.Generator().manual_seed(0)
    centres, spread = torch.randn(2000, 32, generator=fixed), torch.randn(32, dim, generator=fixed)
    found = torch.empty(count, dim)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        latent = centres[torch.randint(2000, (size,), generator=generator)]
        latent = latent + 0.7 * torch.randn(size, 32, generator=generator)
        noisy = latent @ spread + 1.0 * torch.randn(size, dim, generator=generator)
        found[start : start + size] = F.normalize(noisy, dim=-1)
    return found


def timed(ask: Callable[[Tensor], Tensor], queries: Tensor) -> tuple[dict, Tensor]:
    """The positions (Q, 10) that `ask` finds, and what a query takes in ms."""
    ask(queries[0])
    walls, processes, found = [], [], []
    for query in queries:
        wall, process = time.perf_counter(), time.process_time()
        found.append(ask(query))
        walls.append(time.perf_counter() - wall)
        processes.append(time.process_time() - process)
    ms = {"wall_ms": round(1000 * median(walls), 3), "cpu_ms": round(1000 * median(processes), 3)}
    return ms, torch.stack(found)


def recall(found: Tensor, exact: Tensor) -> float:
    """The share of the exact top 10 that was found, per cent."""
    both = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
    return round(100 * both / exact.numel(), 2)


def approximate(index: Tensor, queries: Tensor, exact: Tensor, num_lists: int) -> dict:
    """An inverted file of half floats, whose first 100 are ranked exactly: to build, to ask, and what it misses."""
    begun, process = time.perf_counter(), time.process_time()
    dim = index.shape[1]
    built = faiss.index_factory(dim, f"IVF{num_lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    built.train(index[torch.randperm(len(index))[: 40 * num_lists]].numpy())
    for part in index.split(50_000):
        built.add(part.numpy())
    report = {
        "lists": num_lists,
        "build_s": round(time.perf_counter() - begun, 1),
        "build_cpu_s": round(time.process_time() - process, 1),
    }
    for probes in PROBES:
        built.nprobe = probes

        def ask(query: Tensor) -> Tensor:
            found = torch.from_numpy(built.search(query[None].numpy(), SHORT)[1][0])
            found = found[found >= 0]
            best = (index[found] @ query).topk(min(K, len(found))).indices
            return F.pad(found[best], (0, K - len(best)), value=-1)

        ms, found = timed(ask, queries)
        report[f"probes_{probes}"] = ms | {"recall": recall(found, exact)}
    return report


def measured(count: int, asked: argparse.Namespace) -> dict:
    """Every way at one size."""
    index = vectors(count, asked.dim, torch.Generator().manual_seed(1))
    queries = vectors(asked.queries, asked.dim, torch.Generator().manual_seed(2))
    exact_ms, exact = timed(lambda query: (index @ query).topk(K).indices, queries)
    report = {"tracks": count, "exact": exact_ms}
    if faiss is not None:
        flat = faiss.IndexFlatIP(asked.dim)
        if count * asked.dim <= 2**27:  # a copy of the vectors, which need not be had at a million of 512
            flat.add(index.numpy())
            ms, found = timed(lambda query: torch.from_numpy(flat.search(query[None].numpy(), K)[1][0]), queries)
            report["faiss_flat"] = ms | {"recall": recall(found, exact)}
        del flat
        report["faiss_ivf"] = approximate(index, queries, exact, num_lists=max(64, round(count**0.5)))
    return report | {"peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}


def main() -> None:
    """Time the nearest of each size, exact and by FAISS, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=50)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if faiss is not None:
        faiss.omp_set_num_threads(1)
    sizes = [measured(count, asked) for count in asked.sizes]
    print(json.dumps({"dim": asked.dim, "faiss": getattr(faiss, "__version__", None), "sizes": sizes}, indent=1))


if __name__ == "__main__":
    main()
