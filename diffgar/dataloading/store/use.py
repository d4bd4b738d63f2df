"""Whether a store's frames are in use: its readers share a lock on their file, and a compaction takes it alone.

Where the file system has no locks nobody can tell, so nothing is compacted there.
"""

import errno
import sys
from pathlib import Path
from typing import IO

from diffgar.dataloading.store.card import StoreError

if sys.platform != "win32":
    import fcntl


class InUse:
    """Keeps a file of frames, if there is one, as it is for as long as this object lives; pickled, it is another's.

    Raises StoreError while they are being moved.
    """

    def __init__(self, path: Path):
        self.path, self.file = path, path.open("rb") if path.is_file() else None
        if self.file and _locked(self.file, alone=False) is False:
            raise StoreError(
                f"the latent store {path.parent} is being compacted by an extraction; try again when that has finished"
            )

    def __reduce__(self) -> tuple:
        return InUse, (self.path,)


def alone(path: Path) -> IO[bytes] | None:
    """The frames' file, locked until it is closed, if no reader has it open; None where one has, or nobody can tell."""
    file = path.open("rb")
    if _locked(file, alone=True):
        return file
    file.close()
    return None


def _locked(file: IO[bytes], alone: bool) -> bool | None:
    """Whether the lock was free; None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True
