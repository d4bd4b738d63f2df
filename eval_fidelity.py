"""Compare generated latents with the real ones of the same captions: distance, coverage, diversity.

    python eval_fidelity.py                                          # the demo
    python eval_fidelity.py --task song_describer --model_name NAME --model_step 50000
    python eval_fidelity.py evaluation.guidance=[1,2,3,5]            # quality against diversity
    python eval_fidelity.py evaluation.seeds=[0,1,2,3,4]             # more samples per caption
    python eval_fidelity.py overlap=datasets overlap.first=demo overlap.second=demo_time  # in both

Each metric has a reference beside it: the same metric between two halves of the real tracks.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import first_checks


@cli.main("eval_fidelity", flags=("task", "model_name", "model_step"), check=first_checks.of_evaluation)
def main(cfg) -> None:
    """Evaluate the fidelity of what a model generates, or compare the audio of two datasets."""
    from diffgar.jobs import fidelity, overlap  # here: --help and a mistyped word need no torch

    if cfg.get("overlap"):
        overlap.run(cfg)
    else:
        fidelity.run(cfg)


if __name__ == "__main__":
    main()
