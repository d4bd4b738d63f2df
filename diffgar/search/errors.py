"""What a search refuses."""

from diffgar.errors import InputError


class SearchError(InputError):
    """A library that cannot be opened, or a question that it cannot answer. The message has the remedy."""
