"""A page's template: the folder they are in, and the filters they share."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from maskwright.reports import wording

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> Template:
    """A template whose values are all escaped, and which stops at one that is missing.

    >>> template("report.html.j2").name
    'report.html.j2'
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"score": wording.score, "share": wording.share, "counted": wording.counted,
                            "elided": wording.elide_hashes}  # fmt: skip
    return environment.get_template(name)
