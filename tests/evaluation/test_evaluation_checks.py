"""Values that no evaluation can do are refused in one sentence, before anything is opened or sampled."""

import pytest
from test_names import asked

from diffgar.errors import InputError
from diffgar.evaluation.control.inversion import InversionEditing
from diffgar.evaluation.control.negative import NegativeSteering
from diffgar.evaluation.fidelity import FidelityOptions
from diffgar.evaluation.retrieval import RetrievalOptions
from diffgar.jobs.first_checks import of_queries


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.seeds=3", r"evaluation.seeds is 3; give it a list, such as evaluation.seeds=\[0,1,2\]"),
        ("evaluation.seeds=[]", r"evaluation.seeds is \[\]; give it one seed or more"),
        ("evaluation.seeds=[0,0]", "each once"),
        ("evaluation.seeds=[0.5]", "evaluation.seeds is 0.5; give it a whole number of at least 0"),
        ("evaluation.seeds=[-1]", "evaluation.seeds is -1; give it a whole number"),
        ("evaluation.seeds=null", "evaluation.seeds is None; give it a list"),
        (
            "evaluation.baselines=demo",
            r"evaluation.baselines is 'demo'; give it a list, such as .*=\[demo_regression\]",
        ),
        ("evaluation.baselines=[other,other]", "evaluation.baselines names 'other' twice"),
        ("evaluation.baselines=[demo]", "names 'demo' twice, or the model itself"),
        ("evaluation.samples=median", "evaluation.samples is 'median'; choose one of mean, set"),
        ("evaluation.pooling=max", "evaluation.pooling is 'max'; choose one of mean, best_frame"),
        ("evaluation.pooling=[mean,max]", "evaluation.pooling is 'max'; choose one of mean, best_frame"),
        ("evaluation.pooling=[]", "evaluation.pooling is None; choose one of mean, best_frame"),
        ("evaluation.pooling=[mean,mean]", "name each once"),
        ("evaluation.pooled_weight=2", "evaluation.pooled_weight is 2; give it a number of at least 0 and at most 1"),
        ("evaluation.grid=0", "evaluation.grid is 0; give it a whole number of at least 1"),
        ("evaluation.allow_missing=maybe", "evaluation.allow_missing is 'maybe'; give it true or false"),
        ("evaluation.guidance=3", r"evaluation.guidance is 3; give it a list, such as evaluation.guidance=\[1,2,3,5\]"),
        ("evaluation.guidance=[high]", "evaluation.guidance is 'high'; give it a number"),
        (f"evaluation.variant={'x' * 99}", "give it a word, shorter than this"),
        ("evaluation.variant=[a]", "give it a word"),
        ("with_fidelity=perhaps", "with_fidelity is 'perhaps'; give it true or false"),
    ],
)
def test_a_value_of_an_evaluation_is_refused_with_the_remedy(override, message):
    with pytest.raises(InputError, match=message):
        of_queries(asked(override))


def test_more_parts_than_steps_to_cut_at_are_refused():
    of_queries(asked("evaluation.segments=9"))
    with pytest.raises(InputError, match="evaluation.segments is 9 and evaluation.grid 8: each part needs a step"):
        of_queries(asked("evaluation.segments=9", "evaluation.pooling=[mean,aligned]"))


@pytest.mark.parametrize("override", ["evaluation.variant=2", "evaluation.variant=1.5", "model_name=20240101"])
def test_numbers_may_be_names(override):
    of_queries(asked(override))


def steering(**methods):
    return NegativeSteering("n", [], None, methods)


def within(interval):
    return steering(compose_within=[{"guidance": 3, "negative": 1, "interval": interval}])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetrievalOptions(num_resamples=0), "retrieval.num_resamples is 0"),
        (lambda: RetrievalOptions(hubness="centring"), r"retrieval.hubness is 'centring'; give it a list"),
        (lambda: RetrievalOptions(hubness=["centering"]), "retrieval.hubness is 'centering'; choose one of qb_norm"),
        (lambda: RetrievalOptions(direction="both"), "retrieval.direction is 'both'; choose one of text_to_audio"),
        (lambda: FidelityOptions(num_splits=0), "fidelity.num_splits is 0"),
        (lambda: InversionEditing("i", [], None, start="song"), "control.start is 'song'; choose one of track, query"),
        (lambda: InversionEditing("i", [], None, shares=0.4), "control.shares is 0.4; give it a list"),
        (lambda: InversionEditing("i", [], None, shares=[2]), "control.shares is 2; give it a number of at least 0"),
        (lambda: InversionEditing("i", [], None, max_pairs=0), "control.max_pairs is 0"),
        (lambda: NegativeSteering("n", [], None, {}, max_captions=0), "control.max_captions is 0"),
        (lambda: steering(replace=2), r"methods.replace is 2; give it a list, such as .*replace=\[{guidance: 2}\]"),
        (lambda: steering(replace=[2]), r"replace is 2; give each strength by its names, such as .*=\[{guidance: 2}\]"),
        (lambda: steering(compose=[[2, 1]]), r"compose is \[2, 1\]; .* such as .*=\[{guidance: 2, negative: 0.5}\]"),
        (lambda: steering(compose=[{"guidance": 2}]), "compose is {'guidance': 2}; give each strength by its names"),
        (
            lambda: steering(replace=[{"guidance": 2, "negative": 1}]),
            "replace is {.*}; give each strength by its names",
        ),
        (lambda: steering(compose=[{"guidance": "a", "negative": 1}]), "control.methods.compose.guidance is 'a'"),
        (lambda: steering(replace=[{"guidance": [2, 3]}]), r"methods.replace.guidance is \[2, 3\]; give it a number"),
        (lambda: within([0.3]), r"compose_within.interval is \[0.3\]; give it 2 numbers, such as \[0.3, 0.9\]"),
        (lambda: within(0.3), "compose_within.interval is 0.3; give it a list"),
        (lambda: within([0.3, None]), "compose_within.interval is None; give it a number"),
        (lambda: steering(composed=[1]), "a method of control.methods is 'composed'; choose one of replace, compose"),
    ],
)
def test_options_are_refused_when_they_are_made(make, message):
    with pytest.raises(InputError, match=message):
        make()
