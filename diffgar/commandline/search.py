"""The command line of search.py: reads the flags, searches, and prints a table, JSON or CSV, or writes a playlist."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diffgar import threads
from diffgar.cli import FULL, errors_as_sentences, forgive_letters
from diffgar.commandline.search_words import Words, read

if TYPE_CHECKING:
    from diffgar.library import Library
    from diffgar.search.hits import Hits


def run(docstring: str) -> None:
    """Run the command line. An error that the user can mend is printed as one sentence, without a traceback."""
    forgive_letters()
    with errors_as_sentences(os.environ.get(FULL), lambda: None):
        words = read(docstring, sys.argv[1:])
        library, hits = answer(words)
        show(words, library, hits)
        if words.m3u is not None:
            write_playlist(words.m3u, hits)


def answer(words: Words) -> tuple["Library", "Hits"]:
    """The library that is searched, and what was found there."""
    with no_garbage_collection():
        from diffgar.retriever import Retriever
        from diffgar.search.hits import Hits
    threads.limit()
    retriever = Retriever.from_pretrained(words.model, words.step)
    library = retriever.trained_library() if words.place is None else retriever.index(words.place)
    hits = library.search(words.caption, k=words.k, **words.question)
    assert isinstance(hits, Hits)  # of one caption
    return library, hits


def show(words: Words, library: "Library", hits: "Hits") -> None:
    """Print the hits in the form that was asked for."""
    if words.form == "json":
        print(hits.to_json())
    elif words.form == "csv":
        print(hits.to_pandas().to_csv(index=False), end="")
    else:
        from diffgar.commandline.hits_table import print_hits

        print_hits(library, hits)


def write_playlist(path: Path, hits: "Hits") -> None:
    """Write the hits as a playlist in UTF-8; a file name that is not UTF-8 keeps its bytes."""
    path.write_text(hits.to_m3u(), encoding="utf-8", errors="surrogateescape")
    print(f"playlist  {path}", file=sys.stderr)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect no garbage during imports, and exempt the imported objects from later collections.

    Modules are never freed, and scanning their objects repeatedly takes a fifth of a search's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
