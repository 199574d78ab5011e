"""Write a comparison's page: one HTML file that needs nothing beside it, and its plots as PNG.

write_comparison_report(open_comparison("comparisons/first"))       # → comparisons/first/report.html
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from maskwright.comparison.entries import Comparison
from maskwright.errors import UsageError
from maskwright.files import write_atomically, write_text
from maskwright.reports import comparison_gallery as gallery
from maskwright.reports import comparison_origin as origin
from maskwright.reports import comparison_plots as plots
from maskwright.reports import comparison_rows as rows
from maskwright.reports import wording
from maskwright.reports.comparison_facts import ComparisonFacts, gather_comparison
from maskwright.reports.comparison_points import CostPlot, Overlay, cost_plots, overlays_of
from maskwright.reports.comparison_strips import save_standings
from maskwright.reports.comparison_words import comparison_remarks, comparison_verdict
from maskwright.reports.gallery import class_legend, error_legend, leading
from maskwright.reports.pages import template


def write_comparison_report(comparison: Comparison, data: Path | None = None, out: Path | None = None) -> Path:
    """Write report.html and plots/ into the comparison's folder, or into `out`.

    `data` says where the data set's folder is now, when it has moved. Pictures that can't be shown are left
    out and the page says why.

    >>> write_comparison_report(open_comparison("comparisons/first"))  # doctest: +SKIP
    PosixPath('comparisons/first/report.html')
    """
    folder = out or comparison.root
    if folder is None:
        raise UsageError("`out` must be a folder to write the page into; this comparison has none of its own. Pass out=FOLDER.")
    facts = gather_comparison(comparison)
    costs, overlays = cost_plots(facts), overlays_of(facts)
    for cost in costs:
        title = f"{facts.subject[0].upper()}{facts.subject[1:]} and {cost.title[0].lower()}{cost.title[1:]}"
        write_atomically(folder / "plots" / f"cost-{cost.key}.png", partial(plots.save_cost, cost, title))
    for overlay in overlays:
        write_atomically(folder / "plots" / f"validation-{overlay.key}.png", partial(plots.save_overlay, overlay, overlay.title))
    table = rows.standing_table(facts)
    if table.scale:
        write_atomically(folder / "plots" / "standings.png", partial(save_standings, table, facts.subject, facts.is_numbered))
    text = render_comparison(facts, table, costs, overlays, gallery.compared_gallery(facts, data))
    return write_text(folder / "report.html", text)


def render_comparison(
    facts: ComparisonFacts, table: rows.StandingTable, costs: list[CostPlot], overlays: list[Overlay],
    pictures: gallery.ComparedGallery,
) -> str:  # fmt: skip
    """The page; the same facts and pictures give the same text."""
    page = template("comparison.html.j2")
    return page.render(
        facts=facts,
        split=wording.SPLIT_WORDS[facts.comparison.split],
        verdict=comparison_verdict(facts),
        remarks=comparison_remarks(facts),
        table=table,
        seeds=max((one.entry.num_seeds for one in facts.contenders), default=0),
        score_tables=rows.score_tables(facts),
        class_rows=rows.class_table(facts),
        cost_rows=rows.cost_table(facts),
        costs=[(plot, Markup(plots.cost_svg(plot))) for plot in costs],
        overlays=[(plot, Markup(plots.overlay_svg(plot))) for plot in overlays],
        **_pictures(facts, pictures),
        **_origin(facts),
    ) + "\n"  # fmt: skip


def _pictures(facts: ComparisonFacts, pictures: gallery.ComparedGallery) -> dict[str, Any]:
    names = wording.short_names(facts.comparison.images)
    rows = [*(row for _, row in pictures.leads), *pictures.rows]
    found = [
        {"row": row, "name": names[row.name], "shots": list(zip(row.shots, encoded, strict=True)),
         "columns": gallery.columns(len(row.shots))}
        for row, encoded in zip(rows, gallery.encoded(rows), strict=True)
    ]  # fmt: skip
    picks = [pick for pick, _ in pictures.leads]
    return {
        "leads": list(zip(picks, found, strict=False)),
        "leading": leading(picks, wording.SPLIT_WORDS[facts.comparison.split]),
        "gallery_rows": found[len(picks) :],
        "problems": pictures.problems,
        "looked_at": pictures.num_looked_at,
        "class_legend": class_legend(facts.comparison.classes, rows),
        "error_legend": error_legend(facts.comparison.classes, rows),
    }


def _origin(facts: ComparisonFacts) -> dict[str, Any]:
    commands = origin.commands(facts)
    return {
        "settings": origin.settings(facts),
        "groups": origin.groups_of_terms(facts),
        "commands": commands[: origin.COMMANDS],
        "more_commands": max(0, len(commands) - origin.COMMANDS),
        "configuration": origin.configuration(facts),
    }
