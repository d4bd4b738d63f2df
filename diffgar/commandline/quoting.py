"""Values that Hydra's grammar cannot read (é, (1), #, =, {}, an apostrophe, …) are quoted for the user.

What the grammar reads stays as it is (sweeps, lists, mappings, numbers), unless it plainly is a path that exists and
would be read as something else.
"""

import os
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from diffgar.commandline import CONFIG_ROOT, CommandError

NAMES = ("model_name",)  # keys whose value is a name also where it looks like a number; so is each group's choice
PAIRS = {"[": "]", "{": "}"}


def quoted(word: str, sweeps: bool = False) -> str:
    """`key=value` as Hydra reads it to mean what was typed. sweeps: commas part the values of a sweep (`-m`).

    Raises CommandError for a list or mapping that is not closed.
    """
    key, equals, typed = word.partition("=")
    value = os.path.expanduser(typed) if typed.startswith("~") else typed
    if not equals or not value:
        return word
    parsed = parse(f"{key}={value}")
    if is_path(value) and not reads_as(parsed, value):
        return f"{key}={quote(value.replace('${', chr(92) + '${'))}"
    if parsed is None:
        mended = f"{key}={mend(value, sweeps)}"
        if parse(mended) is None:
            return word  # it is the key that cannot be read: Hydra says so
        if value[0] in PAIRS and PAIRS[value[0]] not in value:
            raise CommandError(f"{word}: {value[0]} is not closed by {PAIRS[value[0]]}")
        return mended
    if is_name(key) and not parsed.is_sweep_override() and isinstance(parsed.value(), int | float):
        return f"{key}={quote(value)}"
    return f"{key}={value}"


def parse(word: str) -> Override | None:
    """A word as Hydra reads it; None if it cannot."""
    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, ValueError):
        return None


def reads_as(parsed: Override | None, value: str) -> bool:
    """Whether Hydra and OmegaConf make of a value what was typed, to the letter."""
    return "${" not in value and parsed is not None and not parsed.is_sweep_override() and parsed.value() == value


def is_path(value: str) -> bool:
    """Whether a value is plainly a path: there is such a file or folder, and no number or list looks like that."""
    try:
        return ("/" in value or os.sep in value or Path(value).suffix != "") and Path(value).exists()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


def is_name(key: str) -> bool:
    """Whether a key's value is a name: a model's, or the choice of a config group."""
    return key in NAMES or (key.replace("/", "").isidentifier() and (CONFIG_ROOT / key).is_dir())


def quote(text: str) -> str:
    """A text in Hydra's quotes, to the letter."""
    return QuotedString(text, Quote.single).with_quotes()


def mend(value: str, sweeps: bool) -> str:
    """A value that cannot be read: a list's, a mapping's or a sweep's parts are quoted each, else the whole."""
    ends, parts = value[0] + value[-1], split(value)
    inner = split(value[1:-1]) if len(parts) == 1 and ends in ("[]", "{}") else None
    if inner and ends == "[]" and "][" not in brackets(value):
        return f"[{','.join(map(part, inner))}]"
    if inner and ends == "{}" and all(":" in item for item in inner):
        pairs = (item.partition(":") for item in inner)
        return f"{{{','.join(f'{key.strip()}:{part(item)}' for key, _, item in pairs)}}}"
    if sweeps and len(parts) > 1:
        return ",".join(map(part, parts))
    return quote(value)


def brackets(text: str) -> str:
    """The outermost square brackets of a text, in order: of "[a[b]c]" "[]", of "[a]-[b]" "[][]"."""
    found, depth = "", 0
    for letter in text:
        depth -= letter == "]"
        found += letter if letter in "[]" and depth == 0 else ""
        depth += letter == "["
    return found


def part(value: str) -> str:
    """One value among several: as it is, if it can be read as one."""
    value = value.strip()
    value = os.path.expanduser(value) if value.startswith("~") else value
    parsed = parse(f"key={value}")
    return value if parsed is not None and not parsed.is_sweep_override() else quote(value)


def split(text: str) -> list[str]:
    """Parts between commas that stand in no bracket and in no quotes; quotes open only where a part begins."""
    parts, depth, mark = [""], 0, None
    for letter in text:
        if mark:
            mark = None if letter == mark and not parts[-1].endswith("\\") else mark
        elif letter in "'\"" and not parts[-1].strip():
            mark = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return parts
