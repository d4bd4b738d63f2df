"""What a downloaded config may build and read: the classes that the project's own configs use, and no function."""

import re

import pytest
from omegaconf import OmegaConf
from test_configs import CONFIG, LEAVES
from untrained import composed

from diffgar.checkpoints import CheckpointError
from diffgar.jobs.portable import portable
from diffgar.jobs.trusted import VARIABLES, may_be_built, refuse_untrusted

TRAININGS = [path for path in LEAVES if path.name.startswith(("train_ldm", "train_student", "train_tuned"))]


def refuse(config, allow=()):
    refuse_untrusted(OmegaConf.create(config), allow, "config.json")


@pytest.mark.parametrize("path", TRAININGS, ids=str)
def test_whatever_the_projects_own_trainings_build_may_be_published_and_loaded(path):
    config = composed(path.with_suffix("").as_posix())
    published = portable(config)
    assert "paths" not in published
    published.paths = config.paths
    refuse_untrusted(published, (), path)


@pytest.mark.parametrize("group", ["backbone", "encoder_pair", "module", "noise_scheduler", "objective", "sampler"])
def test_every_class_that_a_model_is_built_of_may_be_built(group):
    text = "\n".join(path.read_text() for path in sorted((CONFIG / group).rglob("*.yaml")))
    targets = set(re.findall(r"_target_: (\S+)", text))
    assert targets and not [target for target in targets if not may_be_built(target)]
    assert set(re.findall(r"oc\.env:(\w+)", text)) <= set(VARIABLES)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "diffgar.checkpoints.os.system",  # begins as ours do
        "diffgar.models.encoders.pretrained.hub.Path",  # of another package
        "diffgar.models.ldm.Tensor",
        "diffgar.models.encoders.pretrained.tensor_files.read_tensors",  # a function
        "diffgar.jobs.building.build",
        "diffgar.demo.collection.write_collection",
        "diffgar.modelsother.A",
        "diffusers.DDIMScheduler.from_pretrained",
        "diffusers.DDIMScheduler.save_pretrained",
        "diffusers.utils.outputs.np.load",
        "hydra.utils.get_method",
        "torch.load",
        "pytorch_lightning.Trainer",
        7,
        None,
    ],
)
def test_nothing_else_is_built(target):
    assert not may_be_built(target)
    with pytest.raises(CheckpointError, match=r"config.json: a.b.0._target_ is .*which is not built for a model from"):
        refuse({"a": {"b": [{"_target_": target}]}})


def test_a_target_that_is_composed_of_parts_is_seen_whole():
    with pytest.raises(CheckpointError, match="a._target_ is 'os.system'"):
        refuse({"part": "os", "a": {"_target_": "${part}.system"}})


def test_a_key_with_a_dot_hides_nothing():
    ours = "diffgar.models.ldm.LatentDiffusion"
    for config in (
        {"a": {"_target_": "os.system"}, "a._target_": ours},
        {"a._target_": ours, "a": {"_target_": "os.system"}},
    ):
        with pytest.raises(CheckpointError, match="a._target_ is 'os.system'"):
            refuse(config)


def test_an_allowed_package_is_that_package_alone():
    assert may_be_built("own_package.Own", ["own_package"])
    assert not may_be_built("own_package.Own", ["own"])
    assert not may_be_built("own_package.UNet", ["own_package"])  # which only imports it
    with pytest.raises(
        CheckpointError, match="'own_package.Gone', which is not here: its package is not installed, or"
    ):
        refuse({"_target_": "own_package.Gone"}, ["own_package"])


@pytest.mark.parametrize(
    "value", ["${a}", "${.a}", "${oc.env:GDR_DATA,${a}}/x", "${oc.env:MY_LATENTS}", "plain $a {b}"]
)
def test_a_value_may_refer_to_the_config_and_to_the_places_of_the_readers_data(value, monkeypatch):
    monkeypatch.setenv("MY_LATENTS", "here")
    refuse({"a": "b", "c": value})


@pytest.mark.parametrize(
    "value",
    [
        "me/${oc.env:HF_TOKEN}",
        "${oc.env:HF_TOKEN,${oc.env:GDR_DATA}}",
        "${oc.env:${a}}",
        "${oc.env:${a}GDR_DATA}",
        "${oc.${b}:HF_TOKEN}",
        "${${b}:HF_TOKEN}",
        "$${empty}{oc.env:HF_TOKEN}",
        "${oc.decode:${a}}",
        "${hydra:runtime.cwd}",
    ],
)
def test_no_value_reads_another_variable_of_the_readers_environment(value, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    with pytest.raises(
        CheckpointError, match="config.json: c.d is .*refers to its own keys and to the environment var"
    ):
        refuse({"a": "HF_TOKEN", "b": "oc.env", "empty": "", "c": {"d": value}})


@pytest.mark.parametrize("name", ["../other", "/root", "a/b", "a\\b", "..", ""])
def test_a_name_of_a_store_is_no_way_out_of_its_folder(name):
    refuse({"encoder_pair": {"audio_name": "clap_htsat-base.2"}})
    for value in (name, {"x": name}):
        with pytest.raises(CheckpointError, match="audio_name.* is .*one word without a slash"):
            refuse({"encoder_pair": {"audio_name": value}})
