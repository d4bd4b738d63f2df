"""The rivals of guidance on random vectors and planted features: DEO, a sparse autoencoder's sliders, said captions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control import sparse
from diffgar.evaluation.control.answers import Avoided, subtracted
from diffgar.evaluation.control.deo import ATTRACTION, CONSISTENCY, optimised
from diffgar.evaluation.control.heads import projectors
from diffgar.evaluation.control.methods import METHODS
from diffgar.evaluation.control.negative import NegativeSteering
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.control.wording import Saying
from diffgar.evaluation.report import System
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def cosine(first, second):
    return (first * second).sum(dim=-1)


def test_deo_goes_away_from_the_negative_and_stays_with_the_caption():
    queries, negatives = unit(2, 30, 64), unit(30, 64, seed=1)
    queries = F.normalize(queries + 0.4 * negatives, dim=-1)  # each has something of its negative
    moved = optimised(queries, Avoided(negatives[None, None], torch.ones(1)), repulsion=0.5, steps=20).queries
    assert (cosine(moved, negatives) < cosine(queries, negatives) - 0.2).all()
    assert (cosine(moved, queries) > 0.85).all()
    torch.testing.assert_close(moved.norm(dim=-1), torch.ones(2, 30))


def test_deo_moves_nothing_in_no_steps_and_ends_at_a_subtraction_in_many():
    queries, avoided = unit(1, 8, 16), Avoided(unit(1, 1, 8, 16, seed=1), torch.ones(1))
    torch.testing.assert_close(optimised(queries, avoided, 1.0, 0).queries, queries)
    end = subtracted(queries, avoided, 1.0 / (ATTRACTION + CONSISTENCY)).queries
    moved = [optimised(queries, avoided, 1.0, steps).queries for steps in (2, 10, 2000)]
    near = [cosine(each, end).mean().item() for each in moved]
    assert near[0] < near[1] < near[2] and near[2] == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def planted():
    """800 tracks, each the sum of 3 of 12 orthogonal features; feature 0 is the unwanted one."""
    random = np.random.default_rng(0)
    features = torch.linalg.qr(torch.from_numpy(random.normal(size=(24, 24))).float())[0][:12]
    has = torch.zeros(800, 12)
    for row in range(800):
        has[row, torch.from_numpy(random.choice(12, size=3, replace=False))] = 1
    tracks = F.normalize(has @ features, dim=1)
    return features, has, tracks, sparse.learn(tracks, features=32, active=4, steps=300)


def test_a_sparse_autoencoder_reconstructs_by_few_features_and_is_the_same_again(planted):
    _, _, tracks, autoencoder = planted
    codes = autoencoder.codes(tracks)
    assert (codes >= 0).all() and ((codes > 0).sum(dim=1) <= 4).all()
    unexplained = (autoencoder.decode(codes) - tracks).square().sum() / (tracks - tracks.mean(dim=0)).square().sum()
    assert unexplained < 0.2
    with torch.inference_mode():  # as in a search
        again = sparse.learn(tracks, features=32, active=4, steps=300)
    assert torch.equal(again.decoder, autoencoder.decoder)


def test_the_planted_feature_is_suppressed_and_the_others_stay(planted):
    features, has, tracks, autoencoder = planted
    queries = F.normalize(features[0] + features[1:4], dim=-1)[None]  # (1, 3, D): each has the unwanted one and another
    avoided = Avoided(features[0].expand(1, 1, 3, -1), torch.ones(1))
    moved = sparse.slid(autoencoder, tracks, queries, avoided, suppress=0.6, amplify=0).queries
    unwanted, own = (cosine(moved, wanted) for wanted in (features[0], features[1:4]))
    assert (unwanted < cosine(queries, features[0]) - 0.4).all() and (own > cosine(queries, features[1:4]) - 0.05).all()
    share = has[(moved[0] @ tracks.T).topk(10).indices, 0].mean()
    assert share < 0.4 < 0.9 < has[(queries[0] @ tracks.T).topk(10).indices, 0].mean()
    more = sparse.slid(autoencoder, tracks, queries, avoided, suppress=0, amplify=0.3).queries
    assert torch.equal(sparse.slid(autoencoder, tracks, queries, avoided, 0, 0).queries, F.normalize(queries, dim=-1))
    assert (cosine(more, features[1:4]) > cosine(queries, features[1:4]) - 0.05).all()
    assert not torch.allclose(more, queries)


class Lengths(TextEncoder):
    """A caption's only token state is its number of letters."""

    dim = 1

    def encode(self, captions):
        self.said = captions
        states = torch.tensor([float(len(caption)) for caption in captions]).view(-1, 1, 1)
        return TextStates(states, torch.ones(len(captions), 1, dtype=torch.bool), F.normalize(states[:, 0], dim=-1))


