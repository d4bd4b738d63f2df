"""The picture of docs/steering.md: some methods of `eval_retrieval.py control=negative`, drawn from its result.

python -m benchmarks.steering_figure [--result JSON] [--methods plain …] [--without ROW …] [--out docs/steering]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from diffgar.evaluation.reports.control import control_figure
from diffgar.evaluation.reports.results import read_result

RESULTS = Path("results/demo/demo")
NAME = "control-*-unique_tracks-negative.json"
METHODS = ("plain", "replace", "compose", "query_arithmetic", "query_penalty")  # those that need no joint space
WITHOUT = ("compose 3 1.5",)  # at another guidance than the rest of its curve


def main() -> None:
    """Draw the chosen rows of a result, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, help=f"its JSON; the newest {RESULTS / NAME} without it")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--without", nargs="*", default=WITHOUT, help="rows that are left out")
    parser.add_argument("--out", type=Path, default=Path("docs/steering"), help="written as .png and .pdf")
    args = parser.parse_args()
    path = args.result or newest()
    result = read_result(path)
    rows = {
        system: metrics
        for system, metrics in result.rows.items()
        if system.name in args.methods and system.label not in args.without
    }
    written = control_figure(args.out, replace(result, rows=rows))
    print(
        json.dumps({"result": str(path), "rows": [s.label for s in rows], "written": list(map(str, written))}, indent=1)
    )


def newest() -> Path:
    """The result of `control=negative` that was written last."""
    found = sorted(RESULTS.glob(NAME), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"no {RESULTS / NAME}: run python eval_retrieval.py control=negative")
    return found[-1]


if __name__ == "__main__":
    main()
