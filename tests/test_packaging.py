"""What is installed is what the repository has: the lists of requirements agree, and a wheel works by itself."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

import diffgar
from diffgar.evaluation.reports import versions

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
ELSEWHERE = """
from pathlib import Path
import sys
import diffgar
from diffgar.commandline import CONFIG_ROOT, hits_table, messages, search, search_words
from diffgar.commandline.composing import compose
from diffgar.demo.encoder import WEIGHTS
from diffgar.evaluation.reports.layout import STYLE
from diffgar.evaluation.reports.paper import PUBLISHED
from diffgar.publishing.card import TEMPLATE

site = Path(sys.argv[1])
for path in (Path(diffgar.__file__), CONFIG_ROOT, WEIGHTS, PUBLISHED, STYLE, TEMPLATE):
    assert path.exists() and path.is_relative_to(site), path
assert messages.is_ours(Path(diffgar.__file__)) and not messages.is_ours(site / "another.py")
assert search_words.read(search.__doc__, ["piano"]).caption == "piano" and hits_table.clock(65) == "1:05"
cfg = compose("train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small", ["objective=epsilon"])
print(cfg.encoder_pair.name, cfg.objective.prediction_type)
"""


def listed() -> dict[str, list[str]]:
    """The lines of requirements.txt below each of its headings; the first ones have none."""
    found, heading = {"": []}, ""
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            found[heading := line] = []
        elif requirement := line.partition("#")[0].strip():
            found[heading].append(requirement)
    return found


def test_requirements_and_the_package_ask_for_the_same_versions():
    needed, chosen, tested = listed().values()
    assert needed == PROJECT["dependencies"]
    assert sorted(chosen) == sorted(EXTRAS["wandb"] + EXTRAS["cluster"])
    assert ["diffgar[cluster,wandb]", *tested] == EXTRAS["test"]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in needed + chosen + tested)


def test_the_app_asks_for_the_same_versions_and_is_tested_with_one_browser_driver():
    lines = (ROOT / "requirements-app.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("#")[0].strip() for line in lines if not line.startswith("#")] == EXTRAS["app"]
    itself, driver = EXTRAS["app-test"]
    assert itself == "diffgar[app]" and driver in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_what_a_developer_has_is_what_is_tested_and_a_little_more():
    assert EXTRAS["dev"][0] == "diffgar[test]"
    assert not {line.partition("=")[0] for line in EXTRAS["dev"]} & {line.partition("=")[0] for line in EXTRAS["test"]}


def test_the_tools_know_the_oldest_python_that_is_asked_for():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest


def test_types_are_checked_strictly_where_nothing_else_is_said():
    assert PYPROJECT["tool"]["mypy"]["strict"] and PYPROJECT["tool"]["mypy"]["files"] == ["diffgar"]
    assert "python -m mypy\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (diffgar.__version__, PROJECT["license"])
    assert "2506.17886" in citation["preferred-citation"]["url"]


def test_the_changelog_has_this_version_and_paths_that_are_there():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions_told = re.findall(r"^## \[(.+?)\]", text, re.M)
    assert versions_told[:2] == ["Unreleased", diffgar.__version__]
    unreleased = text.partition(f"## [{diffgar.__version__}]")[0]
    moved = [row.split("|")[2].replace("`", "").split(",") for row in unreleased.splitlines() if "`diffgar." in row]
    assert len(moved) > 5
    for first, *more in moved:
        module = first.strip().rpartition(".")[0]
        for path in (first.strip(), *(module + name.strip() for name in more)):
            get_object(path)


def test_hooks_before_a_commit_are_this_environments_own_tools():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    tools = {line.partition("=")[0] for line in EXTRAS["test"]}
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith("python -m ") and hook["entry"].split()[2] in tools


def test_the_commit_of_another_repository_is_not_told_as_ours(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "venv").mkdir()
    monkeypatch.setattr(versions, "REPOSITORY", tmp_path / "venv")
    assert versions.versions()["commit"] is None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling", reason="without hatchling (requirements.txt) no wheel is built")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_a_wheel_has_the_package_its_weights_and_the_configs_and_nothing_else(wheel):
    assert wheel.name.startswith(f"diffgar-{diffgar.__version__}-py3")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "diffgar", "config"]
    files = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    there = [file for file in files if (ROOT / file).is_file()]
    expected = {f"diffgar/{file}" if file.startswith("config/") else file for file in there}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {"diffgar/demo/encoder.safetensors", "diffgar/config/train_ldm.yaml"} <= packed


def test_an_installed_wheel_composes_its_own_configs_in_another_folder(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    program = f"import sys; sys.path.insert(0, sys.argv[1])\n{ELSEWHERE}"
    command = [sys.executable, "-I", "-c", program, str(site)]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["demo", "epsilon"], 0), done.stderr
