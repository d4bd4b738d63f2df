"""What the config of a downloaded model may ask for: known classes, and no more of this machine than its folders.

`_target_` can name any function that Python can import, and an interpolation can read any environment variable; so
both are compared with lists before anything is built.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffgar.checkpoints import OTHER_VERSION, CheckpointError
from diffgar.jobs.building import plain

TARGETS = re.compile(  # classes; the modules that define them must be of these packages as well
    r"diffgar\.models\.(\w+\.)+[A-Z]\w*|diffgar\.demo\.(encoder|general)\.[A-Z]\w*"
    r"|diffgar\.extraction\.given_latents\.OwnLatents|diffusers\.[A-Z]\w*Scheduler(\.from_config)?"
)
PACKAGES = (
    "diffgar.models",
    "diffgar.demo.encoder",
    "diffgar.demo.general",
    "diffgar.extraction.given_latents",
    "diffusers",
)
VARIABLES = ("GDR_DATA", "GDR_WEIGHTS", "MY_LATENTS")  # of the environment, that config/ reads
REFERENCE = re.compile(rf"\$\{{(?:\.*[A-Za-z_][\w.]*|oc\.env:(?:{'|'.join(VARIABLES)})(?:,[^${{}}]*)?)\}}")
NAMES = ("name", "audio_name", "text_name")  # of stores' folders


def refuse_references(config: DictConfig, source: object) -> list[tuple[str, Any]]:
    """The dotted key and the resolved value of each leaf of a config; a key with a dot in it can be there twice.

    Raises CheckpointError where a value refers to what is neither a key of the config nor one of `VARIABLES`, also
    where it would once its references are replaced: `$${a}{oc.env:X}`, of an empty `a`.
    """
    for key, value in leaves(OmegaConf.to_container(config, resolve=False)):
        refuse_reference(key, without_references(value), value, source)
    values = list(leaves(resolved(config, source)))
    for key, value in values:
        refuse_reference(key, value, value, source)
    return values


def refuse_reference(key: str, value: Any, shown: Any, source: object) -> None:
    """Raises CheckpointError for a value that refers to anything."""
    if isinstance(value, str) and "${" in value:
        raise CheckpointError(
            f"{source}: {key} is {shown!r}, and a published config refers to its own keys and to the environment "
            f"variables {', '.join(VARIABLES)} alone; write the value itself there"
        )


def refuse_untrusted(config: DictConfig, allow: Sequence[str], source: object) -> None:
    """Raises CheckpointError where a config names what may not be built, read or written, and says how to allow it.

    allow: packages of the reader's own whose classes and functions may be built as well. source: named in the message.
    """
    for key, value in refuse_references(config, source):
        if key.rpartition(".")[2] == "_target_" and not is_built(key, value, allow, source):
            package = str(value).partition(".")[0]
            raise CheckpointError(
                f"{source}: {key} is {value!r}, which is not built for a model from elsewhere; if you trust the model "
                f"and that package: Retriever.from_pretrained(…, allow=({package!r},))"
            )
        if set(NAMES) & set(key.split(".")) and not (value is None or re.fullmatch(r"[\w-][\w.-]*", str(value))):
            raise CheckpointError(
                f"{source}: {key} is {value!r}; it names a folder of latents: one word without a slash"
            )


def is_built(key: str, target: Any, allow: Sequence[str], source: object) -> bool:
    """As `may_be_built`. Raises CheckpointError for a name that is ours or allowed, and is not here."""
    try:
        return may_be_built(target, allow)
    except (ImportError, ValueError) as error:  # Hydra's, where there is none of this name
        raise CheckpointError(
            f"{source}: {key} is {target!r}, which is not here: its package is not installed, or {OTHER_VERSION}"
        ) from error


def foreign_packages(config: DictConfig, source: object) -> list[str]:
    """The packages beside ours that a config builds objects of, and that its reader has to allow."""
    targets = {value for key, value in leaves(resolved(config, source)) if key.rpartition(".")[2] == "_target_"}
    return sorted({str(target).partition(".")[0] for target in targets if not may_be_built(target)})


def may_be_built(target: Any, allow: Sequence[str] = ()) -> bool:
    """Whether a `_target_` is one of ours, or of a package that is allowed.

    What is defined elsewhere does not count: `diffgar.checkpoints.os.system` begins as ours do and is not.
    """
    if not isinstance(target, str):
        return False
    known = TARGETS.fullmatch(target) is not None
    if not known and not within(target, allow):
        return False
    found = get_object(target)
    owner = getattr(found, "__self__", found)  # the class, of its from_config
    if not within(getattr(owner, "__module__", None) or "", PACKAGES if known else allow):
        return False
    return not known or isinstance(owner, type)


def within(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name is a package, or in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def without_references(text: Any) -> Any:
    """A text as written without the references that are allowed, the innermost first; other values as they are."""
    while isinstance(text, str) and (shorter := REFERENCE.sub("·", text)) != text:
        text = shorter
    return text


def resolved(config: DictConfig, source: object) -> Any:
    """The config with its interpolations resolved. Raises CheckpointError naming the one that cannot be."""
    try:
        return plain(config)
    except OmegaConfBaseException as error:
        what = str(error).splitlines()[0]
        raise CheckpointError(f"{source}: the config does not hold together ({what}); save the model again") from error


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of nested dicts and lists with its dotted key."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield prefix[:-1], node
    else:
        for key, value in items:
            yield from leaves(value, f"{prefix}{key}.")
