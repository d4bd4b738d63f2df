"""A published model answers as the trained one does, holds nothing of the machine that trained it, and is refused whole
or by name where it is damaged."""

import builtins
import getpass
import json
import logging
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from untrained import CAPTIONS, LEAVES, write_audio, write_training

from diffgar import Retriever
from diffgar.checkpoints import CheckpointError

FILES = {"config.json", "model.safetensors", "phrases.json", "README.md"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def trained(root):
    return Retriever.from_pretrained(write_training(root / "small"))


@pytest.fixture(scope="module")
def audio(root):
    return write_audio(root / "audio")


@pytest.fixture(scope="module")
def once(trained, root):
    return trained.save_pretrained(root / "saved")


@pytest.fixture
def saved(once, tmp_path):
    """A published folder of this test's own."""
    return Path(shutil.copytree(once, tmp_path / "saved"))


@pytest.fixture(autouse=True)
def libraries(root, monkeypatch):
    monkeypatch.setenv("GDR_LIBRARIES", str(root / "libraries"))
    monkeypatch.setenv("GDR_DATA", str(root / "no data"))  # the reader has none of the training's


def change(folder: Path, **parts) -> Path:
    """A published folder whose config.json has other parts; a dotted one by `__`."""
    content = json.loads((folder / "config.json").read_text())
    for name, value in parts.items():
        *above, last = name.split("__")
        node = content
        for part in above:
            node = node[part]
        node[last] = value
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("kind", LEAVES)
def test_a_published_model_of_any_kind_has_the_same_hits_to_the_last_digit(kind, tmp_path, audio):
    model = Retriever.from_pretrained(write_training(tmp_path / "trained", kind))
    folder = model.save_pretrained(tmp_path / "saved")
    assert {path.name for path in folder.iterdir()} == FILES
    found = []
    for retriever in (model, Retriever.from_pretrained(folder)):
        library = retriever.index(audio, num_workers=0)
        found.append([library.search("a calm piano piece", negative=negative) for negative in (None, "drums")])
    for before, after in zip(*found, strict=True):
        assert list(before) == list(after) and before.asked == after.asked
    assert [hit.score for hit in found[0][0]] != [hit.score for hit in found[0][1]]  # there is something to steer


def test_a_short_negative_is_spelt_out_by_the_phrases_that_training_captions_share(trained, saved, audio):
    assert json.loads((saved / "phrases.json").read_text()) == {"jazz drums": 2, "piece": 2, "rock drums": 2}
    library = Retriever.from_pretrained(saved).index(audio, num_workers=0)
    assert library.search("a piece", negative="drums").asked["negatives"][0]["phrasings"] == [
        "jazz drums, rock drums",
        "jazz drums",
        "rock drums",
    ]


def test_what_is_published_holds_no_path_of_this_machine_no_captions_and_nothing_of_the_training(trained, saved, root):
    content = {path.name: path.read_bytes() for path in saved.iterdir()}
    private = [str(root), root.parent.name, str(Path.home()) + "/", f"/{getpass.getuser()}/", "cave", *CAPTIONS]
    for name, found in content.items():
        assert not [word for word in private if word.encode() in found], name
    config = json.loads(content["config.json"])["config"]
    assert list(config) == [
        "data",
        "datamodule",
        "encoder_pair",
        "module",
        "sampler",
        "backbone",
        "noise_scheduler",
        "objective",
        "seed",
    ]
    assert config["data"] == {"name": "demo"} and config["datamodule"] == {
        "frames": trained.opened.config.datamodule.frames
    }
    assert config["module"]["optimizer"] is config["module"]["lr_scheduler"] is None


def test_the_weights_are_the_checkpoints_with_its_buffers(trained, saved):
    tensors, state = load_file(saved / "model.safetensors"), trained.opened.model.state_dict()
    assert tensors.keys() == state.keys() >= {"latent_mean", "latent_std", "null_text", "frames"}
    assert all(torch.equal(tensors[name], state[name].cpu()) for name in state)


def test_nothing_is_unpickled_when_a_published_model_is_loaded_and_asked(saved, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("something was unpickled")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    assert Retriever.from_pretrained(saved).encode_query("a piano").shape == (128,)


def test_a_student_needs_no_teacher_to_be_loaded(tmp_path):
    folder = write_training(tmp_path / "mine", "student", "module.teacher.model_name=gone")
    saved = Retriever.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    assert "gone" not in (saved / "config.json").read_text()
    assert Retriever.from_pretrained(saved).encode_query("a piano").isfinite().all()


def test_a_model_is_published_again_with_its_own_card_and_phrases(saved, tmp_path):
    (saved / "README.md").write_text("completed by hand")
    again = Retriever.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in saved.iterdir()
    }


def test_a_card_that_was_completed_is_kept_with_a_warning(trained, saved, caplog):
    trained.save_pretrained(saved)
    assert not caplog.records  # the same card
    (saved / "README.md").write_text("completed by hand")
    with caplog.at_level(logging.WARNING):
        trained.save_pretrained(saved)
    assert (saved / "README.md").read_text() == "completed by hand"
    assert "README.md was there and is kept as it is; delete it for a new card" in caplog.text


def test_a_training_folder_is_not_published_into(trained, root):
    with pytest.raises(CheckpointError, match="small holds a training; publish into a folder of its own: .*small_publ"):
        trained.save_pretrained(root / "small")


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
@pytest.mark.parametrize("content", ["cut", "[]"])
def test_a_damaged_file_is_named(saved, name, content):
    path = saved / name
    path.write_bytes(path.read_bytes()[:-9] if content == "cut" else content.encode())
    with pytest.raises(CheckpointError, match=f"(?s){name} .*copy or download the model again"):
        Retriever.from_pretrained(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "phrases.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"(?s){name} .*copy or download the model again"):
        Retriever.from_pretrained(saved)


def test_a_folder_without_a_config_holds_no_model(saved):
    (saved / "config.json").unlink()
    with pytest.raises(
        CheckpointError, match="saved: no trained model in this folder; train one with train_ldm.py, or"
    ):
        Retriever.from_pretrained(saved)


def test_one_changed_bit_of_the_weights_is_found(saved):
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="model.safetensors is damaged or of another model .SHA-256"):
        Retriever.from_pretrained(saved)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"format": 2}, "has format 2, this version reads 1; another version of the code trained it"),
        ({"latents": {"audio": {}}}, "config.json has no latents.text"),
        ({"config__encoder_pair": None}, "config.json has no config.encoder_pair"),
        ({"config__backbone__features": 16}, "tensors differ, the first .*; another version of the code"),
        ({"config__backbone__depth": 3}, "its module cannot be built .*depth.*another version of the code"),
        ({"config__seed": "${nowhere}"}, "the config does not hold together .*nowhere.*; save the model again"),
    ],
)
def test_a_config_of_another_version_is_refused_by_what_differs(saved, parts, message):
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        Retriever.from_pretrained(change(saved, **parts))


