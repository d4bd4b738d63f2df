"""Compare generated latents with the real ones of the same captions: distance, coverage, diversity, with floors.

python eval_fidelity.py                                                             # the demo
python eval_fidelity.py --task song_describer --model_name NAME --model_step 50000
python eval_fidelity.py evaluation.guidance=[1,2,3,5]                               # quality against diversity
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import fidelity


@cli.main("eval_fidelity", flags=("task", "model_name", "model_step"))
def main(cfg) -> None:
    fidelity.evaluate(cfg)


if __name__ == "__main__":
    main()