def test_said_captions_are_asked_in_their_words_with_the_noise_of_their_own_and_parsed_back():
    vectors = unit(200, 8)
    experiment = evaluation(Latents(vectors[:20]), Captions(list(range(20))), Oracle(vectors, torch.zeros(8)))
    encoder, values = Lengths(), [("drums", "rock"), ("lead", "harp")]
    pairs = Pairs(torch.tensor([3, 5]), values, torch.zeros(2, 20, dtype=torch.bool), torch.zeros(2).long())
    negatives = Negatives.of(values, None, encoder)
    positions = experiment.caption_positions[[3, 5]]
    saying = Saying(["A slow piece.", "fast, piano"], values, positions, encoder)
    generate = Generator(experiment, [0])
    bench = PairBench(generate, vectors[:20], pairs, negatives, saying)
    said = METHODS["said"].answer(bench, {}).queries
    assert encoder.said == ["A slow piece, without rock.", "fast, piano, without harp"]
    same = Saying(["A", "fa"], values, positions, encoder, lambda name, value: "b")  # 4 and 5 letters: rows 4 and 5
    asked = METHODS["said"].answer(PairBench(generate, vectors[:20], pairs, negatives, same), {}).queries
    torch.testing.assert_close(asked[0, 1], bench.plain()[0, 1])  # the second is of row 5 anyway
    assert said.shape == (1, 2, 8) and not torch.allclose(said, bench.plain())
    heard = bench.parsed()
    assert heard.negatives.captions == ["rock", "harp"]
    assert list(heard.captions.captions) == ["A slow piece.", "fast, piano"]
    assert torch.equal(heard.teacher().squeeze(0), F.normalize(torch.tensor([[13.0], [11.0]]), dim=-1))
    with pytest.raises(InputError, match="no captions that say the negation"):
        PairBench(generate, vectors[:20], pairs, negatives).said()


def test_rivals_in_a_space_of_their_own_are_rows_and_others_are_refused():
    vectors = unit(20, 8)
    experiment = evaluation(Latents(vectors), Captions(list(range(20))), Oracle(vectors, torch.zeros(8)))
    with pytest.raises(InputError, match=r"names m \(gdr\): beside a model that is steered stand models that project"):
        projectors([experiment], experiment)
    steering = NegativeSteering("negative", [], None, {}, heads={"query_penalty": [{"penalty": 1}], "said": [{}]})
    rows = [system.label for _, system in steering.systems_of_heads("contrastive")]
    assert rows == ["contrastive", "contrastive query_penalty 1", "contrastive said"]
    with pytest.raises(InputError, match="a method of control.heads is 'compose'"):
        NegativeSteering("negative", [], None, {}, heads={"compose": [{"guidance": 2, "negative": 1}]})


def test_a_method_that_learns_is_left_out_where_there_is_no_train_split():
    steering = NegativeSteering(
        "negative", [], None, {"sae": [METHODS["sae"].example], "deo": [METHODS["deo"].example]}
    )
    assert System("sae", strength=METHODS["sae"].example) in [system for _, system in steering.systems()]
    assert {system.name for _, system in steering.systems(learning=False)} == {"plain", "truth_filter", "deo"}
