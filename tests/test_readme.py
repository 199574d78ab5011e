"""The README's file map names every file of the package, and nothing that isn't there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def mapped_files() -> set[str]:
    """Paths in the README's file map, relative to the repository."""
    block = re.search(r"```text\n(src/maskwright/.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block, "the README must hold a file map"
    found: set[str] = set()
    folder = ""
    for line in block.group(1).splitlines():
        if line.startswith("src/"):
            folder = line.strip()
        elif line.strip():
            found.add(folder + line.split()[0])
    return found


def test_file_map_is_the_package() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "src" / "maskwright").rglob("*.py")}
    assert mapped_files() == files


def test_every_file_in_the_map_is_explained() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in mapped_files():
        name = path.removeprefix("src/maskwright/").split("/", 1)[-1]
        assert re.search(rf"^  {re.escape(name)} +\S", text, re.MULTILINE), f"{path} has no explanation"


def test_links_and_pictures_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), f"README links to {target}, which is not there"
