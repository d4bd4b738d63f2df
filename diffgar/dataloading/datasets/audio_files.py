"""Which files under a folder are audio, by their names."""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

AUDIO = (  # suffixes; which of them are read depends on what is installed: without PyAV no m4a, aac or wma
    *(".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".wma"),
    *(".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64", ".mka", ".webm"),
)


def audio_files(folder: Path) -> tuple[list[Path], list[OSError]]:
    """The files under a folder that `is_audio` says are audio, and the folders that cannot be opened.

    Links to folders are followed, each folder once; hidden ones are left out.
    """
    found: list[Path] = []
    closed: list[OSError] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in files if is_audio(name) and is_utf8(Path(root, name))]
    return found, closed


def is_utf8(path: Path) -> bool:
    """Whether a path can be written down; warns of one that cannot."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        log.warning("left out: %r, whose name is not UTF-8; rename it", os.fsencode(path))
        return False
    return True


def is_audio(name: str) -> bool:
    """Whether a file's name says that it is audio."""
    return not name.startswith(".") and Path(name).suffix.lower() in AUDIO
