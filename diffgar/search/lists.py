"""FAISS's lists of a large index: how they are made, what they lose and gain, and where they are kept on disk.

Making them takes 4 s of one CPU thread for a million vectors of 128 dimensions (docs/scale.md), so they are written to
`<libraries>/nearest/<digits of the vectors>.faiss`, and read by every process that searches the same vectors.
"""

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from diffgar.dataloading.store.keys import key_of
from diffgar.values import one_of

log = logging.getLogger(__name__)

FORMS = {  # of FAISS's index factory, by inner product; nothing is lost by the first
    "flat": "Flat",  # IndexFlatIP: every vector, in float32
    "ivf_sq": "IVF{lists},SQfp16",  # inverted lists in half precision
    "ivf_pq": "IVF{lists},PQ{codes}np",  # inverted lists of codes of a byte for every 8 dimensions
}
SHORT_LIST = 100  # tracks that FAISS proposes, to be ranked exactly: for at most half as many hits
PROBES = 64  # lists that it looks through: 97 to 100 % of the exact top 10
KEPT = 4  # files of lists on disk, the last used ones
ASKED = 20  # queries by which a loss is measured
LEAST = 10_240  # vectors to make codes from: 40 for each value of a byte


def faiss_or_none() -> ModuleType | None:
    """FAISS where it is installed (`pip install diffgar[faiss]`)."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss


def lists_of(faiss: ModuleType, index: Tensor, form: str, folder: Path | None) -> Any:
    """The lists of these vectors (N, D): those that a folder keeps of them, or new ones, which it then keeps.

    form: one of `FORMS`. folder: None keeps nothing. Of new ones it is told what they lose and gain.
    """
    path = folder / f"{key_of(faiss.__version__, factory_of(index, form), content_of(index))}.faiss" if folder else None
    if path and path.is_file():
        with contextlib.suppress(RuntimeError):  # damaged: made again
            lists = faiss.read_index(str(path))
            path.touch()  # used last
            return lists
    lists = made(faiss, index, form)
    told(lists, index, form)
    if path:
        keep(faiss, lists, path)
    return lists


def factory_of(index: Tensor, form: str) -> str:
    """What FAISS's index factory calls a form of an index (N, D): about √N lists, D / 8 codes."""
    count, dim = index.shape
    num_codes = max(codes for codes in range(1, max(1, dim // 8) + 1) if dim % codes == 0)
    return FORMS[one_of("lists", form, tuple(FORMS))].format(lists=max(1, round(count**0.5)), codes=num_codes)


def content_of(index: Tensor) -> str:
    """Digits that tell these vectors from any other."""
    return f"{tuple(index.shape)} {hashlib.blake2b(index.contiguous().numpy().data, digest_size=16).hexdigest()}"


def made(faiss: ModuleType, index: Tensor, form: str) -> Any:
    """New lists of vectors (N, D): always the same of the same."""
    count, dim = index.shape
    lists = faiss.index_factory(dim, factory_of(index, form), faiss.METRIC_INNER_PRODUCT)
    if not lists.is_trained:
        generator = torch.Generator().manual_seed(0)
        lists.train(index[torch.randperm(count, generator=generator)[: max(40 * round(count**0.5), LEAST)]].numpy())
    for part in index.split(50_000):
        lists.add(part.numpy())
    if hasattr(lists, "nprobe"):
        lists.nprobe = PROBES
    return lists


def keep(faiss: ModuleType, lists: Any, path: Path) -> None:
    """Write lists to a file, whole or not at all, and let go of those that were used least lately."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        try:
            faiss.write_index(lists, partial)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
        by_use = sorted(path.parent.glob("*.faiss"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in by_use[KEPT:]:
            old.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # a disk that is full or may not be written
        log.warning("the lists of FAISS cannot be kept in %s (%s): every process makes its own", path.parent, error)


def proposed(lists: Any, index: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Positions and cosines (k,) of the best for a query (D,), best first: FAISS's short list, ranked exactly."""
    found = torch.from_numpy(lists.search(query[None].numpy(), SHORT_LIST)[1][0])
    found = found[found >= 0]  # -1: its lists hold no more
    best = (index[found] @ query).topk(min(k, len(found)))
    return found[best.indices], best.values


def told(lists: Any, index: Tensor, form: str, k: int = 10) -> None:
    """Say which share of the exact top k is found by lists, and in which time: with some of the tracks as queries."""
    asked = torch.arange(0, len(index), -(-len(index) // ASKED))
    exact, exact_ms = timed(lambda query: (index @ query).topk(min(k + 1, len(index))).indices, index[asked])
    found, found_ms = timed(lambda query: proposed(lists, index, query, k + 1)[0], index[asked])
    wanted = [set(best) - {own} for own, best in zip(asked.tolist(), exact, strict=True)]  # each track finds itself
    kept = sum(len(best & set(some)) for best, some in zip(wanted, found, strict=True)) / sum(map(len, wanted))
    log.warning(
        f"{len(index):,} tracks are searched by FAISS ({form}): {found_ms:.2g} ms per query instead of {exact_ms:.2g}, "
        f"and {100 * kept:.1f} % of the exact top {k} are found"
    )


def timed(ask: Callable[[Tensor], Tensor], queries: Tensor) -> tuple[list[list[int]], float]:
    """What is found for each query, and the median time of one in ms."""
    found, times = [], []
    for query in queries:
        begun = time.perf_counter()
        found.append(ask(query).tolist())
        times.append(time.perf_counter() - begun)
    return found, 1000 * median(times)
