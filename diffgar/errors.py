"""The errors that a user can mend: bad input, named, with what to do about it."""


class InputError(ValueError):
    """Bad input. The message names the item, what was found, what was expected, and the remedy.

    The command line prints it as one line, without a traceback.
    """
