"""A config without what belongs to a training or to a machine: what is referred to is kept, unresolved."""

import pytest
from omegaconf import OmegaConf

from diffgar.checkpoints import CheckpointError
from diffgar.jobs.portable import portable


def config(weights="${paths.weights}/a.pt", **parts):
    return OmegaConf.create(
        {
            "data": {"name": "songs", "table": "/home/someone/songs.csv"},
            "encoder_pair": {"weights": weights, "dim": 4},
            "module": {"_target_": "M", "width": "${sizes.width}", "optimizer": "${optimizer}", "teacher": {"step": 1}},
            "sampler": {"num_steps": 4},
            "sizes": {"width": "${encoder_pair.dim}", "secret": "/home/someone"},
            "optimizer": {"lr": 1},
            "paths": {"weights": "/home/someone/weights"},
            "trainer": {"max_steps": "${sizes.width}"},
        }
        | parts
    )


def written(cfg):
    return OmegaConf.to_container(portable(cfg), resolve=False)


def test_what_is_built_is_kept_with_what_it_refers_to_and_nothing_else():
    assert written(config()) == {
        "data": {"name": "songs"},
        "encoder_pair": {"weights": "${paths.weights}/a.pt", "dim": 4},
        "module": {"_target_": "M", "width": "${sizes.width}", "optimizer": None, "teacher": None},
        "sampler": {"num_steps": 4},
        "sizes": {"width": "${encoder_pair.dim}"},
    }


@pytest.mark.parametrize(
    "weights",
    ["/home/someone/my weights/a.pt", "~/a.pt", "C:\\Users\\someone\\a.pt", "\\\\server\\a.pt", "/data/a.pt/"],
)
def test_a_path_of_this_machine_becomes_a_file_of_the_readers(weights):
    assert written(config(weights))["encoder_pair"]["weights"] == "${paths.weights}/a.pt"


def test_a_relative_path_does_where_it_leads_somewhere_and_a_hubs_name_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone/a.pt").touch()
    (tmp_path / "random").touch()
    for weights, expected in (
        ("someone/a.pt", "${paths.weights}/a.pt"),
        ("google/flan-t5-base", "google/flan-t5-base"),
        ("random", "random"),
    ):
        assert written(config(weights))["encoder_pair"]["weights"] == expected


def test_a_path_within_an_interpolation_is_refused():
    with pytest.raises(
        CheckpointError, match="encoder_pair.weights is .*someone.*a path of this machine, which is not pub"
    ):
        portable(config("${oc.env:GDR_WEIGHTS, /home/someone}/a.pt"))


def test_the_trainings_own_config_stays_as_it_is():
    cfg = config()
    before = OmegaConf.to_yaml(cfg)
    portable(cfg)
    assert OmegaConf.to_yaml(cfg) == before
