"""WebDataset tars → DataFrames: the members of one name but for their suffixes are a row."""

import json
import posixpath
import tarfile
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.audio_files import is_audio
from diffgar.dataloading.datasets.cells import Embedded
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.places import member_place


def read_tar(path: Path) -> pd.DataFrame:
    """One row per sample: `__key__`, the fields of its .json, its .txt as `txt`, and `audio`, which stays where it is.

    `a/0001.flac`, `a/0001.json` and `a/0001.txt` are the sample `a/0001`; other members are passed over. Only headers,
    .json and .txt are read. Raises DatasetError for a tar that is compressed or damaged, or a sample of two files.
    """
    samples: dict[str, dict] = {}
    try:
        with tarfile.TarFile(path) as tar:
            for member in tar:
                folder, name = posixpath.split(member.name)
                key, _, suffix = name.partition(".")
                if not member.isreg() or not key:
                    continue
                sample = samples.setdefault(posixpath.normpath(posixpath.join(folder, key)), {})
                if is_audio(name):
                    if "audio" in sample:
                        raise DatasetError(f"sample {key} has two audio files, .{suffix} the second; leave one in it")
                    sample["audio"] = Embedded("a member of the tar", member_place(path, member.name))
                elif suffix in ("json", "txt"):
                    _add_text(sample, suffix, _content(tar, member), member.name)
    except tarfile.TarError as error:
        raise DatasetError(
            f"cannot be read as tar ({error}); unpack it if it is compressed, else fetch it again"
        ) from error
    samples = {key: sample for key, sample in samples.items() if "audio" in sample}
    names = dict.fromkeys(["__key__", *(name for sample in samples.values() for name in sample)])
    rows = [{"__key__": key} | sample for key, sample in samples.items()]
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names}
    return pd.DataFrame(columns).set_axis(pd.Index([f"sample {key}" for key in samples], dtype=object))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def _add_text(sample: dict, suffix: str, content: bytes, name: str) -> None:
    try:
        text = content.decode("utf-8")
        record = json.loads(text) if suffix == "json" else {"txt": text.strip()}
    except ValueError as error:
        raise DatasetError(f"member {name} is no {suffix} ({error}); write it anew, in UTF-8") from error
    if not isinstance(record, dict):
        raise DatasetError(f"member {name} is no record; write one")
    sample |= {key: value for key, value in record.items() if key != "audio"}
