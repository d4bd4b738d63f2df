"""The error of a user's input: its message says what was found, what was expected, and the remedy."""


class InputError(ValueError):
    """Bad input. The message names the item, what was found, what was expected, and the remedy.

    The command line prints it as one line, without a traceback.
    """
