"""What a comparison came to, written beside its cells: standings.json and the table as Markdown, CSV and LaTeX."""

from __future__ import annotations

from maskwright.comparison.entries import Comparison
from maskwright.comparison.latex import as_latex
from maskwright.comparison.standings import Standings, standings
from maskwright.comparison.tables import as_csv, as_markdown
from maskwright.files import write_json, write_text


def write_outcome(comparison: Comparison) -> Standings:
    """Stand the entries, and write it into the comparison's folder."""
    assert comparison.root is not None
    found = standings(comparison)
    write_json(comparison.root / "standings.json", found.to_json())
    for name, text in (("table.md", as_markdown(found)), ("table.csv", as_csv(found)), ("table.tex", as_latex(found))):
        write_text(comparison.root / name, text)
    return found
