"""Write a run's report: one HTML file that needs nothing beside it, and the two curves as PNG.

write_report(Run.open("runs/first"))       # → runs/first/report.html
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from maskwright.config.files import to_yaml
from maskwright.reports import origin, tables, wording
from maskwright.reports.curves import Curve, curves, inline_svg, save_png
from maskwright.reports.facts import Facts, gather
from maskwright.reports.gallery import SHOW_ALL, Gallery, choose, encode, legend, make_gallery
from maskwright.reports.pages import template
from maskwright.reports.verdict import remarks, subject, verdict
from maskwright.runs import Run


def write_report(run: Run, split: str = "test", data: Path | None = None) -> Path:
    """Write RUN/report.html, RUN/plots/loss.png and RUN/plots/iou.png; evaluate the split first if it wasn't.

    `data` says where the data set's folder is now, when it has moved. Pictures that can't be shown
    (the folder is gone, a file has changed) are left out and the page says why.

    >>> write_report(Run.open("runs/first"))  # doctest: +SKIP
    PosixPath('runs/first/report.html')
    """
    facts = gather(run, split, data)
    plots = curves(facts.history, facts.best) if facts.history else ()
    for curve in plots:
        run.write(f"plots/{curve.key}.png", partial(save_png, curve, run.name))
    gallery = make_gallery(run, facts, choose(facts.images()), data)
    return run.write_text("report.html", render(facts, plots, gallery))


def render(facts: Facts, plots: tuple[Curve, ...], gallery: Gallery) -> str:
    """The page; the same facts and pictures give the same text."""
    page = template("report.html.j2")
    return page.render(**_scores(facts), **_pictures(facts, gallery), **_origin(facts),
                       plots=[(curve, Markup(inline_svg(curve))) for curve in plots]) + "\n"  # fmt: skip


def _scores(facts: Facts) -> dict[str, Any]:
    images = facts.images()
    num_unscored = len(images) - len(facts.scored_images())
    return {
        "facts": facts,
        "split": wording.SPLIT_WORDS[facts.split],
        "subject": subject(facts),
        "verdict": verdict(facts),
        "remarks": remarks(facts),
        "scores": tables.score_rows(facts),
        "class_columns": tables.class_columns(),
        "class_rows": [] if facts.is_binary else tables.class_rows(facts),
        "average_columns": [tables.METRICS[name][0] for name in tables.average_metrics()],
        "average_rows": tables.average_rows(facts),
        "policy": facts.evaluation["policy"],
        "matrix": tables.confusion_shares(facts).tolist() if len(facts.classes) <= tables.MATRIX_CLASSES else None,
        "confusions": tables.largest_confusions(facts),
        "bars": tables.image_bars(images),
        "is_histogram": len(images) > tables.BAR_IMAGES,
        "num_unscored": num_unscored,
    }


def _pictures(facts: Facts, gallery: Gallery) -> dict[str, Any]:
    class_legend, error_legend = legend(facts, gallery.rows)
    return {
        "rows": [
            {"pick": row.pick, "mistakes": row.mistakes, "panels": list(zip(row.panels, uris, strict=True))}
            for row, uris in zip(gallery.rows, encode(gallery.rows), strict=True)
        ],
        "problems": gallery.problems,
        "shows_all": facts.num_images <= SHOW_ALL,
        "class_legend": class_legend,
        "error_legend": error_legend,
    }


def _origin(facts: Facts) -> dict[str, Any]:
    groups = (("Data", origin.data_terms), ("Training", origin.training_terms), ("Machine", origin.machine_terms))
    return {
        "groups": [(title, terms(facts)) for title, terms in groups],
        "command": origin.command(facts),
        "settled": origin.settled(facts),
        "config": to_yaml(facts.config),
    }
