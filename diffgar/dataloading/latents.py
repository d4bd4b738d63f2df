"""An earlier name of `store.reader`, for configs and notebooks that have it."""

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore

__all__ = ["Store", "TextStore"]
