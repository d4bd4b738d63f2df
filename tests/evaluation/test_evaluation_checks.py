"""Values that no evaluation can do are refused in one sentence, before anything is opened or sampled."""

import pytest
from test_names import asked

from diffgar.errors import InputError
from diffgar.evaluation.control.inversion import InversionControl
from diffgar.evaluation.control.negative import NegativeControl
from diffgar.evaluation.fidelity import FidelityOptions
from diffgar.evaluation.retrieval import RetrievalOptions
from diffgar.jobs.experiment import check


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
        check(asked(override))


@pytest.mark.parametrize("override", ["evaluation.variant=2", "evaluation.variant=1.5", "model_name=20240101"])
def test_numbers_may_be_names(override):
    check(asked(override))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetrievalOptions(num_resamples=0), "retrieval.num_resamples is 0"),
        (lambda: RetrievalOptions(hubness="centring"), r"retrieval.hubness is 'centring'; give it a list"),
        (lambda: RetrievalOptions(hubness=["centering"]), "retrieval.hubness is 'centering'; choose one of qb_norm"),
        (lambda: RetrievalOptions(direction="both"), "retrieval.direction is 'both'; choose one of text_to_audio"),
        (lambda: FidelityOptions(num_splits=0), "fidelity.num_splits is 0"),
        (lambda: InversionControl("i", [], None, start="song"), "control.start is 'song'; choose one of track, query"),
        (lambda: InversionControl("i", [], None, shares=0.4), "control.shares is 0.4; give it a list"),
        (lambda: InversionControl("i", [], None, shares=[2]), "control.shares is 2; give it a number of at least 0"),
        (lambda: InversionControl("i", [], None, max_pairs=0), "control.max_pairs is 0"),
        (lambda: NegativeControl("n", [], None, {}, max_captions=0), "control.max_captions is 0"),
        (lambda: NegativeControl("n", [], None, {"replace": 2}), r"control.methods.replace is 2; give it a list"),
        (lambda: NegativeControl("n", [], None, {"compose": [["a", 1]]}), "control.methods.compose is 'a'"),
    ],
)
def test_options_are_refused_when_they_are_made(make, message):
    with pytest.raises(InputError, match=message):
        make()
