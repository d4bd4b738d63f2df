"""Values of the configs, checked where they are read: one sentence with what was found and what to write instead."""

from omegaconf import DictConfig

from diffgar.errors import InputError
from diffgar.values import listed, number, one_of, switch, whole

LONGEST_VARIANT = 60  # letters: it is part of a file's name
SAMPLES = ("mean", "set")
POOLINGS = ("mean", "best_frame")


def check_evaluation(cfg: DictConfig) -> None:
    """Refuse (InputError) what a config says of an evaluation and no evaluation can do, before anything is opened."""
    asked = cfg.evaluation
    seeds = listed("evaluation.seeds", asked.seeds, "[0,1,2]")
    for seed in seeds:
        whole("evaluation.seeds", seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"evaluation.seeds is {seeds}; give it one seed or more, each once: evaluation.seeds=[0,1,2]")
    one_of("evaluation.samples", asked.samples, SAMPLES)
    one_of("evaluation.pooling", asked.pooling, POOLINGS)
    switch("evaluation.allow_missing", asked.allow_missing)
    if not isinstance(asked.variant, str | int | float | None) or len(str(asked.variant)) > LONGEST_VARIANT:
        raise InputError(f"evaluation.variant is {asked.variant!r}; give it a word, shorter than this, or null")
    for scale in listed("evaluation.guidance", asked.guidance, "[1,2,3,5]"):
        number("evaluation.guidance", scale)
    models = [str(cfg.model_name), *listed("evaluation.baselines", asked.baselines, "[demo_regression]")]
    twice = [name for place, name in enumerate(models) if name in models[:place]]
    if twice:
        raise InputError(f"evaluation.baselines names {twice[0]!r} twice, or the model itself; name each model once")
    if cfg.get("with_fidelity") is not None:
        switch("with_fidelity", cfg.with_fidelity)
