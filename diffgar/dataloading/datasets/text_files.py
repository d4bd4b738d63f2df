"""Text files → text and lines, in UTF-8 or what the byte order mark says, never in the locale's encoding."""

import codecs
from pathlib import Path

from diffgar.dataloading.datasets.errors import DatasetError

MARKS = {  # the longer marks first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_of(path: Path) -> str:
    """The text of a file. Raises DatasetError with the line of the first byte that is not of its encoding."""
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(lines_of(content[: error.start].decode(encoding, "replace")))
        guess = "UTF-16 without its mark" if b"\0" in content[:100] else "cp1252 or Latin-1"
        raise DatasetError(
            f"{path}: line {line} holds the byte {content[error.start]:#04x}, which is not {encoding.upper()} "
            f"(it may be {guess}); save the file as UTF-8"
        ) from error


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends (CR LF, LF or CR alone): str.splitlines would cut at U+2028 too."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
