"""Several jobs of one command: the steps of a config, in their order. What is finished is not done again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from omegaconf import DictConfig, open_dict

from diffgar.commandline.composing import compose
from diffgar.commandline.quoting import quote
from diffgar.evaluation.reports import show as reports
from diffgar.jobs import checks, control, extract, first_checks, results, retrieval, train
from diffgar.jobs.building import build, plain
from diffgar.values import one_of


@dataclass(frozen=True)
class Step:
    """A script, a config of it, and overrides in Hydra's words; left out where the module `needs` is not installed."""

    script: str
    config: str
    overrides: Sequence[str] = ()
    needs: str | None = None

    @property
    def title(self) -> str:
        """The command that does the same."""
        flags = ["--config", f"config/{self.config}.yaml"] if self.config != self.script else []
        return " ".join([f"{self.script}.py", *flags, *self.overrides])


def run(cfg: DictConfig) -> None:
    """Do the steps of a config that are not done yet, then its `report`.

    cfg.steps: as `Step`. cfg.overrides: script → overrides of all its steps; all get the config's folders too. All
    steps are composed before the first begins, so that a mistyped word costs nothing. Raises what the jobs raise.
    """
    paths = [f"paths.{name}={quote(str(folder))}" for name, folder in plain(cfg.paths).items()]
    steps = [Step(**each) for each in plain(cfg.steps)]
    shared = plain(cfg.overrides)
    configs = [config_of(step, [*paths, *shared.get(step.script, [])]) for step in steps]
    for number, (step, config) in enumerate(zip(steps, configs, strict=True), start=1):
        print(f"\nstep {number} of {len(steps)}: {step.title}", flush=True)
        if not checks.is_first_process() and step.script == "eval_retrieval":
            continue  # the first process of a training evaluates
        if step.needs and not find_spec(step.needs):
            print(f"skipped: it needs the module {step.needs}, which is not installed")
            continue
        begun = time.monotonic()
        JOBS[step.script](config)
        print(f"step {number} of {len(steps)} took {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
    if checks.is_first_process():
        build(cfg.report)


def config_of(step: Step, shared: Sequence[str]) -> DictConfig:
    """The config of a step. Raises InputError for a script that no step can run."""
    one_of("script of a step", step.script, tuple(JOBS))
    cfg = compose(step.config, [*shared, *step.overrides])
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def train_once(cfg: DictConfig) -> None:
    """Train and evaluate a model, as far as that is not done."""
    first_checks.of_training(cfg)
    train.run(cfg)


def evaluate_once(cfg: DictConfig) -> None:
    """Evaluate a model, or show the result there is."""
    first_checks.of_evaluation(cfg)
    kind = "control" if cfg.get("control") else "retrieval"
    if written := results.known(cfg, kind):
        reports.show(*written)
    elif kind == "control":
        control.run(cfg)
    else:
        retrieval.run(cfg)


JOBS: dict[str, Callable[[DictConfig], None]] = {
    "train_ldm": train_once,
    "extract_dataset": extract.run,
    "eval_retrieval": evaluate_once,
}
