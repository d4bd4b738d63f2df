"""Train a GD-Retriever, then print how it retrieves.

    python train_ldm.py                                              # the demo, from nothing to a table
    python train_ldm.py --config config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml

A killed run goes on from its last checkpoint; a finished one prints its table. Another config needs another model_name.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import train


@cli.main("train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small", flags=("task", "model_name"))
def main(cfg) -> None:
    train.run(cfg)


if __name__ == "__main__":
    main()
