"""Rank a collection by generated queries and print the retrieval table: chance, teacher, GDR.

python eval_retrieval.py                                                            # the demo
python eval_retrieval.py --task song_describer --model_name NAME --model_step 50000
python eval_retrieval.py control=negative                                           # steering, measured
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar import cli
from diffgar.jobs import control, retrieval


@cli.main("eval_retrieval", flags=("task", "model_name", "model_step"))
def main(cfg) -> None:
    if cfg.tables.which:
        retrieval.tables(cfg)
    elif cfg.get("control"):
        control.run(cfg)
    else:
        retrieval.run(cfg)


if __name__ == "__main__":
    main()
