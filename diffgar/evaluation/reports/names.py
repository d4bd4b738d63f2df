"""The name of a result's file: kind, step and protocol, then the split and whatever differs from the defaults.

    retrieval-500-unique_tracks.json
    retrieval-500-unique_tracks-validation-guidance_scale=1.5-num_steps=20.json
    control-500-unique_tracks-negative-max_captions=20-mine.json

Evaluations that were asked for differently have different names, and the usual one has the short name.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

USUAL_SPLIT = "test"
MAX_LENGTH = 120  # of a name; a file system takes 255 bytes, and the figures' names are longer


def differences_of(asked: Mapping, sampler: Mapping, as_trained: Mapping, where: Mapping) -> dict[str, str]:
    """Key → value, in words, of what an evaluation was asked for beyond the defaults, sorted by key.

    asked: the values of the config that differ from the defaults. sampler, as_trained: as `Sampler.describe` tells
    them; what the model was not trained with counts. where: the columns and values that the task keeps.

        differences_of({"seeds": [0, 1]}, {"num_steps": 20}, {"num_steps": 50}, {})
        == {"num_steps": "20", "seeds": "0+1"}
    """
    changed = {name: value for name, value in sampler.items() if value != as_trained.get(name)}
    found = {**asked, **changed, **where}
    return {name: word(value) for name, value in sorted(found.items())}


def dotted(values: Mapping, prefix: str = "") -> dict[str, object]:
    """A nested mapping as a flat one: {"a": {"b": 1}} gives {"a.b": 1}."""
    found: dict[str, object] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= dotted(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def word(value: object) -> str:
    """A value as a part of a file's name: 0+1+2 of a list, 1.5 of a number, true of a switch."""
    if isinstance(value, Mapping):
        return word([f"{key}:{word(each)}" for key, each in value.items()])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "+".join(word(each) for each in value) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return re.sub(r"[^\w.,+=-]+", "_", f"{value:g}" if isinstance(value, float) else str(value))


def tag_of(protocol: Mapping, differences: Mapping[str, str], variant: str | None) -> str:
    """The part of a name after kind, step and protocol; differences that are too long are replaced by their hash."""
    split = protocol.get("split")
    first = [word(part) for part in (None if split == USUAL_SPLIT else split, protocol.get("control")) if part]
    asked = [f"{name}={value}" for name, value in differences.items()]
    last = [word(variant)] if variant else []
    if len("-".join([*first, *asked, *last])) > MAX_LENGTH:
        asked = [hashlib.sha256("\n".join(asked).encode()).hexdigest()[:8]]
    return "-".join([*first, *asked, *last])
