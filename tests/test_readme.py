"""What README and docs/ tell to type works, what they name is there, and the code that they show does what they say."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pages import PAGES, README, ROOT, anchors, blocks, commands, example_configs, prose, text_of
from scripts import SMALL, invoke, places

from diffgar.app.start import read_options
from diffgar.cli import to_hydra
from diffgar.commandline import search_words
from diffgar.commandline.composing import compose, register_tasks
from diffgar.evaluation.control import method, methods
from diffgar.evaluation.control.answers import Avoided
from diffgar.text_states import TextStates

DOCS = ROOT / "docs"
TYPED = sorted({command for page in PAGES for command in commands(page)})
SEARCHES = [command for command in TYPED if command.startswith("python search.py")]
COMMANDS = [command for command in TYPED if command not in SEARCHES]  # Hydra's
LINKS = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]
NAMED = sorted({name for page in PAGES for name in re.findall(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?)`", prose(page))})
DEFINED = re.compile(r"`(\w+)` in `([\w/]+\.py)`")
MADE = ("checkpoints/", "data/", "logs/", "results/", "laion/", "google/", "matteospanio/")  # by running; hub names
LEAVES = ROOT / "config/train_ldm/model/encoder_pair/demo"  # which tables of results name without it
DEFAULTS = {
    "train_ldm.py": "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small",
    "extract_dataset.py": "extract_features/demo/extract_demo",
    "eval_retrieval.py": "eval_retrieval",
    "eval_fidelity.py": "eval_fidelity",
}


def name_of(value):
    return value.name if isinstance(value, Path) else str(value)


def test_readme_is_short_and_begins_with_the_main_job():
    lines = text_of(README).splitlines()
    first = next(number for number, line in enumerate(lines, 1) if "python train_ldm.py" in line)
    assert len(lines) <= 130
    assert lines[first - 1].partition("#")[0].strip() == "pip install -r requirements.txt && python train_ldm.py"
    assert first <= 15 and "python -m pytest" in lines[first]


def test_the_second_command_is_what_ci_runs():
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text_of(README).splitlines() if "python -m pytest" in line]
    assert lines == ["pip install -r requirements.txt && python -m pytest"]


def test_readme_links_to_every_page_or_to_one_that_does():
    linked = {README.resolve()}
    for _ in PAGES:
        linked |= {(page.parent / link.partition("#")[0]).resolve() for page, link in LINKS if page.resolve() in linked}
    assert not [page.name for page in PAGES if page.resolve() not in linked]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = example_configs(tmp_path_factory.mktemp("examples"))
    register_tasks([folder])
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes(command, examples):
    _, script, *words = shlex.split(command)
    assert (ROOT / script).is_file()
    if script == "app.py":  # none of Hydra's
        assert read_options(words).model
        return
    words = to_hydra(words, ("task", "model_name", "model_step"))
    name = words[words.index("--config-name") + 1] if "--config-name" in words else DEFAULTS[script]
    overrides = OverridesParser.create().parse_overrides([w for w in words if "=" in w or w.startswith("~")])
    firsts = [next(o.sweep_string_iterator()) if o.is_sweep_override() else None for o in overrides]
    lines = [f"{o.key_or_group}={first}" if first else o.input_line for o, first in zip(overrides, firsts, strict=True)]
    launched = any(word.startswith("hydra/launcher=") for word in words)  # one job too is launched by -m alone
    assert ("-m" in words) == (launched or any(firsts))
    assert compose(name, lines, [examples]).get("paths")


@pytest.mark.parametrize("command", SEARCHES)
def test_a_search_is_understood(command, tmp_path, monkeypatch):
    (tmp_path / "music").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert search_words.read("", shlex.split(command)[2:]).k


@pytest.mark.parametrize(
    "name", sorted({n for p in PAGES for n in re.findall(r"python -m (benchmarks\.\w+)", text_of(p))})
)
def test_a_benchmark_that_is_named_is_there(name):
    assert importlib.util.find_spec(name)


@pytest.mark.parametrize(("page", "link"), LINKS, ids=name_of)
def test_a_link_leads_somewhere(page, link):
    place, _, heading = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    assert target.is_file()
    assert not heading or heading in anchors(target)


@pytest.mark.parametrize("name", [name for name in NAMED if not name.startswith(MADE)])
def test_a_file_or_folder_that_is_named_is_there(name):
    assert any((place / name).exists() for place in (ROOT, LEAVES, ROOT / "docs"))


@pytest.mark.parametrize(("name", "path"), sorted({pair for page in PAGES for pair in DEFINED.findall(text_of(page))}))
def test_a_definition_that_is_named_is_in_its_file(name, path):
    assert re.search(rf"^ *(def|class) {name}\b|^{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.M)


def test_the_tree_has_every_folder_of_the_package_and_no_other():
    tree = blocks(DOCS / "architecture.md")[0].partition("\ndiffgar/\n")[2]
    there = {path.parent.name for path in (ROOT / "diffgar").rglob("__init__.py")} - {"diffgar"}
    assert there == set(re.findall(r"^ +(\w+)/(?: |$)", tree, re.M))
    files = {path.name for path in (ROOT / "diffgar").rglob("*.py")}
    assert set(re.findall(r"\w+\.py", tree)) <= files


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_that_is_shown_is_python(page):
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}, block {number}", "exec")


def test_the_python_of_readme_searches_with_a_trained_demo(tmp_path, monkeypatch, capsys):
    invoke("train_ldm.py", *SMALL, "~task", *places(tmp_path))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(blocks(README, "python")[0], names)
    assert names["library"].index.shape == (24, 128)
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"\d 100.0|\d \d\d\.\d", line)]
    assert [line[0] for line in lines] == ["1", "2", "3", "4", "5"]


def test_the_dataset_that_is_shown_is_read(tmp_path, monkeypatch):
    page = DOCS / "your_dataset.md"
    (tmp_path / "captions.csv").write_text(blocks(page, "")[0], encoding="utf-8")
    monkeypatch.setenv("MY_MUSIC", str(tmp_path))
    config = OmegaConf.merge({"paths": {"data": "data"}}, OmegaConf.create(blocks(page, "yaml")[0]))
    dataset = instantiate({name: value for name, value in config.items() if name != "paths"})
    assert (dataset.name, len(dataset), len(dataset.captions)) == ("my_music", 2, 3)


def shown(page: str, folder: Path, monkeypatch) -> OmegaConf:
    """The first module that a page shows, made importable, and the YAML beside it."""
    code, config = (blocks(DOCS / page, kind)[0] for kind in ("python", "yaml"))
    (folder / re.match(r"# (\w+\.py)", code)[1]).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return OmegaConf.create(config)


def test_the_encoder_that_is_shown_keeps_the_contract(tmp_path, monkeypatch):
    config = shown("your_encoder.md", tmp_path, monkeypatch)
    audio, text = instantiate(config.audio_encoder), instantiate(config.text_encoder)
    assert (audio.dim, text.dim) == (config.latent_dim, config.text_dim)
    assert (audio.name, text.name) == (config.audio_name, config.text_name)
    windows = torch.randn(5, int(audio.window_seconds * audio.sample_rate))
    together, alone = audio.encode(windows), torch.cat([audio.encode(window[None]) for window in windows])
    assert together.shape == (5, config.latent_dim)
    assert torch.allclose(together, alone, atol=1e-4)


@torch.no_grad()
def test_the_backbone_that_is_shown_keeps_the_contract(tmp_path, monkeypatch):
    config = OmegaConf.merge(
        {"encoder_pair": {"latent_dim": 6, "text_dim": 5}}, shown("your_backbone.md", tmp_path, monkeypatch)
    )
    torch.manual_seed(0)
    sizes = {"latent_dim": config.latent_dim, "text_dim": config.text_dim, "width": 16, "depth": 2, "num_heads": 2}
    backbone = instantiate({"_target_": config._target_, **sizes})
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    latents = torch.randn(2, 7, 6) * mask.unsqueeze(-1)
    text = TextStates(torch.randn(2, 3, 5), torch.tensor([[True] * 3, [True] * 2 + [False]]))
    second = TextStates(text.hidden_states[1:, :2], text.mask[1:, :2])
    timesteps = torch.tensor([10, 900])
    prediction = backbone(latents, timesteps, text, mask)
    short = backbone(latents[1:, :4], timesteps[1:], second)
    assert prediction.shape == (2, 7, 6)
    torch.testing.assert_close(prediction[1:, :4], short, atol=1e-5, rtol=1e-5)  # padding changes nothing
    order = torch.tensor([1, 0, 2, 3])
    moved = backbone(latents[1:, order], timesteps[1:], second)
    assert not torch.allclose(moved, short[:, order], atol=1e-3)  # it knows where a frame stands


def test_the_metric_that_is_shown_has_the_values_that_are_told():
    names: dict = {}
    exec(blocks(DOCS / "your_metric.md", "python")[0], names)
    np.testing.assert_allclose(names["discounted_gain"](np.array([1.0, 3.0])), [100, 50])


def test_the_steering_method_that_is_shown_removes_what_points_along_the_value(monkeypatch):
    monkeypatch.setattr(method, "METHODS", dict(method.METHODS))  # where it registers
    names = dict(vars(methods))
    exec(blocks(DOCS / "your_steering_method.md", "python")[0], names)
    plain, avoided = (F.normalize(torch.randn(2, 3, 8), dim=-1) for _ in range(2))
    bench = SimpleNamespace(plain=lambda: plain, avoided=lambda: Avoided(avoided.unsqueeze(0), torch.ones(1)))
    answers = {w: names["Projection"]().answer(bench, {"weight": w}).queries for w in (0, 1)}
    torch.testing.assert_close(answers[0], plain)
    torch.testing.assert_close((answers[1] * avoided).sum(dim=-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
