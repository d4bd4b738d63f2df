"""Train a GD-Retriever, then print how it retrieves.

    python train_ldm.py                                              # the demo, from scratch
    python train_ldm.py --config config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml
    python train_ldm.py --model_name demo_short trainer.max_steps=200  # change any option
    python train_ldm.py --model_name demo_alone task=null            # train, and evaluate nothing
    python train_ldm.py -m seed=0,1,2 'model_name=demo_${seed}'      # one run for each value

A killed run resumes from its last checkpoint; a finished one prints its table.
Another config needs another model_name.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import first_checks


@cli.main(
    "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small",
    flags=("task", "model_name"),
    check=first_checks.of_training,
)
def main(cfg) -> None:
    """Train the model of a config, and evaluate it; or do the steps of a config that has several."""
    from diffgar.jobs import sequence, train  # here: --help and a mistyped word need no torch

    (sequence if cfg.get("steps") else train).run(cfg)


if __name__ == "__main__":
    main()
