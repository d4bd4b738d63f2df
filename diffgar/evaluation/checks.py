"""Checks of the values in a config's `evaluation`: each names what was found and what to write instead."""

from collections.abc import Sequence

from diffgar.errors import InputError
from diffgar.values import listed, number, one_of, switch, whole

LONGEST_VARIANT = 60  # letters: it is part of a file's name
SAMPLES = ("mean", "set")
POOLINGS = ("mean", "best_frame", "segments", "aligned")


def check_evaluation(
    model_name: str,
    *,
    baselines: object,
    guidance: object,
    variant: object,
    seeds: object,
    allow_missing: object,
    with_fidelity: object = None,
    **how: object,
) -> None:
    """Refuse (InputError) values that no evaluation can use.

    The arguments are named as in the config's `evaluation`. with_fidelity: None for a script that does not have it.
    how: what `check_poolings` takes.
    """
    check_queries(seeds, allow_missing)
    check_poolings(**how)
    if not isinstance(variant, str | int | float | None) or len(str(variant)) > LONGEST_VARIANT:
        raise InputError(f"evaluation.variant is {variant!r}; give it a word, shorter than this, or null")
    for scale in listed("evaluation.guidance", guidance, "[1,2,3,5]"):
        number("evaluation.guidance", scale)
    models = [model_name, *listed("evaluation.baselines", baselines, "[demo_regression]")]
    twice = [name for position, name in enumerate(models) if name in models[:position]]
    if twice:
        raise InputError(f"evaluation.baselines names {twice[0]!r} twice, or the model itself; name each model once")
    if with_fidelity is not None:
        switch("with_fidelity", with_fidelity)


def check_queries(seeds: object, allow_missing: object) -> None:
    """Refuse (InputError) values that no queries can be made with."""
    seeds = listed("evaluation.seeds", seeds, "[0,1,2]")
    for seed in seeds:
        whole("evaluation.seeds", seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"evaluation.seeds is {seeds}; give it one seed or more, each once: evaluation.seeds=[0,1,2]")
    switch("evaluation.allow_missing", allow_missing)


def check_poolings(samples: object, pooling: object, segments: object, grid: object, pooled_weight: object) -> None:
    """Refuse (InputError) values that no queries can be pooled by, and a pooling that is named twice."""
    one_of("evaluation.samples", samples, SAMPLES)
    poolings = several(pooling)
    for each in poolings or [None]:
        one_of("evaluation.pooling", each, POOLINGS)
    if len(set(poolings)) < len(poolings):
        raise InputError(
            f"evaluation.pooling is {poolings}; name each once, such as evaluation.pooling=[mean,segments]"
        )
    parts, steps = whole("evaluation.segments", segments, least=1), whole("evaluation.grid", grid, least=1)
    number("evaluation.pooled_weight", pooled_weight, least=0, most=1)
    if "aligned" in poolings and parts > steps:
        raise InputError(
            f"evaluation.segments is {parts} and evaluation.grid {steps}: each part needs a step of the grid; "
            f"set evaluation.grid={parts}, or more"
        )


def several(pooling: object) -> list:
    """The poolings that `evaluation.pooling` names: one, or a list of them."""
    return list(pooling) if isinstance(pooling, list | tuple) else [pooling]


def check_mmr(weight: object, direction: str, hubness: Sequence[str]) -> None:
    """Refuse (InputError) a weight of MMR that is none, and MMR of what it cannot re-rank."""
    number("retrieval.mmr", weight, least=0, most=1)
    if direction != "text_to_audio":
        raise InputError("retrieval.mmr re-ranks tracks for captions alone; set retrieval.direction=text_to_audio")
    if hubness:
        raise InputError("retrieval.mmr weighs cosines, and corrected scores are none; set retrieval.hubness=[]")
