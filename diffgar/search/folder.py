"""A folder of audio files as a dataset: every file is a track, and no caption is needed."""

import logging
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.audio_files import AUDIO, audio_files
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.search.errors import SearchError

log = logging.getLogger(__name__)

CAPTIONS = ("caption_id", "track_id", "caption", "split")


def read_folder(folder: Path) -> tuple[Dataset, bool]:
    """The audio files under a folder, by name, and whether every folder below it could be opened.

    The id of each is its path in the folder, with slashes. Files whose names begin with a dot are left out, and, with
    a warning, those whose names are not UTF-8. A file that is not there, such as a dead link, is left out when it is
    encoded. Raises SearchError for a folder that is not there or has no audio.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is not there"
        raise SearchError(f"{folder} {found}; name a folder of audio, a dataset's YAML file or a latent store")
    files, closed = audio_files(folder)
    for error in closed:
        log.warning("a folder cannot be opened, and its tracks are not searched: %s", error)
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    if not names:
        raise SearchError(f"{folder}: no audio file in this folder or below it; files that end so are read: {listed()}")
    tracks = pd.DataFrame({"track_id": names, "path": [str(folder / name) for name in names], "split": "library"})
    tracks = tracks.assign(start_s=None, end_s=None, artist=None)
    captions = pd.DataFrame(columns=list(CAPTIONS))
    return Dataset(folder.name or "library", tracks, captions, missing="skip", source=str(folder)), not closed


def listed() -> str:
    """The suffixes that are read, for messages."""
    return " ".join(AUDIO)
