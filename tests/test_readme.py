"""What is written beside the code: links and named files are there, lines and pages are short."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_links_and_pictures_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), f"README links to {target}, which is not there"


def test_architecture_names_files_that_are_there_and_maps_them_in_thirty_lines() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    walks = text.partition("## Three walks")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+)`", walks)
    assert len(named) > 30
    for name in named:
        assert (ROOT / "src" / "maskwright" / f"{name}.py").is_file(), f"ARCHITECTURE names {name}, which is not there"
    places = text.partition("## Where things are")[2].partition("\n## ")[0].strip().splitlines()
    assert len(places) <= 30


def test_lines_of_prose_are_short_and_so_is_the_readme() -> None:
    """Rows of tables aside, which cannot be broken, and the log."""
    pages = [*ROOT.glob("[ARC]*.md"), *(path for path in ROOT.glob("docs/**/*.md") if path.name != "log.md")]
    pages.remove(ROOT / "CHANGELOG.md")
    assert len(pages) > 10
    long = [
        f"{path.name}: {line[:60]}"
        for path in pages
        for line in path.read_text(encoding="utf-8").splitlines()
        if len(line) > 120 and not (line.startswith("|") and path.parent.name == "how-to")
    ]
    assert not long
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
