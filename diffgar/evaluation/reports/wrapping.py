"""Long names in several lines, for figures and for tables."""

import re
import textwrap


def wrapped(name: str, width: int, indent: str = "") -> str:
    """A name in lines of at most `width` letters, which end after a word, a hyphen or an underscore.

    indent: what all lines but the first begin with.
    """
    return _Names(width, subsequent_indent=indent).fill(name)


class _Names(textwrap.TextWrapper):
    wordsep_re = re.compile(r"(\s+)|(?<=[-_])")
