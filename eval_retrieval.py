"""Rank a collection by generated queries and print the retrieval table: chance, teacher, GDR.

    python eval_retrieval.py                                         # the demo
    python eval_retrieval.py --task song_describer --model_name NAME --model_step 50000
    python eval_retrieval.py --model_name demo --model_step all      # each checkpoint, and a curve
    python eval_retrieval.py evaluation.baselines=[demo_regression]  # another model beside it
    python eval_retrieval.py control=negative                        # how well negatives steer

The table's JSON and figures are written to results/<model_name>/<task>/.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import first_checks


@cli.main("eval_retrieval", flags=("task", "model_name", "model_step"), check=first_checks.of_evaluation)
def main(cfg) -> None:
    """Evaluate retrieval or steering, or make a table of results."""
    from diffgar.jobs import control, retrieval  # here: --help and a mistyped word need no torch

    if cfg.tables.which:
        retrieval.tables(cfg)
    elif cfg.get("control"):
        control.run(cfg)
    else:
        retrieval.run(cfg)


if __name__ == "__main__":
    main()
