"""Rank a collection by generated queries and print the retrieval table: chance, teacher, GDR.

python eval_retrieval.py                                                            # the demo
python eval_retrieval.py --task song_describer --model_name NAME --model_step 50000
python eval_retrieval.py control=negative                                           # steering, measured
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

import eval_fidelity
from diffgar import cli
from diffgar.evaluation.checks import check_evaluation
from diffgar.evaluation.experiment import open_evaluation, steps_to_evaluate
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.evaluation.reports.table_files import render_tables
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import attribute_rows, audio_to_text, make_rows, named_attributes


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate one step of a model, and its baselines beside it, on one task; returns the path of the JSON."""
    check_evaluation(cfg)
    options = RetrievalOptions(**instantiate(cfg.evaluation.retrieval))
    settings = [open_evaluation(cfg, name, instantiate) for name in (cfg.model_name, *cfg.evaluation.baselines)]
    first = settings[0]
    attributes = cfg.task.attributes if options.direction == "text_to_audio" else None
    if attributes:
        named_attributes(first, attributes)  # refused now where the stores do not have them, not after sampling
    if options.direction == "audio_to_text":
        rows = audio_to_text(first)
    else:
        with tqdm(desc="queries", unit=" captions") as bar:
            how = {"samples": cfg.evaluation.samples, "pooling": cfg.evaluation.pooling}
            how |= {"with_bank": bool(options.hubness), "progress": bar.update}
            rows = make_rows(settings, cfg.evaluation.seeds, **how)
    report = evaluate_retrieval(rows.queries, rows.index, first.task, options, rows.bank or None)
    if attributes:
        for name, values in attribute_rows(first, rows, attributes).items():
            report["rows"][name] |= values
    report["protocol"]["seen_tracks"] = rows.seen
    extra = {"paired": report["paired"], "samplers": rows.samplers}
    result = reports.make_result("retrieval", cfg, first, report, extra)
    path = write_result(cfg.paths.results, result, report["queries"])
    reports.draw(path, report, rows, first)
    reports.publish(path)
    return path


def control(cfg: DictConfig) -> Path:
    """Measure how queries can be steered, by `control=negative` or another; returns the path of the JSON."""
    method = instantiate(cfg.control)
    setting = open_evaluation(cfg, cfg.model_name, instantiate).require_sampling(f"control={cfg.control.name}")
    with tqdm(desc="queries", unit=" captions") as bar:
        report = method(setting, instantiate(setting.pair.text_encoder), cfg.evaluation.seeds, bar.update)
    result = reports.make_result("control", cfg, setting, report, report["extra"])
    path = write_result(cfg.paths.results, result)
    reports.draw_control(path)
    reports.publish(path)
    return path


@cli.main("eval_retrieval", flags=("task", "model_name", "model_step"))
def main(cfg: DictConfig) -> None:
    if cfg.tables.which:
        return render_tables(cfg.paths.results, **cfg.tables)
    if cfg.get("control"):
        control(cfg)
        return None
    steps = steps_to_evaluate(cfg)
    paths = [evaluate(step) for step in steps]
    if len(paths) > 1:
        reports.draw_steps(paths)
    if cfg.with_fidelity:
        for step in steps:
            eval_fidelity.evaluate(step)
    return None


if __name__ == "__main__":
    main()
