"""Turn a dataset's tracks and captions into latent stores, one for the audio and one for the text.

    python extract_dataset.py                                                                    # the demo
    python extract_dataset.py --config config/extract_features/clap/extract_songdescriber.yaml

A killed run goes on where it stopped; of a finished one, only what has changed in the table or the files is encoded
again. Jobs can share the work: this is one of eight,
`extraction.shard.index=3 extraction.shard.count=8`; and `num_devices=4` is four GPUs of one host.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import extract


@cli.main("extract_features/demo/extract_demo")
def main(cfg) -> None:
    extract.run(cfg)


if __name__ == "__main__":
    main()
