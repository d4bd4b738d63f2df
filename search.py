"""Search a collection of music in words.

    python search.py "slow music box melody" --not drums             # the collection that the demo was trained on
    python search.py "a calm piano piece" --not drums --in ~/music -k 10
    python search.py --like song.mp3 --edit "the same with strings" --in ~/music --m3u playlist.m3u

The first search of a folder encodes it; later ones encode what is new or changed. A killed run resumes.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar.commandline import search


def main() -> None:
    """Search, and print what was found."""
    search.run(__doc__)


if __name__ == "__main__":
    main()
