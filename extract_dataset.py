"""Turn a dataset's tracks and captions into latent stores, one for the audio and one for the text.

    python extract_dataset.py                                        # the demo
    python extract_dataset.py --config config/extract_features/clap/extract_songdescriber.yaml
    python extract_dataset.py data=musiccaps encoder_pair=clap       # any dataset, any pair
    python extract_dataset.py data=musiccaps encoder_pair=clap num_devices=4  # on four GPUs
    python extract_dataset.py extraction.shard.index=3 extraction.shard.count=8  # one of eight jobs

A killed run resumes where it stopped. After a finished one, the same command encodes only what has
changed in the table or the files.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import first_checks


@cli.main("extract_features/demo/extract_demo", check=first_checks.of_extraction)
def main(cfg) -> None:
    """Extract the dataset of a config."""
    from diffgar.jobs import extract  # here: --help and a mistyped word need no torch

    extract.run(cfg)


if __name__ == "__main__":
    main()
