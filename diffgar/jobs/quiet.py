"""What Lightning and torch say and a user of these scripts need not read: tips, hardware lists, known warnings."""

import logging
import warnings

LIGHTNING = ("pytorch_lightning", "lightning_fabric")
KNOWN = (  # what they warn of, and is meant so or told otherwise
    "You're resuming from a checkpoint that ended before the epoch ended",
    "The '.*' does not have many workers",
    "Total length of `list` across ranks is zero",
    "`isinstance.treespec, LeafSpec.` is deprecated",
)


def quiet_lightning() -> None:
    """Show Lightning's warnings and errors, and nothing below; of the warnings not the known ones.

    Lightning sets its own level when it is imported: this comes after that.
    """
    for name in LIGHTNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in KNOWN:
        warnings.filterwarnings("ignore", message)
