"""Who may import whom (the import rules that keep the parts apart)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "diffgar").rglob("*.py")) + sorted(ROOT.glob("*.py"))
LIGHTNING = {"callbacks.py", "latent_module.py", "ema.py", "datamodule.py", "training.py", "windows.py"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_import_rules_hold(path):
    names, relative = imported(path), path.relative_to(ROOT)
    if relative.parts[:2] == ("diffgar", "models"):
        assert not [n for n in names if n.startswith(("diffgar.dataloading", "diffgar.evaluation"))]
    if relative.parts[:2] == ("diffgar", "dataloading"):
        assert not [n for n in names if n.startswith(("diffgar.models", "diffgar.evaluation"))]
    if relative.parts[:2] != ("diffgar", "demo"):
        assert not [n for n in names if n.startswith("diffgar.demo")]
    if relative.parts[0] == "diffgar" and path.name != "cli.py" and relative.parts[1] != "commandline":
        assert not [n for n in names if n.split(".")[0] == "hydra"]
    if relative.parts[0] == "diffgar" and path.name not in LIGHTNING:
        assert not [n for n in names if n.startswith(("pytorch_lightning", "lightning"))]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_ctrl_c_is_one_line_from_a_scripts_first_import_on(path):
    tops = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Import)]
    assert tops[0].names[0].name == "diffgar.interrupts"
    program = "import sys, diffgar.interrupts; assert not {'hydra', 'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_importing_the_package_is_light():
    program = "import sys, diffgar; assert not {'transformers', 'wandb', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_an_encoders_own_adapter_needs_transformers(path):
    if "encoders" not in path.parts:
        tops = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        source = "\n".join(ast.unparse(node) for node in tops)
        assert "transformers" not in source and "wandb" not in source
