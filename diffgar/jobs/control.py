"""The job of eval_retrieval.py with `control=…`: how well a model's queries can be steered."""

from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.jobs.building import build, plain
from diffgar.jobs.experiment import open_experiment
from diffgar.jobs.results import make_result


def run(cfg: DictConfig) -> Path:
    """Measure how queries can be steered, by `control=negative` or another; returns the path of the JSON."""
    method = build(cfg.control)
    experiment = open_experiment(cfg, cfg.model_name).require_sampling(f"control={cfg.control.name}")
    text_encoder = build(experiment.trained["encoder_pair"]["text_encoder"])
    with tqdm(desc="queries", unit=" captions") as bar:
        report = method(experiment, text_encoder, plain(cfg.evaluation.seeds), bar.update)
    result = make_result("control", cfg, experiment, report, report["extra"])
    path = write_result(cfg.paths.results, result)
    reports.draw_control(path, result)
    reports.publish(path, result)
    return path
