"""Write a comparison's page: one HTML file that needs nothing beside it, and its plots as PNG.

write_comparison_report(open_comparison("comparisons/first"))       # → comparisons/first/report.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.comparison.entries import OUTLINES, Comparison
from maskwright.comparison.tables import latency, verdict_word
from maskwright.config.base import MONITORS
from maskwright.config.files import to_yaml
from maskwright.errors import UsageError, listed
from maskwright.files import write_atomically, write_text
from maskwright.metrics.scores import iou
from maskwright.reports import origin
from maskwright.reports.comparison_facts import METRIC, ComparisonFacts, gather_comparison, of_run
from maskwright.reports.comparison_gallery import columns, compared_gallery
from maskwright.reports.comparison_plots import (
    DRAWN_SEEDS,
    CostPlot,
    cost_plots,
    cost_svg,
    save_cost,
    save_standings,
    validation_curves,
)
from maskwright.reports.comparison_words import budget, commands, comparison_remarks, comparison_verdict, differing
from maskwright.reports.gallery import Gallery, encode
from maskwright.reports.pages import IN_PIXELS, SPLIT_WORDS, sentence_case, short_names, template
from maskwright.reports.plots import Curves, curves_svg, save_curves
from maskwright.reports.run_page import METRICS

COMMANDS = 12


def write_comparison_report(comparison: Comparison, data: Path | None = None, out: Path | None = None) -> Path:
    """Write report.html and plots/ into the comparison's folder, or into `out`.

    `data` says where the data set's folder is now, when it has moved. Pictures that can't be shown are left
    out and the page says why.

    >>> write_comparison_report(open_comparison("comparisons/first"))  # doctest: +SKIP
    PosixPath('comparisons/first/report.html')
    """
    folder = out or comparison.root
    if folder is None:
        raise UsageError(
            "`out` must be a folder to write the page into; this comparison has none of its own. Pass out=FOLDER."
        )
    facts = gather_comparison(comparison)
    costs, curves = cost_plots(facts), validation_curves(facts)
    for cost in costs:
        title = f"{sentence_case(facts.subject)} and {cost.title[0].lower()}{cost.title[1:]}"
        write_atomically(folder / "plots" / f"cost-{cost.key}.png", partial(save_cost, cost, title))
    for plot in curves:
        write_atomically(folder / "plots" / f"validation-{plot.key}.png", partial(save_curves, plot, plot.title))
    if facts.scales[0]:
        write_atomically(folder / "plots" / "standings.png", partial(save_standings, facts))
    page = render_comparison(facts, costs, curves, compared_gallery(facts, data))
    return write_text(folder / "report.html", page)


def render_comparison(
    facts: ComparisonFacts, costs: Sequence[CostPlot], curves: Sequence[Curves], gallery: Gallery
) -> str:
    """The page; the same facts and pictures give the same text."""
    encode(picture for row in gallery.rows for picture in row.pictures)
    others = [name for name in METRICS if name != METRIC and name in facts.standings.known_scores]
    words = commands(facts)
    seeds = sorted({config.train.seed for configs in facts.configs for config in configs})
    varied = list(dict.fromkeys(key for one in facts.contenders for key in one.entry.settings))
    return template("comparison.html.j2", *origin.FILTERS).render(
        facts=facts,
        split=SPLIT_WORDS[facts.comparison.split],
        verdict=comparison_verdict(facts),
        remarks=comparison_remarks(facts),
        metrics=METRICS,
        in_pixels=IN_PIXELS,
        areas=[name for name in others if name not in OUTLINES],
        outlines=[name for name in others if name in OUTLINES],
        monitor=MONITORS[facts.comparison.monitor],
        verdict_word=verdict_word,
        latency=latency,
        drawn_seeds=DRAWN_SEEDS,
        scores_by_class=_scores_by_class(facts),
        costs=[(plot, cost_svg(plot)) for plot in costs],
        curves=[(plot, curves_svg(plot)) for plot in curves],
        gallery=gallery,
        names=short_names(facts.comparison.images),
        columns=columns,
        settings=differing(facts),
        budget=budget(facts),
        run_seeds=listed(seeds, limit=12) if seeds else "",
        num_run_seeds=len(seeds),
        varied=listed([*varied, *(["train.seed"] if len(seeds) > 1 else [])], limit=12) if varied else "",
        train_seconds=sum(row["seconds"] for histories in facts.histories for history in histories for row in history),
        document=of_run(lambda run: run.data, facts.runs()[0]) if facts.contenders else None,
        commands=words[:COMMANDS],
        more_commands=max(0, len(words) - COMMANDS),
        configuration=to_yaml(facts.configs[0][0]) if facts.configs else "",
    ) + "\n"  # fmt: skip


def _scores_by_class(facts: ComparisonFacts) -> list[list[float]]:
    """For each class its IoU under every model, the mean over the seeds; nothing for two classes."""
    if facts.is_binary or not facts.contenders:
        return []
    scores = [np.mean([iou(counts.total()) for counts in one.entry.counts], axis=0) for one in facts.contenders]
    return np.transpose(scores).tolist()
