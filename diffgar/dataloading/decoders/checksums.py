"""Cyclic redundancy checks that the standard library lacks: those of FLAC and OGG."""

import functools


def crc(text: bytes, polynomial: int, bits: int) -> int:
    """The check of a text, from 0 and most significant bit first; 0 for one that has its right checksum behind it."""
    table, mask, value = _table(polynomial, bits), (1 << bits) - 1, 0
    for byte in text:
        value = (value << 8 & mask) ^ table[(value >> bits - 8) ^ byte]
    return value


@functools.cache
def _table(polynomial: int, bits: int) -> list[int]:
    values = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & ((1 << bits) - 1)
        values.append(value)
    return values
