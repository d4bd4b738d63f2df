"""A folder of audio files as a dataset: every file is a track, and no caption is needed."""

import os
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.search.errors import SearchError

AUDIO = (  # suffixes; which of them are read depends on what is installed: without PyAV no m4a, aac or wma
    *(".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".wma"),
    *(".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64", ".mka", ".webm"),
)
CAPTIONS = ("caption_id", "track_id", "caption", "split")


def read_folder(folder: Path) -> Dataset:
    """The audio files under a folder, by name; the id of each is its path in the folder, with slashes.

    Files whose names begin with a dot are left out, and whether a file can be read is only seen when it is encoded.
    Raises SearchError for a folder that is not there or has no audio.
    """
    if not folder.is_dir():
        raise SearchError(f"{folder}: no such folder; name a folder of audio, a dataset's YAML file or a latent store")
    names = sorted(path.relative_to(folder).as_posix() for path in audio_files(folder))
    if not names:
        raise SearchError(f"{folder}: no audio file in this folder or below it; files that end so are read: {listed()}")
    tracks = pd.DataFrame({"track_id": names, "path": [str(folder / name) for name in names], "split": "library"})
    tracks = tracks.assign(start_s=None, end_s=None, artist=None)
    return Dataset(folder.name or "library", tracks, pd.DataFrame(columns=list(CAPTIONS)), source=str(folder))


def audio_files(folder: Path) -> list[Path]:
    """The files under a folder whose suffix is one of `AUDIO`, hidden files and folders left out."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if is_audio(name)]
    return found


def is_audio(name: str) -> bool:
    """Whether a file's name says that it is audio."""
    return not name.startswith(".") and Path(name).suffix.lower() in AUDIO


def listed() -> str:
    """The suffixes that are read, for messages."""
    return " ".join(AUDIO)
