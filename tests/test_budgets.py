"""How long files and functions may be, and how many arguments these may have: beyond that they hold several ideas."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = [*sorted((ROOT / "diffgar").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]
SCRIPTS = sorted(ROOT.glob("*.py"))
BACKBONES = ROOT / "diffgar" / "models" / "backbones"
FUNCTION = 40  # lines from `def` to the last, the docstring among them


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_at_most_200_lines_and_a_backbone_250(path):
    assert lines_of(path) <= (250 if path.parent == BACKBONES else 200)


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=name_of)
def test_a_function_has_at_most_40_lines_with_its_docstring(path):
    assert not [node.name for node in functions_of(path) if node.end_lineno - node.lineno + 1 > FUNCTION]


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=name_of)
def test_a_function_has_at_most_8_arguments_but_for_a_backbones_sizes(path):
    for function in functions_of(path):
        if path.parent == BACKBONES and function.name == "__init__":
            continue  # one argument per size, each a key of its YAML
        arguments = function.args
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        assert len([name for name in names if name not in ("self", "cls")]) <= 8, function.name


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_has_at_most_80_lines(path):
    assert lines_of(path) <= 80


def test_readme_has_at_most_130_lines():
    assert lines_of(ROOT / "README.md") <= 130
