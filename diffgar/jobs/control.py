"""The job of eval_retrieval.py with `control=…`: how well a model's queries can be steered."""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from diffgar import checkpoints
from diffgar.evaluation.control.evaluator import ControlEvaluator
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.graded import refuse_graded
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.json_form import paired_as_json
from diffgar.evaluation.reports.results import write_result
from diffgar.identity import refuse_other_latents
from diffgar.jobs import evaluation_plan, next_commands
from diffgar.jobs.building import build, plain
from diffgar.jobs.experiment import open_experiment
from diffgar.jobs.once import Once
from diffgar.jobs.results import make_result
from diffgar.jobs.saved import load_head
from diffgar.models.composed import ComposedHead


def run(cfg: DictConfig) -> Path:
    """Measure how queries can be steered, by `control=negative` or another; returns the path of the JSON.

    Models of `evaluation.baselines` stand in the same table.
    """
    once = Once()
    experiment = open_experiment(cfg, cfg.model_name, once)
    refuse_graded(experiment.task, f"control={cfg.control.name}")
    evaluate: ControlEvaluator = build(cfg.control, **heads(cfg, experiment))
    experiment.generator(f"control={cfg.control.name}")  # refused now where it generates nothing
    rivals = [open_experiment(cfg, name, once) for name in cfg.evaluation.baselines]
    text_encoder = build(experiment.trained["encoder_pair"]["text_encoder"])
    evaluation_plan.show_control(cfg, experiment, *evaluate.size(experiment))
    with tqdm(desc="queries", unit=" captions", total=0) as bar:
        seeds = plain(cfg.evaluation.seeds)
        report = evaluate(experiment, text_encoder, seeds, bar.update, partial(grow, bar), rivals)
    if paired := report.paired:
        report.extra["paired"] = paired_as_json(paired)
    result = make_result("control", cfg, experiment, report)
    path = write_result(cfg.paths.results, result)
    reports.draw_control(path, result)
    reports.show_and_log(path, result)
    next_commands.show(next_commands.after_control(cfg))
    return path


def heads(cfg: DictConfig, experiment: Experiment) -> dict[str, ComposedHead]:
    """The trained head that `control.head` names, on the latents of the experiment; nothing where it names none."""
    if not (name := cfg.control.get("head")):
        return {}
    folder = checkpoints.folder_of(cfg.paths.checkpoints, str(name))
    refuse_other_latents(folder, experiment.audio.card, experiment.text.card, experiment.pair)
    return {"head": load_head(folder, checkpoints.choose_step(folder, "best"))}


def grow(bar: tqdm, more: int) -> None:
    """Expect more of a progress bar."""
    bar.total += more
    bar.refresh()
