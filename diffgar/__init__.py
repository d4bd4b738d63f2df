"""GD-Retriever: steerable text-to-music retrieval with generated queries (arXiv 2506.17886)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffgar.library import Library
    from diffgar.retriever import Retriever

__version__ = "0.1.0"
__all__ = ["Library", "Retriever"]


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first asked for: `import diffgar` alone imports no torch."""
    if name == "Retriever":
        from diffgar.retriever import Retriever

        return Retriever
    if name == "Library":
        from diffgar.library import Library

        return Library
    raise AttributeError(f"module 'diffgar' has no attribute {name!r}")
