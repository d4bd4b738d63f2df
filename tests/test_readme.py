"""What README tells to type works: every command names a script, a config and options that there are."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from diffgar.cli import to_hydra
from diffgar.commandline.composing import register_tasks

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w*\n(.*?)```", README, re.S)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = sorted({part for line in LINES for part in re.findall(r"python \w+\.py[^&|;]*", line)})
DEFAULTS = {
    "train_ldm.py": "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small",
    "extract_dataset.py": "extract_features/demo/extract_demo",
    "eval_retrieval.py": "eval_retrieval",
    "eval_fidelity.py": "eval_fidelity",
}


def test_readme_has_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes(command):
    _, script, *words = shlex.split(command)
    assert (ROOT / script).is_file()
    words = to_hydra(words, ("task", "model_name", "model_step"))
    name = words[words.index("--config-name") + 1] if "--config-name" in words else DEFAULTS[script]
    folder = Path(words[words.index("--config-dir") + 1]) if "--config-dir" in words else ROOT / "config"
    if not folder.is_dir():
        pytest.skip(f"{folder} is made by training")
    overrides = OverridesParser.create().parse_overrides([w for w in words if "=" in w or w.startswith("~")])
    firsts = [next(o.sweep_string_iterator()) if o.is_sweep_override() else None for o in overrides]
    lines = [f"{o.key_or_group}={first}" if first else o.input_line for o, first in zip(overrides, firsts, strict=True)]
    assert ("-m" in words) == any(firsts)
    register_tasks()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        compose(name, lines)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)|`([\w/]+/[\w./]*\.\w+)`", README))))
def test_a_file_that_readme_names_exists(path):
    assert (ROOT / (path[0] or path[1])).exists()


def test_the_second_command_is_what_ci_runs():
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in README.splitlines() if "python -m pytest" in line]
    assert lines == ["pip install -r requirements.txt && python -m pytest"]


def test_the_encoder_that_readme_shows_keeps_the_contract(tmp_path, monkeypatch):
    code, pair = (re.search(rf"```{kind}\n(.*?)```", README, re.S)[1] for kind in ("python", "yaml"))
    (tmp_path / "my_encoders.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    config = OmegaConf.create(pair)
    audio, text = instantiate(config.audio_encoder), instantiate(config.text_encoder)
    assert (audio.dim, text.dim) == (config.latent_dim, config.text_dim)
    assert (audio.name, text.name) == (config.audio_name, config.text_name)
    windows = torch.randn(5, int(audio.window_seconds * audio.sample_rate))
    together, alone = audio.encode(windows), torch.cat([audio.encode(window[None]) for window in windows])
    assert together.shape == (5, config.latent_dim)
    assert torch.allclose(together, alone, atol=1e-4)
