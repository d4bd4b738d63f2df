"""Results to Weights & Biases, for the models that were trained with that logger."""

from collections.abc import Mapping
from pathlib import Path

from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import Table


def log_result(path: Path, result: Result, table: Table) -> None:
    """Log a result's numbers, its table and the figures beside it, if its model was trained with the W&B logger.

    path: the path of its JSON. Numbers are named `<task>/<kind>/<row>/<metric>`.
    """
    figures = [path.with_suffix(".png"), path.with_name(f"{path.stem}-ranks.png")]
    figures += sorted(path.with_suffix("").glob("map-*.png"))
    log(result, numbers(result), [figure for figure in figures if figure.is_file()], table)


def log(result: Result, values: Mapping[str, float | str], figures: list[Path], table: Table | None = None) -> None:
    """Log to the run of the result's model; nothing, unless it was trained with the W&B logger.

    values, figures: named `<task>/<kind>/…`. With WANDB_MODE=offline everything stays on this machine.
    """
    logger = result.config.get("logger") or {}
    if not logger.get("_target_", "").endswith("WandbLogger"):
        return
    import wandb

    where = f"{result.task}/{result.kind}" + (f"-{result.tag}" if result.tag else "")
    content: dict[str, object] = {f"{where}/{name}": value for name, value in values.items()}
    content |= {f"{where}/{figure.stem}": wandb.Image(str(figure)) for figure in figures}
    if table is not None:
        content[where] = wandb.Table(columns=list(table.header), data=[list(row) for row in table.rows])
    settings = {name: logger.get(name) for name in ("project", "name", "id", "resume")}
    with wandb.init(dir=logger["save_dir"], **settings) as run:
        run.log(content)


def numbers(result: Result) -> dict[str, float | str]:
    """Every metric's mean, named `<row>/<metric>`, and the step."""
    means = {
        f"{system.label}/{name}": summary.mean
        for system, metrics in result.rows.items()
        for name, summary in metrics.items()
    }
    return means | {"step": result.step}
