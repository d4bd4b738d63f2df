"""Audio inside a Parquet file or a tar, as a browser's player asks for it: whole, or a part of its bytes."""

import re
from dataclasses import dataclass
from pathlib import Path

from diffgar.dataloading.decoders.containers import sniff
from diffgar.dataloading.decoders.embedded import open_audio
from diffgar.dataloading.decoders.parts import size_of

TYPES = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mpeg", "AIFF": "aiff", "MP4": "mp4", "WEBM": "webm"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Sent:
    """An answer over HTTP: its status (200, 206 for a part, 416 for none), content and headers."""

    status: int
    content: bytes
    headers: dict[str, str]


def served(path: Path, wanted: str | None) -> Sent:
    """A track's audio, or the part that a `Range` header asks for. Raises AudioError where it cannot be read."""
    with open_audio(path) as file:
        size = size_of(file)
        headers = {"content-type": f"audio/{TYPES.get(sniff(file)[0] or '', 'octet-stream')}", "accept-ranges": "bytes"}
        match = RANGE.fullmatch(wanted or "")
        if match is None or match[0] == "bytes=-":  # several parts may be answered with all
            file.seek(0)
            return Sent(200, file.read(), headers)
        first, last = _asked(match[1], match[2], size)
        if first > last:
            return Sent(416, b"", headers | {"content-range": f"bytes */{size}"})
        file.seek(first)
        content = file.read(last + 1 - first)
    return Sent(206, content, headers | {"content-range": f"bytes {first}-{last}/{size}"})


def _asked(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and the last byte: `100-199`, `100-` or `-100`, the last hundred."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1
