"""ReMIX's corpus → a table of clips: where each lies in MTG-Jamendo's audio, and a caption of its tags."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.cells import blank
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import read_tables

CLIP = re.compile(r"track_0*(?P<track>\d+)::(?P<start>\d+)-(?P<end>\d+)::\d+")


def read_corpus(table: str | Path | Sequence[str] | Mapping[str, str] | pd.DataFrame) -> pd.DataFrame:
    """`corpus.parquet` with the columns path, start_s, end_s and caption beside its own.

    The clip_id "track_0000386::0-30::1" is from 0 to 30 s of track 386, which lies at 86/386.mp3 in MTG-Jamendo. The
    caption lists the clip's tags, genre, vocals and speed, as far as it has them. Raises DatasetError naming the row of
    a clip_id of another form.
    """
    rows = read_tables(table)
    if "clip_id" not in rows:
        raise DatasetError(f"no column 'clip_id'; there are {list(rows.columns)}; name ReMIX's corpus.parquet")
    clips = [CLIP.fullmatch(str(clip)) for clip in rows["clip_id"]]
    if None in clips:
        place = rows.index[clips.index(None)]
        raise DatasetError(f"{place}: clip_id is {rows['clip_id'][place]!r}, expected track_0000386::0-30::1")
    found = [clip.groupdict() for clip in clips if clip]
    return rows.assign(
        path=[f"{int(clip['track']) % 100:02d}/{clip['track']}.mp3" for clip in found],
        start_s=[float(clip["start"]) for clip in found],
        end_s=[float(clip["end"]) for clip in found],
        caption=[caption_of(row) for row in rows.to_dict("records")],
    )


def caption_of(row: Mapping[str, object]) -> str:
    """The words of a clip, each once: "rock, guitar, vocal, fast"; "music" where it has none."""
    tags = row.get("tags")
    words = list(tags) if isinstance(tags, list | np.ndarray) else []
    words += [row.get(name) for name in ("genre", "vocals", "speed")]
    return ", ".join(dict.fromkeys(str(word).strip() for word in words if not blank(word))) or "music"
