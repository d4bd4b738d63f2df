"""GD-Retriever: steerable text-to-music retrieval with generated queries (arXiv 2506.17886)."""

__version__ = "0.1.0"
