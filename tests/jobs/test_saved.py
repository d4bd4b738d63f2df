"""A model's config is kept, compared and read, and its weights are loaded into the module that it names, or refused."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from diffgar import checkpoints
from diffgar.checkpoints import CheckpointError
from diffgar.jobs import saved
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.latent_module import LatentModule


def touched(folder: Path, steps, **options) -> Path:
    """A model's folder whose checkpoints are empty files; options: of its module, beside its class."""
    folder.mkdir()
    module = {"_target_": f"{__name__}.Layer", **options}
    OmegaConf.save({"model_name": folder.name, "module": module, "width": 4}, folder / "config.yaml")
    for step in steps:
        (folder / f"step={step}.ckpt").touch()
    return folder


def save_model(folder: Path, **changes) -> None:
    """A checkpoint of a model of one layer, its tensors changed or, by None, left out."""
    weights = {name: torch.zeros(6) for name in ("latent_mean", "latent_std", "null_text")}
    weights |= {"frames": torch.tensor(4), "weight": torch.randn(4, 4000)} | changes
    torch.save({"state_dict": {n: w for n, w in weights.items() if w is not None}}, folder / "step=5.ckpt")


class Layer(ContrastiveHeads):
    def __init__(self, latent_mean, latent_std, null_text, num_frames):
        LatentModule.__init__(self, latent_mean, latent_std, null_text, num_frames)
        self.weight = torch.nn.Parameter(torch.zeros(num_frames, 4000))


def load(folder):
    return saved.load_model(folder, 5)


def test_a_model_is_loaded_with_the_frames_it_was_trained_on(tmp_path):
    save_model(touched(tmp_path / "m", (5,)))
    assert load(tmp_path / "m").frames == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": None}, "has no 'frames'; another version of the code trained it: train it again"),
        ({"weight": None}, "1 tensors differ, the first weight .absent there, .4, 4000. here.; another version"),
        ({"extra": torch.zeros(2)}, "the first extra .*2,. there, absent here"),
        ({"weight": torch.zeros(4, 3)}, "the first weight ..4, 3. there, .4, 4000. here"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path, changes, message):
    save_model(touched(tmp_path / "m", (5,)), **changes)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "m")


def test_a_module_that_this_version_cannot_build_is_refused(tmp_path):
    folder = touched(tmp_path / "m", (5,), width="${width}")
    save_model(folder)
    with pytest.raises(CheckpointError, match="(?s)its module cannot be built .*width.*; another version of the code"):
        load(folder)


@pytest.mark.parametrize("place", ["middle", "end"])
def test_a_hole_anywhere_in_a_checkpoint_is_found_before_it_is_used(tmp_path, place):
    save_model(touched(tmp_path / "m", (5,)))
    path = tmp_path / "m/step=5.ckpt"
    content = bytearray(path.read_bytes())
    if place == "middle":
        content[len(content) // 2 : len(content) // 2 + 512] = bytes(512)
    path.write_bytes(content if place == "middle" else content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="step=5.ckpt is damaged.*delete it, and training goes on from the step"):
        load(tmp_path / "m")


def test_what_is_no_checkpoint_or_not_there_is_refused(tmp_path):
    folder = touched(tmp_path / "m", (5,))
    with pytest.raises(CheckpointError, match="step=5.ckpt is damaged"):
        load(folder)
    torch.save(torch.zeros(3), folder / "step=5.ckpt")
    with pytest.raises(CheckpointError, match="step=5.ckpt is no checkpoint of a training"):
        load(folder)
    with pytest.raises(CheckpointError, match="no step 7; steps there: 5, or best"):
        checkpoints.intact(folder, 7)


def test_a_folder_without_a_checkpoint_holds_no_model(tmp_path):
    for name, content in (("empty", ""), ("half", "model_name: [ha"), ("failed", "module: {}\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(content)
        (tmp_path / name / "scores.csv").write_text("step,R@10\n5,40\n")
        with pytest.raises(CheckpointError, match=f"no model '{name}' in .*; models there: none; train it"):
            checkpoints.folder_of(tmp_path, name)
        saved.save_config(tmp_path / name, OmegaConf.create({"model_name": name, "module": {}}))
        assert OmegaConf.load(tmp_path / name / "config.yaml").model_name == name
        assert not (tmp_path / name / "scores.csv").exists()
    touched(tmp_path / "20240101", (5,))
    assert checkpoints.folder_of(tmp_path, 20240101) == tmp_path / "20240101"


@pytest.mark.parametrize("content", ["", "model_name: [ha", "words"])
def test_the_config_of_a_trained_model_that_cannot_be_read_is_named(tmp_path, content):
    folder = touched(tmp_path / "m", (5,))
    (folder / "config.yaml").write_text(content)
    with pytest.raises(CheckpointError, match="config.yaml .*copy the model's folder again"):
        saved.save_config(folder, OmegaConf.create({"model_name": "m"}))


def test_a_value_that_may_change_may_not_where_the_module_was_built_of_it(tmp_path):
    config = OmegaConf.create({"module": {"num_steps": "${sampler.num_steps}"}, "sampler": {"num_steps": 4, "eta": 0}})
    (tmp_path / "step=5.ckpt").touch()
    OmegaConf.save(config, tmp_path / "config.yaml")
    config.sampler.eta = 1
    saved.save_config(tmp_path, config)
    config.sampler.num_steps = 8
    with pytest.raises(CheckpointError, match="trained with another config .module.num_steps: 4 there, 8 here"):
        saved.save_config(tmp_path, config)
