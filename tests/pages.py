"""README and the pages of docs/, for the tests of what they say: their blocks, commands, links, and example configs."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, kind: str = r"\w*") -> list[str]:
    """The fenced blocks of a page, of one kind (`python`, `yaml`) or all."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text_of(page), re.S | re.M)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```", "", text_of(page), flags=re.S | re.M)


def commands(page: Path) -> list[str]:
    """What a page tells to type that starts one of our scripts, comments left out."""
    lines = [line.split(" #")[0].strip() for block in blocks(page) for line in block.splitlines()]
    return [part.strip() for line in lines for part in re.findall(r"python \w+\.py[^&|;]*", line)]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them: lower case, hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def example_configs(folder: Path) -> Path:
    """Write the configs that the pages show, `# config/<group>/<name>.yaml` in their first line, as a config folder."""
    for block in (block for page in PAGES for block in blocks(page, "yaml")):
        if named := re.match(r"# config/(\w+/\w+\.yaml)\n", block):
            (folder / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / named[1]).write_text(block, encoding="utf-8")
    return folder
