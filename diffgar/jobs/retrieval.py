"""The job of eval_retrieval.py: rank a collection by a model's queries, at one step or at every one."""

from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import Result, write_result
from diffgar.evaluation.reports.table_files import render_tables
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import Rows, attribute_rows, audio_to_text, make_rows, named_attributes
from diffgar.jobs import fidelity
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import check, open_experiment, steps_to_evaluate
from diffgar.jobs.results import make_result


def run(cfg: DictConfig) -> None:
    """Evaluate the steps that `model_step` names; with `with_fidelity`, their latents as well."""
    steps = steps_to_evaluate(cfg)
    written = [evaluate(step) for step in steps]
    if len(written) > 1:
        reports.draw_steps(written[0][0].parent, [result for _, result in written])
    if cfg.with_fidelity:
        for step in steps:
            fidelity.evaluate(step)


def evaluate(cfg: DictConfig) -> tuple[Path, Result]:
    """Evaluate one step of a model, and its baselines beside it, on one task; returns the JSON's path and result."""
    check(cfg)
    options = RetrievalOptions(**plain(cfg.evaluation.retrieval))
    experiments = [open_experiment(cfg, name) for name in (cfg.model_name, *cfg.evaluation.baselines)]
    first = experiments[0]
    attributes = plain(cfg.task.attributes) if options.direction == "text_to_audio" else None
    if attributes:
        named_attributes(first, attributes)  # refused now where the stores do not have them, not after sampling
    rows = audio_to_text(first) if options.direction == "audio_to_text" else queries(cfg, experiments, options)
    report = evaluate_retrieval(rows.queries, rows.index, first.task, options, rows.bank or None)
    if attributes:
        for name, values in attribute_rows(first, rows, attributes).items():
            report["rows"][name] |= values
    report["protocol"]["seen_tracks"] = rows.seen
    extra = {"paired": report["paired"], "samplers": rows.samplers}
    result = make_result("retrieval", cfg, first, report, extra)
    path = write_result(cfg.paths.results, result, report["queries"])
    reports.draw(path, result, report, rows, first)
    reports.publish(path, result)
    return path, result


def queries(cfg: DictConfig, experiments: list[Experiment], options: RetrievalOptions) -> Rows:
    """The table's rows: the teacher where the pair is joint, and each of the experiments' models."""
    asked = cfg.evaluation
    with tqdm(desc="queries", unit=" captions") as bar:
        return make_rows(
            experiments,
            plain(asked.seeds),
            samples=asked.samples,
            pooling=asked.pooling,
            with_bank=bool(options.hubness),
            progress=bar.update,
        )


def tables(cfg: DictConfig) -> None:
    """Evaluate nothing: print and write the table of a results folder that `tables.which` names."""
    render_tables(cfg.paths.results, **plain(cfg.tables))
