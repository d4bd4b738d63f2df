"""Every YAML under config/ composes, and what a leaf says of itself is true."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
BASES = {"train_ldm.yaml", "extract_dataset.yaml", "eval_retrieval.yaml", "eval_fidelity.yaml"}
ALL = sorted(path.relative_to(CONFIG) for path in CONFIG.rglob("*.yaml") if path.name != "roots.yaml")
LEAVES = [path for path in ALL if path.parts[0] == "extract_features" or path.parts[:2] == ("train_ldm", "model")]
GROUPS = [path for path in ALL if path not in LEAVES and path.name not in BASES and path.parts[0] != "train_ldm"]


def composed(name: str, overrides=()):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.mark.parametrize("path", [*sorted(BASES), *LEAVES], ids=str)
def test_a_whole_config_composes_and_resolves(path):
    cfg = composed(Path(path).with_suffix("").as_posix())
    with open_dict(cfg):
        cfg.model_name = "name"  # the bases leave it to their leaves
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("path", GROUPS, ids=str)
def test_a_choice_composes_in_its_script(path):
    group, choice = path.parent.as_posix(), path.stem
    base = {"control": "eval_retrieval", "sampler": "eval_retrieval"}.get(group, "train_ldm")
    names = ["task.name=name", "task.dataset=name"] if (group, choice) == ("task", "dataset") else []
    cfg = composed(base, ["model_name=name", f"{group}={choice}", *names])
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("path", LEAVES, ids=str)
def test_a_leaf_is_short_and_its_second_line_runs_it(path):
    lines = (CONFIG / path).read_text(encoding="utf-8").splitlines()
    script = "extract_dataset" if path.parts[0] == "extract_features" else "train_ldm"
    assert lines[0] == "# @package _global_"
    assert lines[1] == f"# python {script}.py --config config/{path}"
    assert len(lines) <= 15


@pytest.mark.parametrize("path", [p for p in LEAVES if p.name.startswith("train_ldm_")], ids=str)
def test_a_leafs_path_tells_the_truth(path):
    cfg = composed(path.with_suffix("").as_posix())
    _, _, _, pair, backbone, name = path.with_suffix("").parts
    prediction, size = re.fullmatch(r"train_ldm_(\w+)_pred_(\w+)", name).groups()
    assert cfg.encoder_pair.name == pair
    assert cfg.backbone._target_.lower().endswith(f".{backbone}")
    assert cfg.objective.prediction_type == {"v": "v_prediction"}.get(prediction, prediction)
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        chosen = compose(path.with_suffix("").as_posix(), return_hydra_config=True).hydra.runtime.choices["backbone"]
    assert chosen == f"{backbone}_{size}"


def test_a_dimension_is_said_once():
    cfg = composed("train_ldm", ["model_name=name", "encoder_pair.latent_dim=77"])
    assert cfg.backbone.latent_dim == 77
