"""The error of a table that cannot be a dataset."""

from diffgar.errors import InputError


class DatasetError(InputError):
    """A table that cannot be a dataset: the file, what was found, what was expected, what to do."""
