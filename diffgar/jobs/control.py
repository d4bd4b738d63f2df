"""The job of eval_retrieval.py with `control=…`: how well a model's queries can be steered."""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from diffgar.evaluation.control.evaluator import ControlEvaluator
from diffgar.evaluation.graded import refuse_graded
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.jobs import evaluation_plan, next_commands
from diffgar.jobs.building import build, plain
from diffgar.jobs.experiment import open_experiment
from diffgar.jobs.results import make_result


def run(cfg: DictConfig) -> Path:
    """Measure how queries can be steered, by `control=negative` or another; returns the path of the JSON."""
    evaluate: ControlEvaluator = build(cfg.control)
    experiment = open_experiment(cfg, cfg.model_name)
    refuse_graded(experiment.task, f"control={cfg.control.name}")
    experiment.generator(f"control={cfg.control.name}")  # refused now where it generates nothing
    text_encoder = build(experiment.trained["encoder_pair"]["text_encoder"])
    evaluation_plan.show_control(cfg, experiment, *evaluate.size(experiment))
    with tqdm(desc="queries", unit=" captions", total=0) as bar:
        report = evaluate(experiment, text_encoder, plain(cfg.evaluation.seeds), bar.update, partial(grow, bar))
    result = make_result("control", cfg, experiment, report)
    path = write_result(cfg.paths.results, result)
    reports.draw_control(path, result)
    reports.show_and_log(path, result)
    next_commands.show(next_commands.after_control(cfg))
    return path


def grow(bar: tqdm, more: int) -> None:
    """Expect more of a progress bar."""
    bar.total += more
    bar.refresh()
