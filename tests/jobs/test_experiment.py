"""An experiment is opened whole, or refused by the file that is not as it should be."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from omegaconf import OmegaConf

from diffgar.dataloading.store.card import StoreError
from diffgar.jobs import experiment
from diffgar.jobs.building import as_it_resolves
from diffgar.jobs.once import Once

CONFIG = "{model_name: clap@1, model_step: best, task: {dataset: d}, sampler: {}, paths: {checkpoints: c}}"


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


def test_the_stores_and_the_task_of_a_run_are_opened_once_for_all_models_and_steps(monkeypatch):
    opened = []

    class Opened:
        def __init__(self, name):
            opened.append(name)
            self.folder, self.card, self.rows = name, None, pd.DataFrame({"row_id": ["t0"]})

        def hold(self, memory):
            assert memory == "map"  # read as it lies
            return self

    pairs = {name: {"encoder_pair": {"name": name, "audio_name": name}, "sampler": {}} for name in ("clap", "mule")}
    task = SimpleNamespace(track_ids=["t0"])
    stand_ins = {
        "open_stores": lambda cfg, dataset, pair: (Opened(f"{pair.name} audio"), Opened(f"{pair.name} text")),
        "open_task": lambda cfg, audio, text: opened.append("task") or task,
        "read_config": lambda path: OmegaConf.create(pairs[path.parent.name.split("@")[0]]),
        "load_model": lambda folder, step: SimpleNamespace(sampled=False),
        "checkpoints": SimpleNamespace(folder_of=lambda root, name: Path(name), choose_step=lambda folder, step: step),
        "first_checks": SimpleNamespace(of_queries=lambda cfg: None),
        "build": lambda cfg: None,
        "seen_tracks": lambda *arguments: 0,
        "track_positions": lambda audio, task: [0],
    }
    for name in ("refuse_other_latents", "refuse_changed_tracks"):
        stand_ins[name] = lambda *arguments: None
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(experiment, name, stand_in)
    cfg, once = OmegaConf.load(StringIO(CONFIG)), Once()
    found = [experiment.open_experiment(cfg, name, once) for name in ("clap@1", "clap@2", "mule@1", "clap@1")]
    assert opened == ["clap audio", "clap text", "task", "mule audio", "mule text", "task"]
    assert found[0].audio is found[1].audio is found[3].audio and found[0].task is found[1].task
