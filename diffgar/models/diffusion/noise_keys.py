"""Seeds of random numbers: each names the purpose that it is for, so that no two purposes share their numbers."""

import hashlib

PURPOSES = (
    "training",  # seed, step: noise, timesteps and dropped captions of a global batch
    "validation",  # the same
    "dropout",  # seed, step
    "caption",  # seed, row of the text store, number of the sample
    "phrasing",  # seed, position among the phrasings of a control, number of the sample
    "edit",  # seed, position among the edits
    "instruction",  # seed, position among the composed requests, number of the sample
)


def seed_of(purpose: str, *numbers: int) -> int:
    """The seed of a generator for a purpose; the numbers distinguish the generators of the same purpose.

    Raises ValueError for a purpose that is not in `PURPOSES`.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"numbers drawn for {purpose!r}; the purposes are {', '.join(PURPOSES)}: add it there")
    key = " ".join([purpose, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1  # generators take 63 bits
