"""Who may import whom (the import rules that keep the parts apart)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "diffgar").rglob("*.py")) + sorted(ROOT.glob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
CONFIGS = {"cli.py", "commandline", "jobs"}  # the rooms of diffgar/ that see a config
LIGHTNING = {
    *("callbacks.py", "clipping.py", "latent_module.py", "ema.py"),  # of models/
    *("datamodule.py", "training.py", "windows.py"),
}
TRAINERS = {"train.py", "validation.py", "extract.py"}  # of jobs/: what Lightning runs

METRICS_MAY_IMPORT = ("diffgar.evaluation.metrics", "diffgar.errors", "diffgar.values")


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
    if relative.parts[:3] == ("diffgar", "evaluation", "metrics"):  # arrays in, numbers out
        house = {n for n in names if n.startswith("diffgar") and not n.startswith(METRICS_MAY_IMPORT)}
        assert house <= {"diffgar.models.encoders.base", "diffgar.models.encoders.base.pool"}
    if relative.parts[:2] == ("diffgar", "dataloading"):
        assert not [n for n in names if n.startswith(("diffgar.models", "diffgar.evaluation"))]
    for room in ("demo", "app"):
        if relative.parts[:2] != ("diffgar", room) and relative.as_posix() != "app.py":
            assert not [n for n in names if n.startswith(f"diffgar.{room}")]
    if relative.parts[:2] != ("diffgar", "app"):
        assert not [n for n in names if n.partition(".")[0] in ("gradio", "fastapi", "uvicorn")]
    if relative.parts[0] != "diffgar" or relative.parts[1] not in CONFIGS:
        assert not [n for n in names if n.split(".")[0] in ("hydra", "omegaconf")]
    if path.name not in (TRAINERS if "jobs" in relative.parts else LIGHTNING):
        assert not [n for n in names if n.startswith(("pytorch_lightning", "lightning"))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_a_docstring_and_a_main_that_imports_no_other_script(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)] == ["main"]
    assert not imported(path) & {other.stem for other in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_ctrl_c_is_one_line_from_a_scripts_first_import_on(path):
    tops = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Import)]
    assert tops[0].names[0].name == "diffgar.interrupts"
    program = "import sys, diffgar.interrupts; assert not {'hydra', 'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_mistyped_word_is_refused_before_the_heavy_imports(path):
    program = f"""
import sys, {path.stem}
sys.argv[1:] = ["--taks", "demo"]
try:
    {path.stem}.main()
finally:
    assert not {{"torch", "pandas", "pytorch_lightning"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("CommandError: no flag --taks;"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_importing_the_package_is_light():
    program = "import sys, diffgar; assert not {'transformers', 'wandb', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_encoders_import_transformers_and_nothing_imports_wandb_before_it_logs(path):
    if "encoders" not in path.relative_to(ROOT).parts:
        assert not [name for name in imported(path) if name.partition(".")[0] == "transformers"]
    assert not [name for name in imported_at_once(path) if name.partition(".")[0] == "wandb"]


def test_there_is_no_room_for_what_belongs_nowhere():
    names = {part for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_no_module_imports_another_that_imports_it():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    graph = {name: imported_at_once(path) & modules.keys() for name, path in modules.items()}

    def circle(name, above=()):
        if name in above:
            return [*above[above.index(name) :], name]
        return next(filter(None, (circle(n, (*above, name)) for n in sorted(graph.get(name, ())))), None)

    while leaves := [name for name, needs in graph.items() if not needs]:
        graph = {name: needs - set(leaves) for name, needs in graph.items() if name not in leaves}
    assert not graph, " → ".join(circle(min(graph)) or graph)


def imported_at_once(path: Path) -> set[str]:
    """The modules that importing a file imports, by its top-level statements."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
