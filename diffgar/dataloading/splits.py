"""An earlier name of `datasets.splits`, for configs and notebooks that have it."""

from diffgar.dataloading.datasets.splits import by_column, by_hash, by_list, by_name

__all__ = ["by_column", "by_hash", "by_list", "by_name"]