def test_a_published_model_has_one_step(saved):
    assert Retriever.from_pretrained(saved, step=5).opened.step == 5
    with pytest.raises(CheckpointError, match="no step 7; a published model has one, here 5"):
        Retriever.from_pretrained(saved, step=7)


def test_loading_runs_no_function_that_a_config_names_unless_its_package_is_allowed(saved, monkeypatch):
    called = []
    monkeypatch.setattr(builtins, "print", lambda *words, **options: called.append(words))
    change(saved, config__sampler__solver={"_target_": "builtins.print", "_args_": ["harm"]})
    with pytest.raises(CheckpointError, match="sampler.solver._target_ is 'builtins.print', which is not built"):
        Retriever.from_pretrained(saved)
    assert not called


def test_a_class_of_the_readers_own_package_is_built_where_that_is_allowed(tmp_path):
    folder = write_training(tmp_path / "own", "diffusion", "backbone._target_=own_package.Own")
    model = Retriever.from_pretrained(folder)  # one's own training is trusted
    saved = model.save_pretrained(tmp_path / "saved")
    assert "allow=['own_package']" in (saved / "README.md").read_text()
    with pytest.raises(CheckpointError, match=r"'own_package.Own', which is not built .*allow=\('own_package',\)"):
        Retriever.from_pretrained(saved)
    for allow in (("own_package",), "own_package"):
        found = Retriever.from_pretrained(saved, allow=allow)
        assert torch.equal(found.encode_query("a piano"), model.encode_query("a piano"))


def test_what_a_config_does_not_hold_together_with_is_refused_before_it_is_published(tmp_path):
    model = Retriever.from_pretrained(write_training(tmp_path / "mine"))
    model.opened.config.encoder_pair.weights = "${paths.mine}/a.pt"
    with pytest.raises(CheckpointError, match="mine: the config does not hold together"):
        model.save_pretrained(tmp_path / "saved")
    model.opened.config.encoder_pair.weights = "${oc.env:MINE,a}/a.pt"
    with pytest.raises(
        CheckpointError, match="weights is .*MINE.*refers to its own keys and to the environment variables"
    ):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
