"""Weights from a hub on a fresh machine: only what is needed is fetched, messages followed to the letter mend what they
tell of, and a file's name is asked of nobody."""

import json
import re
import shlex
import sys

import pytest
import torch
from hub_stand_in import point_at, serve
from huggingface_hub import HfApi
from layouts import MULE, save_mule, tiny_t5, word_tokenizer
from safetensors.torch import load_file, save_file

from diffgar.models.encoders.mule import MuleAudioEncoder
from diffgar.models.encoders.pretrained import hub
from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.hub import is_hub_name, open_model
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.tokens import load_tokenizer
from diffgar.models.encoders.pretrained.weights import find_checkpoint
from diffgar.models.encoders.t5 import T5TextEncoder

T5 = "google/flan-t5-base"
ENCODE = (
    "from diffgar.models.encoders.t5 import T5TextEncoder; print(T5TextEncoder().encode(['calm piano']).mask.sum())"
)


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """A small T5 as a hub has it: its weights in four formats, and its tokenizer."""
    folder = tiny_t5(tmp_path_factory.mktemp("t5"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    for other in ("tf_model.h5", "flax_model.msgpack", "README.md"):
        (folder / other).write_bytes(b"other")
    return folder


@pytest.fixture
def online(monkeypatch, tmp_path):
    """Makes this process one with a network, whose hub is the stand-in at a URL, and whose cache is empty."""

    def use(url: str) -> None:
        point_at(url, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: HfApi(endpoint=url))

    return use


def commands(message: str) -> list[list[str]]:
    """The download commands that a message tells, each split into words as a shell does."""
    ends = r" and set | \(without| then |;|, or hf |$"
    return [shlex.split(found) for found in re.findall(rf"(hf download .*?)(?={ends})", message)]


def settings(message: str) -> list[str]:
    """The paths that a message tells to set the weights to."""
    return re.findall(r"and set encoder_pair\.\w+=(\S+?)(?=[,;]|\s|$)", message)


def refusal(make) -> str:
    with pytest.raises(WeightsError) as error:
        make()
    return str(error.value)


def test_a_t5_is_fetched_with_its_tokenizer_and_no_more_and_then_works_without_a_network(t5, tmp_path, online):
    with serve({T5: t5}) as stand_in:
        fresh = stand_in.run([sys.executable, "-c", ENCODE], tmp_path / "home", cwd=tmp_path)
    assert fresh.returncode == 0 and "tensor(3)" in fresh.stdout, fresh.stderr
    assert sorted(stand_in.files()) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    (tmp_path / "cache").symlink_to(tmp_path / "home/hub")
    online("http://127.0.0.1:9")  # closed: all comes from the cache
    assert T5TextEncoder().encode(["calm piano"]).mask.sum() == 3


def test_the_command_for_an_absent_hub_model_fills_the_cache_that_the_next_run_reads(t5, tmp_path, online):
    (command,) = commands(refusal(T5TextEncoder))
    with serve({T5: t5}) as stand_in:
        done = stand_in.run(command, tmp_path / "home", cwd=tmp_path)
        assert done.returncode == 0 and "Ignoring" not in done.stderr, done.stderr
        assert {"pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"}.isdisjoint(stand_in.files())
    (tmp_path / "cache").symlink_to(tmp_path / "home/hub")
    online("http://127.0.0.1:9")
    assert T5TextEncoder().encode(["calm piano"]).mask.sum() == 3


@pytest.mark.parametrize("place", ["weights/mine.safetensors", "with space/t5"])
def test_the_command_for_an_absent_folder_puts_a_whole_t5_there(t5, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    message = refusal(lambda: T5TextEncoder(place))
    (command,) = commands(message)
    with serve({T5: t5}) as stand_in:
        done = stand_in.run(command, tmp_path / "home", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert T5TextEncoder(*(settings(message) or [place])).encode(["calm piano"]).mask.sum() == 3


@pytest.mark.parametrize("place", ["matteospanio/mule", "weights/mule.safetensors", "~/mule/"])
def test_the_command_for_an_absent_mule_mends_it(tmp_path, monkeypatch, online, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "published").mkdir()
    save_mule(tmp_path / "published")
    message = refusal(lambda: MuleAudioEncoder(place))
    (command,) = commands(message)
    with serve({"matteospanio/mule": tmp_path / "published"}) as stand_in:
        assert stand_in.run(command, tmp_path / "home", cwd=tmp_path).returncode == 0
    if place == "matteospanio/mule":
        (tmp_path / "cache").symlink_to(tmp_path / "home/hub")
        online("http://127.0.0.1:9")
    assert MuleAudioEncoder(*(settings(message) or [place])).dim == MULE["slow_stage_out"][-1] + 8


@pytest.mark.parametrize("place", ["weights/music.pt", "weights/music_audioset_epoch_15_esc_90.14.pt"])
def test_both_ways_to_an_absent_clap_end_where_the_weights_are_looked_for(tmp_path, monkeypatch, place):
    from diffgar.models.encoders.clap import PUBLISHED

    monkeypatch.chdir(tmp_path)
    message = remedy(place, *PUBLISHED)
    models = {way.repo: tmp_path / way.repo.split("/")[0] for way in PUBLISHED}
    for way in PUBLISHED:
        for name in (*way.files, "pytorch_model.bin"):
            (models[way.repo] / name).parent.mkdir(exist_ok=True)
            (models[way.repo] / name).write_text("{}")
    ways = message.split(", or hf ")
    assert len(ways) == 2
    for words, way in zip(commands(message), ("Download them: " + ways[0], "hf " + ways[1]), strict=True):
        with serve(models) as stand_in:
            assert stand_in.run(words, tmp_path / "home", cwd=tmp_path).returncode == 0
            assert "pytorch_model.bin" not in stand_in.files()
        (target,) = settings(way) or [place]
        found = find_checkpoint(target, "")
        assert found.files[0].name in ("music_audioset_epoch_15_esc_90.14.pt", "model.safetensors")


@pytest.mark.parametrize("kind", ["t5", "roberta"])
def test_the_command_for_an_absent_tokenizer_mends_it(tmp_path, monkeypatch, online, kind):
    monkeypatch.chdir(tmp_path)
    size = word_tokenizer(tmp_path / "published", kind)
    (tmp_path / "local").mkdir()
    (tmp_path / "local/config.json").write_text(json.dumps({"model_type": "t5"}))
    for name in ("local", "weights/absent", "some/tokenizer"):
        message = refusal(lambda name=name: load_tokenizer(name, size, True, "some/tokenizer"))
        (command,) = commands(message)
        assert command[2] == "some/tokenizer"
        with serve({"some/tokenizer": tmp_path / "published"}) as stand_in:
            done = stand_in.run(command, tmp_path / "home", cwd=tmp_path)
        assert done.returncode == 0 and "Ignoring" not in done.stderr, done.stderr
        if "/" in name and name.startswith("some"):
            (tmp_path / "cache").symlink_to(tmp_path / "home/hub")
            online("http://127.0.0.1:9")
        assert len(load_tokenizer(name, size, True, "some/tokenizer")) == size


@pytest.mark.parametrize(
    "name",
    [
        "weights/music_audioset_epoch_15_esc_90.14.pt",
        "weights/last.ckpt",
        "muscall/best_model.pth.tar",
        "a/b.bin",
        "w.pth",
    ]
    + ["weights/model.safetensors", "weights/clap", "weights", "./google/t5", "/a/b", "~/t5", "a/b/c", "a//b", "a\\b"],
)
def test_a_file_or_a_place_for_weights_is_asked_of_no_hub(tmp_path, monkeypatch, online, name):
    monkeypatch.chdir(tmp_path)
    with serve({}) as stand_in:
        online(stand_in.url)
        assert "there is no such file or folder. Ask its authors" in refusal(
            lambda: find_checkpoint(name, "Ask its authors")
        )
        assert "there is no such folder" in refusal(lambda: load_tokenizer(name, 10, False))
    assert stand_in.asked == [] and not is_hub_name(name)


def test_the_configured_folder_for_weights_is_no_owner_on_the_hub(monkeypatch):
    assert is_hub_name("mine/clap") and is_hub_name("google/flan-t5-base") and is_hub_name("laion/clap-v1.5")
    monkeypatch.setenv("GDR_WEIGHTS", "mine")
    assert not is_hub_name("mine/clap") and is_hub_name("weights/clap")


@pytest.mark.parametrize(("status", "words"), [(503, "answered with status 503"), (200, "has no model nobody/nothing")])
def test_a_hub_that_does_not_have_it_is_asked_once(tmp_path, online, status, words):
    with serve({}, status) as stand_in:
        online(stand_in.url)
        assert words in refusal(lambda: find_checkpoint("nobody/nothing", ""))
    assert len([place for _, place in stand_in.asked if place.startswith("api/models")]) == 1


def test_a_hub_that_is_not_there_is_said_to_be_out_of_reach(online):
    online("http://127.0.0.1:9")
    assert "the hub could not be reached (" in refusal(lambda: find_checkpoint("nobody/nothing", ""))


def test_a_mirror_that_lists_no_files_is_asked_for_each(t5, online, monkeypatch):
    with serve({T5: t5}) as stand_in:
        online(stand_in.url)
        monkeypatch.setattr("hub_stand_in.Handler._list", lambda handler, path: handler._answer(404, b""))
        assert T5TextEncoder().encode(["calm piano"]).mask.sum() == 3


def test_a_download_that_breaks_off_is_told(online, t5, monkeypatch):
    with serve({T5: t5}) as stand_in:
        online(stand_in.url)
        monkeypatch.setattr("hub_stand_in.Handler._file", lambda handler, repo, name: handler._answer(403, b""))
        message = refusal(T5TextEncoder)
    assert message.startswith(f"model.safetensors of {T5} could not be downloaded") and "Run it again" in message


def test_a_cache_with_a_shard_missing_is_told_with_the_remedy_and_completed_by_the_hub(tmp_path, online):
    folder = tmp_path / "published"
    folder.mkdir()
    state = {"a": torch.ones(2), "b": torch.ones(3)}
    for name, tensor in state.items():
        save_file({name: tensor}, folder / f"model-{name}.safetensors")
    index = {"weight_map": {name: f"model-{name}.safetensors" for name in state}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with serve({"some/model": folder}) as stand_in:
        online(stand_in.url)
        checkpoint = find_checkpoint("some/model", "Ask")
        assert checkpoint.state().keys() == state.keys() and checkpoint.origin == "some/model"
        checkpoint.files[1].unlink()
        found = hub.HubModel("some/model", failure="no network")
        assert found.fetch("model-b.safetensors") is None and found.fetch("model-a.safetensors")
        checkpoint = find_checkpoint("some/model", "Ask")
    checkpoint.files[1].unlink()
    online("http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="names the shard model-b.safetensors, which is missing. Ask"):
        find_checkpoint("some/model", "Ask")


def test_the_hubs_cache_of_a_model_is_refused_with_the_snapshot_in_it(t5, tmp_path, online):
    with serve({T5: t5}) as stand_in:
        online(stand_in.url)
        T5TextEncoder()
    whole = tmp_path / "cache/models--google--flan-t5-base"
    snapshot = re.search(r"take the snapshot in it, (\S+)$", refusal(lambda: T5TextEncoder(str(whole))))[1]
    assert T5TextEncoder(snapshot).encode(["calm piano"]).mask.sum() == 3
    assert snapshot in refusal(lambda: load_tokenizer(str(whole), 10, False))
    assert T5TextEncoder(f"{snapshot}/").dim == 32


def test_a_model_that_needs_a_login_is_said_to(online):
    with serve({}, 401) as stand_in:
        online(stand_in.url)
        assert "hf auth login" in open_model("somebody/private").failure


def test_weights_of_another_name_are_fetched_in_the_formats_that_are_read():
    way = Published("some/model", ("config.json", "model.safetensors"))
    words = commands(remedy("another/model", way))[0]
    assert words[:3] == ["hf", "download", "another/model"]
    assert all(commands(remedy(nothing, way))[0][2] == "some/model" for nothing in (None, "", " "))
    assert words[4::2] == ["config.json", "model*.safetensors*", "pytorch_model*.bin*"]
