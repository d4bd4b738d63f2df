"""The 10 nearest tracks of 10,000 to 1,000,000: the exact product, and every form of FAISS, if installed. Prints JSON.

    pip install faiss-cpu                       # the extra `faiss`; without it the exact product alone is measured
    python -m benchmarks.nearest --dim 128
    python -m benchmarks.nearest --dim 512 --sizes 10000 100000 1000000

Vectors are drawn around 2,000 centres in a space of 32 directions: music is nearer to that than to noise, in which an
approximate index finds less. Times are of one query on one thread, in ms: the median of the wall clock, and of the
process's CPU time, which a machine that is busy with other things changes less. recall: of the exact top 10, per cent.
Of inverted lists the first 100 are ranked exactly. content_s: what it takes to tell whether lists on disk are those of
the vectors, and read_s to read them (wall clock).
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.search.lists import content_of, factory_of, faiss_or_none, made, proposed

faiss = faiss_or_none()
K = 10
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


def approximate(index: Tensor, queries: Tensor, exact: Tensor, form: str) -> dict:
    """A form of FAISS's inverted lists: to make, to keep on disk, to ask, and what it misses."""
    begun, process = time.perf_counter(), time.process_time()
    lists = made(faiss, index, form)
    report = {
        "factory": factory_of(index, form),
        "build_s": round(time.perf_counter() - begun, 1),
        "build_cpu_s": round(time.process_time() - process, 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lists.faiss"
        faiss.write_index(lists, str(path))
        report["disk_mb"] = round(path.stat().st_size / 2**20, 1)
        begun = time.perf_counter()
        content_of(index)
        report["content_s"], begun = round(time.perf_counter() - begun, 2), time.perf_counter()
        lists = faiss.read_index(str(path))
        report["read_s"] = round(time.perf_counter() - begun, 2)
    for probes in PROBES:
        lists.nprobe = probes

        def ask(query: Tensor) -> Tensor:
            found = proposed(lists, index, query, K)[0]
            return F.pad(found, (0, K - len(found)), value=-1)

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
        for form in ("ivf_sq", "ivf_pq"):
            report[f"faiss_{form}"] = approximate(index, queries, exact, form)
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
