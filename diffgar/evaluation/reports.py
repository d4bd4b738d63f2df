"""What a person sees of an evaluation: the result with its config, tables on the screen, figures and listings."""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from diffgar import checkpoints
from diffgar.evaluation.control_report import control_table
from diffgar.evaluation.figures import curve_figure, rank_figure, recall_figure, tradeoff_figure
from diffgar.evaluation.listing import worst_captions
from diffgar.evaluation.maps import latent_maps
from diffgar.evaluation.paper import grid_table, paper_table, training_seeds_table
from diffgar.evaluation.ranks import top_k
from diffgar.evaluation.results import Result, read_result, read_results
from diffgar.evaluation.rows import Rows
from diffgar.evaluation.setting import Evaluation
from diffgar.evaluation.tables import Table, fidelity_table, render, retrieval_table
from diffgar.evaluation.tracking import log, track

TABLES = {
    "paper": lambda results: paper_table(results, "retrieval"),
    "encoder_pairs": lambda results: paper_table(results, "encoder_pairs_on_PC"),
    "grid": grid_table,
    "seeds": training_seeds_table,
    "models": retrieval_table,
}
QUALITY_DIVERSITY = ("intra_caption_diversity", "pooled_frechet")
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}


def make_result(kind: str, cfg: DictConfig, setting: Evaluation, report: dict, extra: dict | None = None) -> Result:
    """The result of an evaluation, with the model's own config under what the evaluation was asked."""
    direction = report["protocol"].get("direction", "text_to_audio")
    protocol = setting.task.describe(direction) | report["protocol"] | {"sampler": setting.sampler.describe()}
    asked = [
        "audio_to_text" * (direction == "audio_to_text"),
        "guidance" * bool(kind == "fidelity" and cfg.evaluation.guidance),
    ]
    variants = [kind_of_control(cfg), *asked, cfg.evaluation.variant]
    return Result(
        kind=kind,
        model_name=cfg.model_name,
        task=cfg.task.name,
        step=setting.step,
        protocol=protocol,
        rows=report["rows"],
        variant="-".join(filter(None, variants)) or None,
        config=full_config(cfg, setting.trained),
        extra=extra or {},
    )


def kind_of_control(cfg: DictConfig) -> str | None:
    return cfg.control.name if cfg.get("control") else None


def full_config(cfg: DictConfig, trained: DictConfig) -> dict:
    """The trained model's config, resolved, with the evaluation's own parts over it."""
    return OmegaConf.to_container(trained, resolve=True) | OmegaConf.to_container(cfg, resolve=True)


def known(cfg: DictConfig) -> Path | None:
    """The retrieval result of this very config, if there is one."""
    folder = checkpoints.folder_of(cfg.paths.checkpoints, cfg.model_name)
    config = full_config(cfg, OmegaConf.load(folder / "config.yaml"))
    name = f"retrieval-{checkpoints.choose_step(folder, cfg.model_step)}-{cfg.task.protocol}.json"
    path = Path(cfg.paths.results) / cfg.model_name / cfg.task.name / name
    return path if path.is_file() and read_result(path).config == config else None


def show(path: Path) -> None:
    """Print a result's table, what its queries were made with, and where its parts lie."""
    result = read_result(path)
    print("\n" + render(table_of(result)))
    for name, sampler in result.extra.get("samplers", {"": result.protocol["sampler"]}).items():
        print(
            f"{name + ': ' if name else ''}{sampler['num_samples']} samples a caption, {sampler['solver']} with "
            f"{sampler['num_steps']} steps, guidance {sampler['guidance_scale']:g}"
        )
    print(f"JSON    {path}")
    if path.with_suffix(".png").is_file():
        print(f"figure  {path.with_suffix('.png')}")


def table_of(result: Result) -> Table:
    """The table that a person sees of one result."""
    tables = {"retrieval": lambda one: retrieval_table([one]), "fidelity": fidelity_table, "control": control_table}
    return tables[result.kind](result)


def publish(path: Path) -> None:
    """Show a new result, and log it where its model's training was logged."""
    show(path)
    track(path, table_of(read_result(path)))


def draw(path: Path, report: dict, rows: Rows, setting: Evaluation) -> None:
    """Figures beside the JSON: recall against k, ranks, a map of the latents; and the worst captions as CSV."""
    base, pool_size = path.with_suffix(""), report["protocol"]["pool_size"]
    recall_figure(base, report["queries"], pool_size)
    rank_figure(f"{base}-ranks", report["queries"], pool_size)
    name = setting.model.row
    if name not in rows.queries or rows.queries[name].ndim != 3:
        return
    queries, index = rows.queries[name][0], rows.index[name]
    nearest = top_k(queries, index, k=min(10, len(index)))[1]
    worst_captions(report["queries"], setting.task, nearest, name).to_csv(f"{base}-worst.csv", index=False)
    latent_maps(base, index, queries, 0, setting.task.captions["caption"].iloc[0])


def draw_guidance(path: Path) -> None:
    """Quality (Fréchet distance) against diversity (within a caption), a point for each guidance scale."""
    points = []
    for name, row in read_result(path).rows.items():
        label, _, scale = name.partition(" ")
        values = {axis: row[metric]["mean"] for axis, metric in zip("xy", QUALITY_DIVERSITY, strict=True)}
        points.append(values | {"row": label, "label": scale})
    series = dict(list(pd.DataFrame(points).groupby("row", sort=False)))
    tradeoff_figure(path.with_suffix(""), series, *QUALITY_DIVERSITY)


def draw_steps(paths: list[Path], metric: str = "R@10") -> None:
    """The curve of a metric over the steps of one model."""
    results, series = [read_result(path) for path in paths], {}
    for row in results[0].rows:
        values = [(result.step, result.rows[row][metric]) for result in results]
        series[row] = pd.DataFrame([{"x": step, "y": value["mean"]} | _band(value) for step, value in values])
    name = f"steps-{results[0].protocol['name']}"
    figure = curve_figure(paths[0].with_name(name), series, "step", metric)[0]
    log(results[0], {}, [figure])
    print("figure ", figure)


def _band(metric: dict) -> dict:
    return {"y_low": metric["low"], "y_high": metric["high"]}


def render_tables(folder: str, which: str, style: str = "text", select: dict | None = None) -> None:
    """Print a table made of the results there are, and write it in every style to `<folder>/tables/`.

    which: one of TABLES. select: field of a result (task, model_name, step, variant) or of its protocol (name) → value.
    """
    if which not in TABLES:
        raise ValueError(f"no table {which!r}; choose one of {', '.join(TABLES)}")
    wanted = dict(select or {})
    results = [
        result for result in read_results(folder, "retrieval") if all(_has(result, *pair) for pair in wanted.items())
    ]
    table = TABLES[which](results)
    for each, ending in ENDINGS.items():
        path = Path(folder) / "tables" / f"{which}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(table, each), encoding="utf-8")
    print(render(table, style))
    print(f"tables  {Path(folder) / 'tables'}")


def _has(result: Result, field: str, value) -> bool:
    found = result.protocol["name"] if field == "protocol" else getattr(result, field)
    return found in value if isinstance(value, list) or hasattr(value, "append") else found == value
