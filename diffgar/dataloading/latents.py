"""An earlier name of `store.reader`, for configs and notebooks that have it."""

from diffgar.dataloading.store.reader import Store, TextStore

__all__ = ["Store", "TextStore"]
