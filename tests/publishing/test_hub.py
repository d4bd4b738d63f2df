"""A model goes to a hub and comes back the same; what a hub refuses becomes a sentence. The hub is a stand-in here."""

import shutil
from unittest import mock

import httpx
import pytest
import torch
from hub_stand_in import COMMIT, point_at, serve
from huggingface_hub import HfApi, RepoUrl, constants
from huggingface_hub.errors import HfHubHTTPError
from pages import ROOT, blocks
from untrained import write_training

from diffgar import Retriever
from diffgar.checkpoints import CheckpointError
from diffgar.publishing.hub import HubError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Retriever.from_pretrained(write_training(tmp_path_factory.mktemp("hub") / "small"))


@pytest.fixture
def online(monkeypatch, tmp_path):
    """Makes this process one with a network, whose hub is at a URL, and whose cache is empty."""

    monkeypatch.chdir(tmp_path)
    return lambda url: point_at(url, tmp_path / "cache", monkeypatch)


@pytest.fixture
def api(monkeypatch, tmp_path):
    """In the place of the hub's client one of the same methods, which copies what is uploaded to `tmp_path/remote`."""
    client = mock.create_autospec(HfApi, instance=True)
    client.create_repo.side_effect = lambda repo, **options: RepoUrl(
        f"https://hub.test/{repo}", endpoint="https://hub.test"
    )

    def copy(*, folder_path, **options):
        shutil.copytree(folder_path, tmp_path / "remote")

    client.upload_folder.side_effect = copy
    monkeypatch.setattr("huggingface_hub.HfApi", mock.Mock(return_value=client))
    return client


def test_a_model_that_was_pushed_comes_back_the_same(model, api, online, tmp_path, monkeypatch):
    assert model.push_to_hub("someone/small", private=True, token="a token") == "https://hub.test/someone/small"
    api.create_repo.assert_called_once_with("someone/small", private=True, exist_ok=True)
    assert api.upload_folder.call_args.kwargs["repo_id"] == "someone/small"
    assert 'from_pretrained("someone/small")' in (tmp_path / "remote/README.md").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remote/pytorch_model.bin").write_bytes(b"a pickle")
    with serve({"someone/small": tmp_path / "remote"}) as hub:
        online(hub.url)
        found = Retriever.from_pretrained("someone/small")
        assert sorted(hub.files()) == ["README.md", "config.json", "model.safetensors", "phrases.json"]
        online("http://127.0.0.1:9")  # closed: the cache serves
        again = Retriever.from_pretrained("someone/small", revision=COMMIT)
    for other in (found, again):
        assert torch.equal(other.encode_query("a piano"), model.encode_query("a piano"))


def test_a_card_that_was_completed_is_pushed(model, api, tmp_path):
    saved = model.save_pretrained(tmp_path / "saved")
    (saved / "README.md").write_text('by hand: Retriever.from_pretrained("USER/MODEL")')
    Retriever.from_pretrained(saved).push_to_hub("someone/small")
    assert (tmp_path / "remote/README.md").read_text() == 'by hand: Retriever.from_pretrained("someone/small")'


@pytest.mark.parametrize(("status", "remedy"), [(401, "log in with"), (403, "log in with"), (500, "try again later")])
def test_a_hub_that_refuses_a_download_is_told_of_in_a_sentence(online, tmp_path, status, remedy):
    with serve({"someone/small": tmp_path}, status) as hub:
        online(hub.url)
        with pytest.raises(
            HubError, match=f"small could not be downloaded.*the hub answered with status {status}; {remedy}"
        ):
            Retriever.from_pretrained("someone/small")


def test_a_name_that_the_hub_does_not_know_and_a_model_of_another_package_are_refused(online, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README.md").write_text("a model of another package")
    with serve({"someone/other": tmp_path / "other"}) as hub:
        online(hub.url)
        with pytest.raises(
            HubError, match="no such folder here, and the hub has no such model, or a private one, which"
        ):
            Retriever.from_pretrained("someone/small")
        with pytest.raises(
            CheckpointError, match="someone/other: no trained model on the hub under this name; train one"
        ):
            Retriever.from_pretrained("someone/other")


def test_without_a_network_the_way_out_is_told(online, tmp_path, monkeypatch):
    online("http://127.0.0.1:9")
    with pytest.raises(
        HubError, match="not in the hub's cache here; the hub cannot be reached: try again with a network"
    ):
        Retriever.from_pretrained("someone/small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="not in the hub's cache here; HF_HUB_OFFLINE is set: unset it"):
        Retriever.from_pretrained("someone/small")


@pytest.mark.parametrize("name", ["checkpoints/demmo", "small", "/no/where", "./someone/small", "a/b/c"])
def test_a_path_is_asked_of_nobody(online, tmp_path, name):
    (tmp_path / "checkpoints").mkdir()
    with serve({}) as hub:
        online(hub.url)
        with pytest.raises(CheckpointError, match="no trained model in this folder; train one with train_ldm.py"):
            Retriever.from_pretrained(name)
    assert not hub.asked


def test_what_the_hub_refuses_of_an_upload_is_told_of_in_a_sentence(model, api):
    answer = httpx.Response(403, request=httpx.Request("POST", "https://hub.test"))
    api.create_repo.side_effect = HfHubHTTPError("forbidden", response=answer)
    with pytest.raises(HubError, match="someone/small could not be uploaded: the hub answered with status 403; log in"):
        model.push_to_hub("someone/small")
    with pytest.raises(HubError, match="'small' is no name of a model on the hub: write owner/model"):
        model.push_to_hub("small")


def test_the_page_on_publishing_does_what_it_says(api, online, tmp_path, monkeypatch):
    code = blocks(ROOT / "docs/publishing.md", "python")
    write_training(tmp_path / "checkpoints/demo")
    for block in code[:2]:
        exec(block, {})
    assert 'from_pretrained("someone/demo")' in (tmp_path / "remote/README.md").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with serve({"someone/demo": tmp_path / "remote"}) as hub:
        online(hub.url)
        exec(code[2], names)
    assert names["retriever"].encode_query("a piano").isfinite().all()
