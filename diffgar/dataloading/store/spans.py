"""Where the frames of each row lie in `frames.f16`."""

import numpy as np

CONTIGUOUS, SCATTERED = 2, 3  # format versions of a store: `offsets.npy` is (N + 1,), or (N, 2)


def spans_of(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first frame (N,) and the number of frames (N,) of each row, from a store's offsets.

    Offsets (N + 1,) are of rows that follow each other: row i is frames[offsets[i]:offsets[i + 1]]. Offsets (N, 2) are
    of rows that lie anywhere: row i is frames[offsets[i, 0]:offsets[i, 1]].

    >>> spans_of(np.array([0, 3, 5]))
    (array([0, 3]), array([3, 2]))
    >>> spans_of(np.array([[2, 5], [0, 2]]))
    (array([2, 0]), array([3, 2]))
    """
    starts, ends = (offsets[:-1], offsets[1:]) if offsets.ndim == 1 else (offsets[:, 0], offsets[:, 1])
    return starts, ends - starts


def offsets_of(starts: np.ndarray, lengths: np.ndarray, num_frames: int) -> np.ndarray:
    """The offsets of rows: (N + 1,) int64 where they follow each other through all num_frames, else (N, 2)."""
    contiguous = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if contiguous[-1] == num_frames and np.array_equal(contiguous[:-1], starts):
        return contiguous
    return np.stack([starts, starts + lengths], axis=1).astype(np.int64)


def version_of(offsets: np.ndarray) -> int:
    """The format version of a store with these offsets: one without holes is as earlier versions wrote it."""
    return CONTIGUOUS if offsets.ndim == 1 else SCATTERED
