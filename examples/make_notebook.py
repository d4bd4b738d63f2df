"""Make examples/steer.ipynb of examples/steer.py, whose cells begin with `# %%`: python -m examples.make_notebook"""

import json
from pathlib import Path

SCRIPT = Path(__file__).with_name("steer.py")


def notebook(script: str) -> str:
    """The notebook (nbformat 4.5, no outputs) of a script in the percent format, as JSON."""
    cells = []
    for number, part in enumerate(script.split("# %%")[1:]):
        kind, _, source = part.partition("\n")
        lines = source.strip().splitlines()
        cell: dict = {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
        }
        if kind.strip() == "[markdown]":
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
            cell = {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}}
        cells.append(cell | {"source": "\n".join(lines).splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    SCRIPT.with_suffix(".ipynb").write_text(notebook(SCRIPT.read_text(encoding="utf-8")), encoding="utf-8")
