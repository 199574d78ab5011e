"""Write a run's report: one HTML file that needs nothing beside it, and the two curves as PNG.

write_report(Run.open("runs/first"))       # → runs/first/report.html
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from maskwright.config.files import to_yaml
from maskwright.reports import origin, tables, wording
from maskwright.reports.audit_pictures import MARK
from maskwright.reports.audit_summary import AuditSummary, audit_summary
from maskwright.reports.audit_words import marked
from maskwright.reports.calibration import reliability, reliability_svg
from maskwright.reports.calibration import words as calibration_words
from maskwright.reports.curves import Curve, curves, inline_svg, save_png
from maskwright.reports.facts import Facts, gather
from maskwright.reports.gallery import SHOW_ALL, Gallery, choose, class_legend, encode, error_legend, leading, make_gallery
from maskwright.reports.pages import template
from maskwright.reports.suspects import BUDGET, FIRST, Suspicion, make_suspicion
from maskwright.reports.tables import css_colour
from maskwright.reports.verdict import remarks, single_unit, subject, verdict
from maskwright.runs import Run
from maskwright.training.loggers.afterwards import log_report


def write_report(run: Run, split: str = "test", data: Path | None = None) -> Path:
    """Write RUN/report.html, RUN/plots/loss.png and RUN/plots/iou.png; evaluate the split first if it wasn't.

    `data` says where the data set's folder is now, when it has moved. What can't be shown (the folder is
    gone, a file has changed, an earlier version evaluated less) is left out and the page says why.

    >>> write_report(Run.open("runs/first"))  # doctest: +SKIP
    PosixPath('runs/first/report.html')
    """
    facts = gather(run, split, data)
    plots = curves(facts.history, facts.best) if facts.history else ()
    for curve in plots:
        run.write(f"plots/{curve.key}.png", partial(save_png, curve, run.name))
    gallery = make_gallery(run, facts, choose(facts.images()), data)
    page = render(facts, plots, gallery, make_suspicion(run, facts, data), audit_summary(facts, data))
    path = run.write_text("report.html", page)
    log_report(run, path)
    return path


def render(facts: Facts, plots: tuple[Curve, ...], gallery: Gallery, suspicion: Suspicion, audited: AuditSummary) -> str:
    """The page; the same facts and pictures give the same text."""
    page = template("report.html.j2")
    return page.render(**_scores(facts), **_pictures(facts, gallery), **_suspects(facts, suspicion), **_calibration(facts),
                       **_origin(facts), audited=audited,
                       plots=[(curve, Markup(inline_svg(curve))) for curve in plots]) + "\n"  # fmt: skip


def _scores(facts: Facts) -> dict[str, Any]:
    images = facts.images()
    class_rows = [] if facts.is_binary else tables.class_rows(facts)
    num_unscored = len(images) - len(facts.scored_images())
    return {
        "facts": facts,
        "split": wording.SPLIT_WORDS[facts.split],
        "subject": subject(facts),
        "verdict": verdict(facts),
        "diagnosis": [{"one": one, "evidence": marked(one.evidence), "advice": marked(one.advice)} for one in facts.diagnosis],
        "remarks": remarks(facts),
        "scores": tables.score_rows(facts),
        "rest_on": _rest_on(facts),
        "threshold": origin.threshold(facts),
        "class_columns": tables.class_columns(facts),
        "class_rows": class_rows,
        "weakest": tables.weakest_classes(class_rows),
        "size_columns": tables.size_columns(facts),
        "size_rows": tables.size_rows(facts),
        "average_columns": [tables.METRICS[name][0] for name in tables.average_metrics()],
        "average_rows": tables.average_rows(facts),
        "policy": facts.evaluation["policy"],
        "matrix": tables.confusion_shares(facts).tolist() if len(facts.classes) <= tables.MATRIX_CLASSES else None,
        "confusions": tables.largest_confusions(facts),
        "bars": tables.image_bars([replace(image, name=facts.short(image.name)) for image in images]),
        "is_histogram": len(images) > tables.BAR_IMAGES,
        "num_unscored": num_unscored,
    }


def _rest_on(facts: Facts) -> str:
    """What the intervals are, and what they rest on."""
    if facts.num_units == 1:
        return f"There are no intervals: {single_unit(facts)}."
    told = f"The intervals say where a score may lie on other images of the same kind; they rest on {facts.units}"
    together = "" if facts.num_units == facts.num_images else ", whose images belong together"
    return f"{told}{together}."


def _pictures(facts: Facts, gallery: Gallery) -> dict[str, Any]:
    rows = [
        {"pick": row.pick, "name": facts.short(row.pick.name), "mistakes": row.mistakes,
         "panels": list(zip(row.panels, uris, strict=True))}
        for row, uris in zip(gallery.rows, encode(gallery.rows), strict=True)
    ]  # fmt: skip
    leads = [row for row in rows if row["pick"].leads]
    others = [row for row in rows if not row["pick"].leads]
    shows_all = facts.num_images <= SHOW_ALL
    return {
        "leads": leads,
        "leading": leading([row["pick"] for row in leads], wording.SPLIT_WORDS[facts.split]),
        "rows": [row for row in others if shows_all or row["pick"].role == "Worst"],
        "more_rows": [row for row in others if not shows_all and row["pick"].role != "Worst"],
        "problems": gallery.problems,
        "shows_all": shows_all,
        "class_legend": class_legend(facts.classes, gallery.rows),
        "error_legend": error_legend(facts.classes, gallery.rows),
    }


def _suspects(facts: Facts, suspicion: Suspicion) -> dict[str, Any]:
    suspects = [
        {"suspect": one, "panels": list(zip(one.panels, uris, strict=True))}
        for one, uris in zip(suspicion.suspects, encode(suspicion.suspects, BUDGET), strict=True)
    ]
    present = sorted(frozenset[int]().union(*(one.classes for one in suspicion.suspects)))
    return {
        "suspicion": suspicion,
        "mark": "#" + bytes(MARK).hex(),
        "suspects": suspects[:FIRST],
        "more_suspects": suspects[FIRST:],
        "suspect_legend": [(css_colour(index, len(facts.classes)), facts.classes[index]) for index in present],
    }


def _calibration(facts: Facts) -> dict[str, Any]:
    found = reliability(facts.evaluation)
    if found is None:
        return {"reliability": None, "calibration": ()}
    return {"reliability": (found.alt, Markup(reliability_svg(found))), "calibration": calibration_words(found)}


def _origin(facts: Facts) -> dict[str, Any]:
    groups = (("Environment", origin.machine_terms), ("Training", origin.training_terms), ("Data", origin.data_terms))
    return {
        "groups": [(title, terms(facts)) for title, terms in groups],
        "cost": origin.cost_terms(facts),
        "command": origin.command(facts),
        "settled": origin.settled(facts),
        "config": to_yaml(facts.config),
    }
