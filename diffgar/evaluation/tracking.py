"""Results to Weights & Biases, for the models that were trained with that logger."""

from pathlib import Path

from diffgar.evaluation.results import Result, read_result
from diffgar.evaluation.tables import Table


def track(path: Path, table: Table) -> None:
    """Log a result's numbers, its table and the figures beside it to the run of its model; no W&B logger, no log.

    Numbers are named `<task>/<kind>/<row>/<metric>`; WANDB_MODE=offline keeps them on disk.
    """
    result = read_result(path)
    logger = result.config.get("logger") or {}
    if not logger.get("_target_", "").endswith("WandbLogger"):
        return
    import wandb

    where = f"{result.task}/{result.kind}" + (f"-{result.variant}" if result.variant else "")
    figures = {figure.stem: wandb.Image(str(figure)) for figure in sorted(path.parent.glob(f"{path.stem}*.png"))}
    settings = {name: logger.get(name) for name in ("project", "name", "id", "resume")}
    with wandb.init(dir=logger["save_dir"], **settings) as run:
        cells = wandb.Table(columns=list(table.header), data=[list(row) for row in table.rows])
        run.log({f"{where}/{name}": value for name, value in (numbers(result) | figures).items()} | {where: cells})


def numbers(result: Result) -> dict[str, float]:
    """Every metric's mean, named `<row>/<metric>`, and the step."""
    rows = result.rows.items()
    means = {f"{row}/{metric}": value["mean"] for row, metrics in rows for metric, value in metrics.items()}
    return means | {"step": result.step}
