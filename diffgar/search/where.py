"""Where in a track something is said to be: "drums at the start" are drums, in the first part."""

import re

from diffgar.search.errors import SearchError

Part = str | int  # "start", "end", or the number of a part, from 1
START, END = "start", "end"
SAID = re.compile(
    r"^(?P<words>.*\S)\s+(?:at|in|during)\s+(?:(?:the|its)\s+)?"
    r"(?:(?P<start>start|beginning|first half)|(?P<end>end|ending|second half)|part\s+(?P<number>\d+))[\s.!]*$",
    re.IGNORECASE | re.DOTALL,
)


def read_part(typed: str) -> tuple[str, Part | None]:
    """What is said, and in which part of a track, None for no part.

    "drums at the start", "… at the beginning" and "… in the first half" are ("drums", "start"); "… at the end" and "…
    in the second half" are ("drums", "end"); "drums in part 2" is ("drums", 2). These words count at the very end.
    """
    found = SAID.match(typed)
    if found is None:
        return typed, None
    if found["number"]:
        return found["words"], int(found["number"])
    return found["words"], START if found["start"] else END


def part_number(part: Part, segments: int) -> int:
    """The number, from 0, of one of so many parts. Raises SearchError for one that is not there."""
    if part in (START, END):
        return 0 if part == START else segments - 1
    if isinstance(part, bool) or not isinstance(part, int) or not 1 <= part <= segments:
        raise SearchError(
            f"{part!r} is no part of a track that is searched in {segments}; name 'start', 'end' or a number from 1 to "
            f"{segments}, or search in more parts: segments={segments + 1}"
        )
    return part - 1
