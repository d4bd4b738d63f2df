"""An experiment is opened whole, or refused by the file that is not as it should be."""

import pytest
from omegaconf import OmegaConf

from diffgar.dataloading.store.card import StoreError
from diffgar.jobs import experiment
from diffgar.jobs.building import as_it_resolves


@pytest.mark.parametrize(("embeddings", "found"), [(None, "is missing"), ([0.0, 1.0], "has 2 of 3 rows")])
def test_a_joint_pair_whose_text_store_has_no_embeddings_is_refused_by_file(monkeypatch, embeddings, found):
    """Without them the teacher's row would be gone without a word."""

    class Opened:
        def __init__(self, folder, remedy):
            self.folder, self.rows, self.embeddings = folder, [0, 1, 2], embeddings

        def require(self, **identity):
            return self

    monkeypatch.setattr(experiment, "Store", Opened)
    monkeypatch.setattr(experiment, "TextStore", Opened)
    pair = {"name": "clap", "joint": True, "audio_name": "a", "text_name": "t", "latent_dim": 4, "text_dim": 4}
    cfg = OmegaConf.create({"paths": {"latents": "latents"}})
    with pytest.raises(
        StoreError, match=rf"embeddings.npy {found}, and the pair clap is joint.*extract_dataset.py data=d"
    ):
        experiment.open_stores(cfg, "d", OmegaConf.create(pair))
    assert experiment.open_stores(cfg, "d", OmegaConf.create(pair | {"joint": False}))[1].embeddings is None


def test_a_value_that_this_machine_does_not_have_costs_no_result():
    trained = OmegaConf.create(
        {"weights": "${oc.env:NO_SUCH_PLACE}/a", "parts": [1, "${.0}"], "b": "${weights}", "c": "???"}
    )
    told = {"weights": "${oc.env:NO_SUCH_PLACE}/a", "parts": [1, 1], "b": "${weights}", "c": "???"}
    assert as_it_resolves(trained) == told
