"""Whatever others may call says what it does."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for pattern in ("*.py", "diffgar/**/*.py", "benchmarks/*.py") for path in sorted(ROOT.glob(pattern))]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_definitions(nodes: Iterable[ast.AST], above: str = "") -> Iterator[tuple[str, Definition]]:
    """Each class, function and method without a leading underscore in its name or in that of a class around it.

    Not those inside functions, and not overloads, which share the docstring of what they overload.
    """
    for node in nodes:
        if not isinstance(node, Definition):
            yield from public_definitions(ast.iter_child_nodes(node), above)  # such as `if` at the top of a file
        elif not node.name.startswith("_") and not any("overload" in ast.unparse(d) for d in node.decorator_list):
            yield above + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{above}{node.name}.")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_and_its_public_definitions_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    found = public_definitions(tree.body)
    assert not [name for name, node in found if not ast.get_docstring(node) and not inherits(name, tree)]


@functools.cache
def classes() -> dict[str, ast.ClassDef]:
    """The classes of the package by name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    return {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def inherits(name: str, tree: ast.Module) -> bool:
    """Whether a method takes the place of one that a class of the package above its own has with a docstring."""
    *above, method = name.split(".")
    own = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and above and node.name == above[-1]]
    return any(documents(base, method) for node in own for base in node.bases)


def documents(base: ast.expr, method: str) -> bool:
    """Whether a base class, or one above it, has a docstring for a method."""
    node = classes().get(ast.unparse(base).rpartition(".")[2])
    if node is None:
        return False
    own = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == method]
    return any(map(ast.get_docstring, own)) or any(documents(above, method) for above in node.bases)


def test_what_counts_as_public():
    source = """
class A:
    def method(self): ...
    def _hidden(self): ...
    def __len__(self): ...
    @typing.overload
    def many(self): ...
class _B:
    def method(self): ...
if True:
    def function():
        def inner(): ...
"""
    assert [name for name, _ in public_definitions(ast.parse(source).body)] == ["A", "A.method", "function"]
