"""What made a result's numbers: this package, its commit, Python and the packages that count."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from diffgar import __version__

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("torch", "pytorch-lightning", "diffusers", "transformers", "numpy", "pandas")


def versions() -> dict[str, str | None]:
    """What made the numbers: this package, its commit where it is run from git, Python and the packages."""
    found: dict[str, str | None] = {
        "diffgar": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _commit() -> str | None:
    if not (REPOSITORY / ".git").exists():  # installed, perhaps inside a folder that is under git itself
        return None
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):  # no git here: the version alone must do
        return None
    return done.stdout.strip() if done.returncode == 0 else None
