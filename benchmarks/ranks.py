"""How long ranking a collection takes against the bare matrix products, and what memory it needs. Prints JSON.

    python -m benchmarks.ranks                       # 4,096 captions on 251,000 tracks of 512 dimensions
    python -m benchmarks.ranks --full                # and 251,000 captions, once: takes long on a CPU
    python -m benchmarks.ranks --packages            # beside torchmetrics, ir-measures and a full sort, 500 x 5,521

`memory_mb` is the peak beyond the two arrays of embeddings, of the GPU where they lie there; `ratio` the median time of
ranks over that of the products, in alternating runs. Set OMP_NUM_THREADS for the number of cores.
"""

import multiprocessing
import statistics

import torch

from benchmarks.machine import Peak, parser_of, publish, seconds
from benchmarks.memory import Memory, resident
from diffgar.evaluation.metrics.ranks import BLOCK, CHUNK_SCORES, ranks

CPU = torch.device("cpu")


def embeddings(count: int, dim: int, seed: int, device: torch.device = CPU) -> torch.Tensor:
    """Random embeddings (count, dim), the same for the same seed."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)).to(device)


def products(queries: torch.Tensor, index: torch.Tensor) -> None:
    """The same similarities as `ranks`, in the same chunks, and nothing done with them."""
    chunk = min(1024, CHUNK_SCORES // (len(index) + -len(index) % BLOCK))
    for rows in queries.split(chunk):
        rows @ index.T


def measure(num_queries: int, num_tracks: int, dim: int, repeats: int, device: torch.device) -> dict:
    """Alternating runs of ranks and of the bare products."""
    queries, index = embeddings(num_queries, dim, 0, device), embeddings(num_tracks, dim, 1, device)
    targets = torch.arange(num_queries) % num_tracks
    with Peak(device) as peak:
        ranks(queries[:2048], index, targets[:2048])
    products(queries[:2048], index)
    times: dict[str, list[float]] = {"ranks": [], "products": []}
    for _ in range(repeats):
        times["ranks"].append(seconds(lambda: ranks(queries, index, targets), device))
        times["products"].append(seconds(lambda: products(queries, index), device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "sizes": [num_queries, num_tracks, dim],
        "seconds": {name: [round(value, 4) for value in values] for name, values in times.items()},
        "ratio": round(medians["ranks"] / medians["products"], 3),
        "memory_mb": peak.mb,
    }


def measure_full(num_tracks: int, dim: int, device: torch.device) -> dict:
    """Every track's own caption against all tracks, once."""
    queries, index = embeddings(num_tracks, dim, 0, device), embeddings(num_tracks, dim, 1, device)
    with Peak(device) as peak:
        taken = seconds(lambda: ranks(queries, index, torch.arange(num_tracks)), device)
    return {"sizes": [num_tracks, num_tracks, dim], "seconds": round(taken, 2), "memory_mb": peak.mb}


def by_ranks(queries: torch.Tensor, index: torch.Tensor, targets: torch.Tensor) -> None:
    """Our ranks."""
    ranks(queries, index, targets)


def by_full_sort(queries: torch.Tensor, index: torch.Tensor, targets: torch.Tensor) -> None:
    """All similarities sorted, and each target looked up in the order."""
    order = cosine(queries, index).argsort(dim=1, descending=True)
    (order == targets[:, None]).long().argmax(dim=1)


def by_torchmetrics(queries: torch.Tensor, index: torch.Tensor, targets: torch.Tensor) -> None:
    """Recall and reciprocal rank by torchmetrics, query by query."""
    from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_reciprocal_rank

    relevant = torch.zeros(len(index), dtype=torch.bool)
    for target, scores in zip(targets, cosine(queries, index) + 2, strict=True):  # above zero, or it takes none
        relevant[target] = True
        retrieval_hit_rate(scores, relevant, top_k=10)
        retrieval_reciprocal_rank(scores, relevant)
        relevant[target] = False


def by_ir_measures(queries: torch.Tensor, index: torch.Tensor, targets: torch.Tensor) -> None:
    """Recall and reciprocal rank by ir-measures, which takes dicts."""
    import ir_measures

    scores = cosine(queries, index).tolist()
    run = {f"q{q}": {f"d{d}": score for d, score in enumerate(row)} for q, row in enumerate(scores)}
    qrels = {f"q{q}": {f"d{target}": 1} for q, target in enumerate(targets.tolist())}
    ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in ("Success@10", "RR")], qrels, run)


PACKAGES = {
    "ranks": by_ranks,
    "full sort": by_full_sort,
    "torchmetrics": by_torchmetrics,
    "ir-measures": by_ir_measures,
}


def cosine(queries: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Cosine similarities (Q, N) of all queries and tracks at once."""
    return torch.nn.functional.normalize(queries, dim=-1) @ torch.nn.functional.normalize(index, dim=-1).T


def measure_package(name: str, num_queries: int, num_tracks: int, dim: int, queue) -> None:
    """Run one contender in this process, whose memory is then its own."""
    queries, index = embeddings(num_queries, dim, 0), embeddings(num_tracks, dim, 1)
    targets = torch.arange(num_queries)
    PACKAGES[name](queries[:8], index[:99], targets[:8])  # imports
    with Memory(resident, every=0.002) as memory:
        taken = seconds(lambda: PACKAGES[name](queries, index, targets), CPU)
    queue.put({"seconds": round(taken, 2), "memory_mb": memory.growth()})


def measure_packages(num_queries: int, num_tracks: int, dim: int) -> dict:
    """R@10 and MRR of the same embeddings by what a user would pick."""
    context, found = multiprocessing.get_context("spawn"), {"sizes": [num_queries, num_tracks, dim]}
    for name in PACKAGES:
        queue = context.Queue()
        process = context.Process(target=measure_package, args=(name, num_queries, num_tracks, dim, queue))
        process.start()
        found[name] = queue.get(timeout=600)
        process.join()
    return found


def main() -> None:
    """Measure what the flags ask for, and print the report."""
    parser = parser_of(__doc__)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--tracks", type=int, default=251_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="also every track's caption against all tracks, once")
    parser.add_argument("--packages", action="store_true", help="other packages, on a size they can take, on the CPU")
    args = parser.parse_args()
    if args.packages:
        args.device = CPU
        publish("ranks-packages", measure_packages(500, 5521, args.dim), args)
        return
    report = {"chunks": measure(args.queries, args.tracks, args.dim, args.repeats, args.device)}
    if args.full:
        report["full"] = measure_full(args.tracks, args.dim, args.device)
    publish("ranks", report, args)


if __name__ == "__main__":
    main()
