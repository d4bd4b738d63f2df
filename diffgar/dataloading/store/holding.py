"""Where a store's frames are held: in the file as it lies, which all processes of a host share, in RAM, or on a GPU."""

from collections.abc import Sequence

import numpy as np
import torch

from diffgar.dataloading.store.memory import available_memory
from diffgar.dataloading.store.mixed import JoinedFrames
from diffgar.values import one_of

MEMORY = ("auto", "gpu", "ram", "map")
Span = tuple[int, int]  # frames from the first up to the second
BLOCK = 2**20  # frames that are copied at once


def choose_memory(memory: str, nbytes: int, device: torch.device, num_processes: int = 1) -> str:
    """`gpu`, `ram` or `map`: as it is asked for, or by `auto` the first with room for so many bytes.

    The first of a GPU's, of which frames may take a third; RAM, of which they may take half; and the file. Several
    processes of a host have no RAM of their own by `auto`: the file in the system's cache is one copy for all of them.
    Raises InputError for another word.
    """
    if one_of("memory", memory, MEMORY) != "auto":
        return memory
    if device.type == "cuda" and nbytes < torch.cuda.mem_get_info(device)[0] / 3:
        return "gpu"
    return "ram" if num_processes == 1 and nbytes < available_memory() / 2 else "map"


def on_device(
    frames: np.ndarray | JoinedFrames, spans: Sequence[Span], device: torch.device, block: int = BLOCK
) -> torch.Tensor:
    """The frames of these spans, one after the other, on a device, copied a block at a time: RAM need not hold them."""
    held = torch.empty((sum(end - begin for begin, end in spans), frames.shape[1]), dtype=torch.float16, device=device)
    done = 0
    for begin, end in spans:
        for start in range(begin, end, block):
            part = torch.from_numpy(np.array(frames[start : min(end, start + block)]))
            held[done : done + len(part)] = part
            done += len(part)
    return held


def runs_of(starts: np.ndarray, lengths: np.ndarray) -> list[Span]:
    """The frames of rows (n,) that begin and last so, in their order; of rows that follow each other in one span."""
    if not len(starts):
        return []
    ends = starts + lengths
    first = np.flatnonzero(np.append(True, starts[1:] != ends[:-1]))  # of each run
    last = np.append(first[1:], len(starts)) - 1
    return list(zip(starts[first].tolist(), ends[last].tolist(), strict=True))
