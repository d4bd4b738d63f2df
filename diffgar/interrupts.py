"""Ctrl-C ends a script with one line; the scripts import this first, before all that takes long to import."""

import sys
from types import TracebackType

INTERRUPTED = "interrupted; the same command goes on where it stopped"


def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Replaces `sys.excepthook`: prints one line for Ctrl-C, and Python's traceback for all else."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"\n{INTERRUPTED}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = tell
