"""Every YAML under config/ composes, and what a leaf says of itself is true."""

import re
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
SCRIPTS = {"train_ldm": "train", "extract_dataset": "extract", "eval_retrieval": "eval", "eval_fidelity": "eval"}
BASES = {f"{name}.yaml" for name in SCRIPTS}
TEXTS = {path.relative_to(CONFIG).as_posix() for path in CONFIG.glob("encoder_pair/text/*.yaml")}
PARTS = {"base.yaml", *TEXTS}  # what others are made of, and nobody chooses
ALL = sorted(path.relative_to(CONFIG) for path in CONFIG.rglob("*.yaml") if path.name != "roots.yaml")
LEAVES = [path for path in ALL if path.parts[0] == "extract_features" or path.parts[:2] == ("train_ldm", "model")]
WHOLE = [*BASES, *PARTS, *map(Path.as_posix, LEAVES)]
OF_PURPOSES = [path for path in LEAVES if path.parent.name == "purposes"]
GROUPS = [path for path in ALL if path.as_posix() not in WHOLE and path.parts[0] != "train_ldm"]


def composed(name: str, overrides=(), **how):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        return compose(name, list(overrides), **how)


@pytest.mark.parametrize("path", [*sorted(BASES), *LEAVES], ids=str)
def test_a_whole_config_composes_and_resolves(path):
    cfg = composed(Path(path).with_suffix("").as_posix())
    with open_dict(cfg):
        cfg.model_name = "name"  # the bases leave it to their leaves
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("path", GROUPS, ids=str)
def test_a_choice_composes_in_its_script(path):
    group, choice = path.parent.as_posix(), path.stem
    base = {"control": "eval_retrieval", "sampler": "eval_retrieval", "overlap": "eval_fidelity"}.get(
        group, "train_ldm"
    )
    names = ["task.name=name", "task.dataset=name"] if group == "task" and choice in ("dataset", "graded") else []
    names += ["task.qrels=qrels.csv"] * (choice == "graded")
    cfg = composed(base, ["model_name=name", f"{group}={choice}", *names])
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("path", LEAVES, ids=str)
def test_a_leaf_only_chooses_is_short_and_its_second_line_runs_it(path):
    lines = (CONFIG / path).read_text(encoding="utf-8").splitlines()
    script = "extract_dataset" if path.parts[0] == "extract_features" else "train_ldm"
    assert lines[0] == "# @package _global_"
    assert lines[1] == f"# python {script}.py --config config/{path}"
    assert len(lines) <= 15
    assert not [line for line in lines if "_target_" in line]


def test_a_file_begins_with_what_it_is():
    for path in ALL:
        lines = (CONFIG / path).read_text(encoding="utf-8").splitlines()
        assert lines[lines[0] == "# @package _global_"].startswith("# "), path


@pytest.mark.parametrize(
    "path", [p for p in LEAVES if p.name.startswith("train_ldm_") and p not in OF_PURPOSES], ids=str
)
def test_a_leafs_path_tells_the_truth(path):
    cfg = composed(path.with_suffix("").as_posix())
    _, _, _, pair, backbone, name = path.with_suffix("").parts
    prediction, size = re.fullmatch(r"train_ldm_(\w+)_pred_(\w+)", name).groups()
    assert cfg.encoder_pair.name == pair
    assert cfg.backbone._target_.lower().endswith(f".{backbone}")
    assert cfg.objective.prediction_type == {"v": "v_prediction"}.get(prediction, prediction)
    choices = composed(path.with_suffix("").as_posix(), return_hydra_config=True).hydra.runtime.choices
    assert choices["backbone"] == f"{backbone}_{size}"


@pytest.mark.parametrize("path", [p for p in LEAVES if p.parent.name == "baselines"], ids=str)
def test_a_baselines_path_tells_the_truth(path):
    cfg = composed(path.with_suffix("").as_posix())
    assert cfg.encoder_pair.name == path.parts[3]
    module = path.stem.removesuffix("_segments")
    assert cfg.module._target_ == composed("train_ldm", [f"module={module}"]).module._target_


@pytest.mark.parametrize("path", OF_PURPOSES, ids=str)
def test_a_leaf_of_the_purposes_is_the_demos_leaf_of_that_name_on_the_purposes(path):
    same = next(
        p for p in LEAVES if p.name == path.name and p.parent.name in ("unet", "baselines") and p.parts[3] == "demo"
    )
    cfg, demo = (OmegaConf.to_container(composed(p.with_suffix("").as_posix())) for p in (path, same))
    assert (cfg["data"]["name"], cfg["task"]["name"], cfg["task"]["dataset"]) == ("purposes",) * 3
    assert cfg["prepare"].pop("_target_") == "diffgar.demo.purposes.write_purposes"
    assert demo["prepare"].pop("_target_") == "diffgar.demo.collection.write_collection"
    own = ("data", "task", "model_name")
    assert [name for name in demo if cfg[name] != demo[name]] == [name for name in demo if name in own]


def test_each_leaf_trains_a_model_of_its_own_name():
    names = [OmegaConf.load(CONFIG / path).model_name for path in LEAVES if path.parts[0] == "train_ldm"]
    assert len(set(names)) == len(names)


def test_a_dimension_is_said_once():
    cfg = composed("train_ldm", ["model_name=name", "encoder_pair.latent_dim=77", "encoder_pair.text_dim=33"])
    assert (cfg.backbone.latent_dim, cfg.datamodule.expect.audio.dim) == (77, 77)
    assert (cfg.backbone.text_dim, cfg.datamodule.expect.text.dim) == (33, 33)
    numbers = re.compile(r"^\s*(latent_dim|text_dim): *\d", re.M)
    with_numbers = {path.parts[0] for path in ALL if numbers.search((CONFIG / path).read_text(encoding="utf-8"))}
    assert with_numbers == {"encoder_pair"}


@pytest.mark.parametrize(("script", "folder"), [*SCRIPTS.items(), ("train_ldm/demo_encoder", "train")])
def test_hydras_record_of_a_run_lies_under_logs(script, folder):
    settings = composed(script, ["paths.logs=place"], return_hydra_config=True).hydra
    for place in (settings.run.dir, settings.sweep.dir):
        assert re.fullmatch(rf"place/hydra/{folder}/[\d-]+_[\d-]+", place)
    assert settings.job_logging.root.level == "WARNING"


def test_the_local_roots_are_merged_over_every_script(tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    local = tmp_path / "config/train_ldm/data/local"
    (local / "roots.yaml").write_text("paths: {data: /my/place}\ntrainer: {devices: 3}\n", encoding="utf-8")
    for name in (*SCRIPTS, "train_ldm/demo_encoder", LEAVES[0].with_suffix("").as_posix()):
        with initialize_config_dir(str(tmp_path / "config"), version_base="1.3"):
            cfg = compose(name, ["paths.logs=elsewhere"])
        assert (cfg.paths.latents, cfg.paths.logs) == ("/my/place/latents", "elsewhere")
    example = OmegaConf.load(local / "example.yaml")
    assert set(example.paths) <= set(composed("eval_retrieval").paths)
