"""The words after `search.py`: read without torch, so that a slip is told at once."""

import argparse
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from diffgar.commandline import CommandError

MODEL = Path("checkpoints/demo")


@dataclass(frozen=True)
class Words:
    """What was typed. question: fields of `diffgar.search.question.Question`. form: table, json or csv."""

    caption: str | None
    place: Path | None
    k: int
    question: dict[str, Any]
    model: Path
    step: int | str
    form: str
    m3u: Path | None


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence, as the other scripts do."""

    def error(self, message: str) -> NoReturn:
        """Raises CommandError instead of printing the usage and ending the program."""
        raise CommandError(f"{message}; --help lists the flags")


def read(docstring: str, argv: Sequence[str]) -> Words:
    """The words of a command line. Raises CommandError for what is wrong without a look at the model."""
    parser = make_parser(docstring)
    typed, strange = parser.parse_known_intermixed_args(list(argv))
    if strange:
        raise CommandError(no_such_flag(strange[0], parser))
    caption = " ".join(typed.caption) if typed.caption else None
    refuse_no_question(caption, typed.like)
    question = {
        "like": typed.like,
        "edit": typed.edit,
        "edit_strength": typed.strength,
        "editing": typed.editing,
        "negative": dict(typed.negatives) or None,
        "expand": not typed.literal,
        "method": typed.method,
        "seed": typed.seed,
        "num_samples": typed.samples,
        "segments": typed.segments,
    }
    return Words(caption, typed.place, typed.k, question, typed.model, typed.step, typed.form, typed.m3u)


def make_parser(docstring: str) -> Parser:
    """The flags of search.py, in the order of --help."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser("search.py", description=docstring, allow_abbrev=False, formatter_class=layout)
    parser.add_argument("caption", nargs="*", help="what the music is like")
    add_question(parser.add_argument_group("the question"))
    place = parser.add_argument_group("where")
    place.add_argument("--in", dest="place", metavar="PLACE", type=place_that_is_there, help=IN)
    place.add_argument("--model", metavar="FOLDER", type=Path, default=MODEL, help=f"a trained model ({MODEL})")
    place.add_argument("--step", type=step, default="best", help="its checkpoint: a number, best or last (best)")
    shown = parser.add_argument_group("the answer")
    shown.add_argument("-k", metavar="N", type=positive, default=10, help="how many tracks (10)")
    form = shown.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", default="table", help="as JSON")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="as CSV")
    shown.add_argument("--m3u", metavar="FILE", type=file_to_write, help="write a playlist as well")
    return parser


IN = "a folder of audio, a dataset's YAML file or a latent store (what the model was trained on)"
NOT = 'what to avoid, "drums at the start" only there; --not drums=0.5 counts half; may be repeated'
SEGMENTS = "compare so many equal parts, so that the order counts (1; 2 where a --not or an --edit says where)"


def add_question(group: Any) -> None:
    """The flags that say what is searched for, and how."""
    group.add_argument("--like", metavar="TRACK", help="an audio file, or a track of the collection, for a caption")
    group.add_argument("--not", dest="negatives", metavar="WORDS", action="append", type=weighed, default=[], help=NOT)
    group.add_argument("--literal", action="store_true", help="takes a short --not as it is typed")
    group.add_argument("--method", metavar="NAME", help="another steering method, such as query_arithmetic")
    group.add_argument("--edit", metavar="WORDS", help='what to change: "the same with strings, but no drums"')
    group.add_argument(
        "--strength", type=share, default=0.5, help="how far an edit goes: 0 changes nothing, 1 is the edit alone (0.5)"
    )
    group.add_argument("--editing", choices=("interpolation", "inversion"), default="interpolation", help="how to edit")
    group.add_argument("--seed", type=int, default=0, help="the sampling seed; the same seed gives the same hits (0)")
    group.add_argument("--segments", metavar="P", type=positive, help=SEGMENTS)
    group.add_argument("--samples", metavar="N", type=positive, help="per caption (as the model was trained)")


def refuse_no_question(caption: str | None, like: str | None) -> None:
    """Raises CommandError unless there is a caption or a track to search by, and not both."""
    if caption is not None and like is not None:
        raise CommandError("give a caption or --like TRACK, and not both; --edit WORDS changes either")
    if caption is None and like is None:
        raise CommandError('say what the music is like: search.py "a calm piano piece" (--help lists the flags)')
    if caption is not None and not caption.strip():
        raise CommandError('the caption is empty; say what the music is like: search.py "a calm piano piece"')


def no_such_flag(typed: str, parser: argparse.ArgumentParser) -> str:
    """The message for an unknown flag, with the nearest known one."""
    name = typed.partition("=")[0]
    flags = [flag for action in parser._actions for flag in action.option_strings]
    near = difflib.get_close_matches(name, flags, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no flag {name}; {meant}This script has {', '.join(flag for flag in flags if flag != '-h')}"


def weighed(text: str) -> tuple[str, float]:
    """A negative and its weight: "drums" has 1, "drums=0.5" has 0.5."""
    words, equals, weight = text.rpartition("=")
    if not equals:
        words, weight = text, "1"
    if not words.strip():
        raise argparse.ArgumentTypeError("it is empty; say what to avoid: --not drums")
    number = number_of(weight)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{words!r} weighs {weight!r}; give a number above 0: --not drums=0.5")
    return words.strip(), number


def share(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= (number := number_of(text)) <= 1:
        raise argparse.ArgumentTypeError(f"it is {text!r}; give a number from 0 to 1")
    return number


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"it is {text!r}; give a whole number from 1 on")
    return int(text)


def step(text: str) -> int | str:
    """A checkpoint: its number, best or last."""
    if text not in ("best", "last") and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it is {text!r}; give a number, best or last")
    return int(text) if text.isdecimal() else text


def place_that_is_there(text: str) -> Path:
    """A folder or a file that exists."""
    if not (path := Path(text).expanduser()).exists():
        raise argparse.ArgumentTypeError(f"{text} is not there; name a folder of audio, a YAML file or a latent store")
    return path


def file_to_write(text: str) -> Path:
    """A file in a folder that exists."""
    if not (path := Path(text).expanduser()).parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written; name a file in a folder that is there")
    return path


def number_of(text: str) -> float:
    """A number as it is typed; not-a-number for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan
