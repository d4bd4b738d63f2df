"""The job of eval_retrieval.py: rank a collection by a model's queries, at one step or at every one."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from tqdm import tqdm

from diffgar.evaluation.answers import answer_metrics, refuse_no_answers
from diffgar.evaluation.checks import several
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.graded import evaluate_graded
from diffgar.evaluation.pooling import Pooling
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.json_form import paired_as_json
from diffgar.evaluation.reports.results import Result, write_result
from diffgar.evaluation.reports.table_files import render_tables
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import (
    Systems,
    attribute_metrics,
    audio_to_text,
    make_systems,
    named_attributes,
    num_queries,
)
from diffgar.jobs import evaluation_plan, fidelity, first_checks, next_commands
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import open_experiment, steps_to_evaluate
from diffgar.jobs.once import Once
from diffgar.jobs.results import make_result


def run(cfg: DictConfig) -> None:
    """Evaluate the steps that `model_step` names; with `with_fidelity`, their latents as well."""
    steps, once = steps_to_evaluate(cfg), Once()
    written = [evaluate(step, 0 if position else len(steps), once) for position, step in enumerate(steps)]
    if len(written) > 1:
        reports.draw_steps(written[0][0].parent, [result for _, result in written])
    if cfg.with_fidelity:
        for step in steps:
            fidelity.evaluate(step, once)
    next_commands.show(next_commands.after_retrieval(cfg, sampled=bool(written[0][1].extra["samplers"])))


def evaluate(cfg: DictConfig, planned: int = 0, once: Once | None = None) -> tuple[Path, Result]:
    """Evaluate one step of a model, and its baselines beside it, on one task; returns the JSON's path and result.

    planned: of how many steps a plan is printed before; of none where another plan has told of it. once: see
    `open_experiment`.
    """
    once = once or Once()
    first_checks.of_queries(cfg)
    options = RetrievalOptions(**plain(cfg.evaluation.retrieval))
    experiments = [open_experiment(cfg, name, once) for name in (cfg.model_name, *cfg.evaluation.baselines)]
    first = experiments[0]
    to_audio = options.direction == "text_to_audio"
    attributes, answers = (plain(cfg.task.get(name)) if to_audio else None for name in ("attributes", "answers"))
    if attributes:
        named_attributes(first, attributes)  # refused now where the stores do not have them, not after sampling
    if answers:
        refuse_no_answers(first.audio, first.text, answers)
    if planned:
        evaluation_plan.show_retrieval(cfg, experiments, planned)
    if options.direction == "audio_to_text":
        systems = audio_to_text(first)
    else:
        systems = open_systems(cfg, experiments, with_bank=bool(options.hubness))
    systems = systems.ranked_on("cuda" if torch.cuda.is_available() else "cpu")
    if first.task.grades is None:
        report = evaluate_retrieval(systems.queries, systems.index, first.task, options, systems.bank)
    else:
        report = evaluate_graded(systems.queries, systems.index, first.task, options)
    true = [attribute_metrics(first, systems, attributes, options.mmr)] if attributes else []
    true += [answer_metrics(first, systems, answers, options.mmr)] if answers else []
    for system, metrics in (row for found in true for row in found.items()):
        report.rows[system] |= metrics
    report.protocol["seen_tracks"] = {system.label: seen for system, seen in systems.seen.items()}
    report.extra["paired"] = paired_as_json(report.paired)
    report.extra["samplers"] = {system.label: sampler for system, sampler in systems.samplers.items()}
    result = make_result("retrieval", cfg, first, report)
    path = write_result(cfg.paths.results, result, report.queries)
    reports.draw(path, result, report.queries, systems, first)
    reports.show_and_log(path, result)
    return path, result


def open_systems(cfg: DictConfig, experiments: list[Experiment], with_bank: bool) -> Systems:
    """The systems of the table: the teacher where the pair is joint, and the model of each experiment."""
    asked, seeds = cfg.evaluation, plain(cfg.evaluation.seeds)
    how = (asked.segments, asked.grid, asked.pooled_weight)
    poolings = [Pooling(asked.samples, pooling, *how) for pooling in several(plain(asked.pooling))]
    with tqdm(desc="queries", unit=" captions", total=num_queries(experiments, len(seeds), with_bank)) as bar:
        return make_systems(experiments, seeds, poolings, with_bank, bar.update)


def tables(cfg: DictConfig) -> None:
    """Evaluate nothing: print and write the table of a results folder that `tables.which` names."""
    render_tables(cfg.paths.results, **plain(cfg.tables))
