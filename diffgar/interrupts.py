"""Ctrl-C in one line, from the first moment on: importing this comes before the scripts' long imports."""

import sys
from types import TracebackType

INTERRUPTED = "interrupted; the same command goes on where it stopped"


def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Stands for `sys.excepthook`: a line for Ctrl-C, what Python does for all else."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"\n{INTERRUPTED}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = tell
