"""The check of a joint pair refuses captions, and audio, that all lie in one place."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from test_extraction import DIM, OPTIONS, Bands, Words, collection, write_collection

from diffgar.demo.encoder import DemoTextEncoder
from diffgar.demo.general import GeneralTextEncoder
from diffgar.extraction.batches import Options
from diffgar.extraction.pair_check import LEAST, ONE_PLACE, refuse_one_place, self_test
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.contract import PairError

MUSIC = (
    *("a calm piano piece", "loud drums and bass", "a sad slow violin", "a fast dance with synthesizers"),
    *("a choir sings a hymn", "an acoustic guitar", "a march with brass", "a dark drone", "happy ukulele", "free jazz"),
)


class SamePlace(Words):
    """A broken tower, such as that of a conversion whose projection is all but zero: captions differ by a hair."""

    def encode(self, captions):
        states = super().encode(captions)
        return replace(states, embedding=F.normalize(states.embedding + 9, dim=-1))


class SameSound(Bands):
    """Audio latents beside which a common mean is all."""

    def encode(self, batch):
        return F.normalize(super().encode(batch) + 3, dim=-1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve tracks with unlike captions."""
    folder = tmp_path_factory.mktemp("collection")
    write_collection(folder)
    table = pd.read_csv(folder / "captions.csv")
    table.assign(caption="n" + table["track_id"] + " " + table["caption"]).to_csv(folder / "captions.csv", index=False)
    return collection(folder)


@pytest.mark.parametrize(
    ("audio", "text", "culprit", "what"),
    [(Bands(), SamePlace(), "SamePlace", "12 unlike captions"), (SameSound(), Words(), "SameSound", "12 tracks")],
)
def test_vectors_that_are_all_the_same_are_refused_with_the_encoder_and_the_figure(dataset, audio, text, culprit, what):
    with pytest.raises(PairError, match=rf"encoder_pair torn: to \S+\.{culprit}, .* {what} are .* cosine 0\.99\d"):
        self_test(EncoderPair("torn", audio, text, joint=True), dataset, Options(**OPTIONS))


def test_captions_that_are_the_same_text_are_not_held_against_the_encoder(dataset):
    alike = replace(dataset, captions=dataset.captions.assign(caption="band 3"))
    assert self_test(EncoderPair("fine", Bands(), SamePlace(), joint=True), alike, Options(**OPTIONS))["z"] < 3


@pytest.mark.parametrize("cosine", [ONE_PLACE - 0.005, ONE_PLACE + 0.005])
def test_the_mean_cosine_of_different_vectors_decides(cosine):
    own = torch.eye(LEAST, DIM) * (1 - cosine) ** 0.5
    vectors = own + F.one_hot(torch.tensor(DIM - 1), DIM) * cosine**0.5  # every two have this cosine
    refuse_one_place(vectors[: LEAST - 1], "", Words(), "few")
    if cosine < ONE_PLACE:
        refuse_one_place(vectors, "", Words(), "apart")
    else:
        with pytest.raises(PairError, match=rf"cosine {cosine:.3f}, at most {ONE_PLACE} expected"):
            refuse_one_place(vectors, "", Words(), "together")


@pytest.mark.parametrize("encoder", [DemoTextEncoder, GeneralTextEncoder])
def test_towers_that_work_are_far_from_it(encoder):
    vectors = encoder().encode(list(MUSIC)).embedding
    cosines = vectors @ vectors.T
    assert (cosines.sum() - len(MUSIC)) / (len(MUSIC) * (len(MUSIC) - 1)) < 0.75
