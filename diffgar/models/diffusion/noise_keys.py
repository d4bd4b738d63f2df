"""What random numbers are drawn for: each key names its purpose, so that no two draws can meet."""

import hashlib

PURPOSES = (
    "training",  # seed, step: noise, timesteps and dropped captions of a global batch
    "validation",  # the same
    "dropout",  # seed, step
    "caption",  # seed, row of the text store, number of the sample
    "phrasing",  # seed, place among the phrasings of a control, number of the sample
    "edit",  # seed, place among the edits
)


def seed_of(purpose: str, *numbers: int) -> int:
    """One seed for a generator, of what it is for and of the numbers that tell one draw for it from another."""
    if purpose not in PURPOSES:
        raise ValueError(f"numbers drawn for {purpose!r}; the purposes are {', '.join(PURPOSES)}: add it there")
    key = " ".join([purpose, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1  # generators take 63 bits
