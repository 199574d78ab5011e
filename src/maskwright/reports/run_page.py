"""Write a run's report: one HTML file that needs nothing beside it, and the two curves as PNG.

write_report(Run.open("runs/first"))       # → runs/first/report.html
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskwright.config.files import to_yaml
from maskwright.errors import counted, listed
from maskwright.metrics.scores import commonest_class
from maskwright.reports import origin
from maskwright.reports.audit_summary import AuditSummary, audit_summary
from maskwright.reports.calibration import reliability, reliability_svg
from maskwright.reports.facts import Facts, ImageScore, gather
from maskwright.reports.gallery import SHOW_ALL, Gallery, choose, encode, make_gallery
from maskwright.reports.pages import IN_PIXELS, SPLIT_WORDS, figure, number, share, span, template
from maskwright.reports.plots import Curves, curves_svg, run_curves, save_curves
from maskwright.reports.suspects import FIRST, MARK, suspected_labels
from maskwright.reports.verdict import remarks, single_unit, subject, verdict
from maskwright.runs import Run
from maskwright.terminal import DASH, score
from maskwright.training.loggers.collection import log_report

METRICS = {
    "iou": ("IoU", "overlap of truth and prediction, divided by their union"),
    "f1": ("F1 (Dice)", "twice the overlap, divided by the sum of the two areas"),
    "precision": ("Precision", "of what was predicted, the share that is right"),
    "recall": ("Recall", "of what is there, the share that was found"),
    "boundary_iou": ("Boundary IoU", "IoU of narrow bands along the outlines"),
    "boundary_f": ("Boundary F", "of both outlines, the share that lies {width} the other"),
    "hd95": ("HD95", "95th percentile of the distance between outlines; mean over images, lower is better"),
    "accuracy": ("Accuracy", "share of all pixels that are right; {guess}"),
}
AVERAGED = ("iou", "f1", "precision", "recall")  # a class's accuracy counts the pixels of all others, so not accuracy
AVERAGES = {
    "micro": "pixels of all scored classes pooled",
    "macro": "mean over the classes",
    "imagewise": "mean over the images of each one’s mean over classes",
    "imagewise_micro": "mean over the images of each one’s pooled pixels",
}
MANY_CLASSES = 16  # of more, the weakest are shown and the rest folded away
WEAKEST = 8
MATRIX_CLASSES = 12  # a larger confusion matrix is a wallpaper; the largest confusions are listed instead
BAR_IMAGES = 24  # more images become a histogram
BINS = 10


def write_report(run: Run, split: str = "test", data: Path | None = None) -> Path:
    """Write RUN/report.html, RUN/plots/loss.png and RUN/plots/iou.png; evaluate the split first if it wasn't.

    `data` says where the data set's folder is now, when it has moved. What can't be shown (the folder is
    gone, a file has changed, an earlier version evaluated less) is left out and the page says why.

    >>> write_report(Run.open("runs/first"))  # doctest: +SKIP
    PosixPath('runs/first/report.html')
    """
    facts = gather(run, split, data)
    plots = run_curves(facts.history, facts.best)
    for plot in plots:
        run.write(f"plots/{plot.key}.png", partial(save_curves, plot, f"{plot.title}, {run.name}"))
    gallery, suspects = make_gallery(run, facts, choose(facts.images()), data), suspected_labels(run, facts, data)
    path = run.write_text("report.html", render(facts, plots, gallery, suspects, audit_summary(facts, data)))
    log_report(run, path)
    return path


def render(facts: Facts, plots: Sequence[Curves], gallery: Gallery, suspects: Gallery, audited: AuditSummary) -> str:
    """The page; the same facts and pictures give the same text."""
    encode(picture for row in (*gallery.rows, *suspects.rows) for picture in row.pictures)
    shows_all = facts.num_images <= SHOW_ALL
    others = [(row, shows_all or row.pick.role == "Worst") for row in gallery.others]
    images, calibration = facts.images(), reliability(facts.evaluation)
    return template("report.html.j2", *origin.FILTERS).render(
        facts=facts,
        split=SPLIT_WORDS[facts.split],
        subject=subject(facts),
        verdict=verdict(facts),
        remarks=remarks(facts),
        gallery=gallery,
        shows_all=shows_all,
        rows=[row for row, is_first in others if is_first],
        more_rows=[row for row, is_first in others if not is_first],
        scores=score_rows(facts),
        rests_on=_rests_on(facts),
        threshold=origin.threshold(facts),
        metrics=METRICS,
        in_pixels=IN_PIXELS,
        pixel_shares=_pixel_shares(facts),
        weakest=weakest_classes(facts),
        sizes=size_table(facts),
        averaged=AVERAGED,
        averages=average_rows(facts),
        bars=image_bars(images),
        is_histogram=len(images) > BAR_IMAGES,
        num_unscored=sum(math.isnan(image.iou) for image in images),
        matrix=confusion_shares(facts).tolist() if len(facts.classes) <= MATRIX_CLASSES else None,
        confusions=largest_confusions(facts),
        suspects=suspects,
        first_suspects=FIRST,
        mark="#" + bytes(MARK).hex(),
        calibration=calibration,
        reliability_svg=reliability_svg(calibration) if calibration else "",
        plots=[(plot, curves_svg(plot)) for plot in plots],
        audited=audited,
        cost=_cost(facts),
        command=shlex.join(facts.environment["command"]),
        training=origin.training_terms(facts),
        chosen=origin.chosen(facts),
        config=to_yaml(facts.config),
    ) + "\n"  # fmt: skip


def _cost(facts: Facts) -> dict[str, Any]:
    """What the network costs in use; None for each thing that was not measured, nothing where none was."""
    keys = ("milliseconds_an_image", "peak_memory_mib", "parameters", "multiply_adds")
    cost = facts.evaluation.get("cost") or {}
    known = any(cost.get(key) is not None for key in keys)
    return {**dict.fromkeys((*keys, "device", "precision", "input")), **cost} if known else {}


def _rests_on(facts: Facts) -> str:
    """What the intervals are, and what they rest on."""
    if facts.num_units == 1:
        return f"There are no intervals: {single_unit(facts)}."
    text = f"The intervals say where a score may lie on other images of the same kind; they rest on {facts.units}"
    return f"{text}{'' if facts.num_units == facts.num_images else ', whose images belong together'}."


class ScoreRow(NamedTuple):
    """A headline score in words; `strip` (value, low, high) is None where it can't be placed between 0 and 1."""

    label: str
    hint: str
    value: str
    interval: str
    strip: tuple[float, float, float] | None


def score_rows(facts: Facts) -> list[ScoreRow]:
    """The headline scores the evaluation holds, then the loss, which has no interval."""
    width = (facts.evaluation.get("boundary") or {}).get("f_width")
    commonest, reached = commonest_class(facts.counts.total())
    words = {
        "width": "near" if width is None else f"within {width:g} px of",
        # what an answer without looking would reach: accuracy means little beside it
        "guess": f"always answering {facts.classes[commonest]} would reach {share(reached)}",
    }
    rows = []
    for name, (label, hint) in METRICS.items():
        if name in facts.evaluation["metrics"]:
            value, ends = facts.metric(name), facts.interval(name)
            unit = "\u00a0px" if name in IN_PIXELS else ""
            interval = span(ends, name)
            strip = None if unit or not math.isfinite(value + sum(ends)) else (value, *ends)
            text = figure(value, name) + (unit if math.isfinite(value) else "")
            rows.append(ScoreRow(label, hint.format(**words), text, interval + unit if interval else DASH, strip))
    loss = score(facts.evaluation["loss"])
    return [*rows, ScoreRow("Loss", "what training made small; lower is better", loss, DASH, None)]


def _pixel_shares(facts: Facts) -> list[float]:
    """The share of each class in the split's labelled pixels."""
    pixels = facts.counts.total().sum(1)
    return (pixels / max(1, pixels.sum())).tolist()


def weakest_classes(facts: Facts) -> list[str]:
    """Of many classes the few with the lowest IoU; of few classes none, since all are shown."""
    iou = {name: facts.evaluation["per_class"][name]["iou"] for name in facts.classes}
    scored = [name for name in facts.classes if iou[name] is not None]
    return sorted(scored, key=lambda name: iou[name])[:WEAKEST] if len(iou) > MANY_CLASSES else []


def average_rows(facts: Facts) -> list[tuple[str, str, tuple[str, ...]]]:
    """Each way of averaging, what it is, and its scores; ways that come to the same, as of two classes, once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for way, row in facts.evaluation["averages"].items():
        alike.setdefault(tuple(score(row.get(name)) for name in AVERAGED), []).append(way)
    return [
        (listed(way.replace("_", " ") for way in ways), "; ".join(filter(None, map(AVERAGES.get, ways))), scores)
        for scores, ways in alike.items()
    ]


def size_table(facts: Facts) -> tuple[list[tuple[str, str]], list[tuple[str, list[tuple[str, str]]]]]:
    """Columns, the sizes of objects with their range where all classes share it; rows, of classes that have objects.

    A cell is the share of pixels found and of how many objects, in words.
    """
    found = facts.evaluation.get("objects") or {}
    cells = {name: {cell["size"]: cell for cell in found.get(name) or []} for name in facts.classes}
    cells = {name: row for name, row in cells.items() if any(cell.get("objects") for cell in row.values())}
    ranges: dict[str, set[str]] = {}
    for cell in (cell for row in cells.values() for cell in row.values()):
        ranges.setdefault(cell["size"], set()).add(_range(cell))
    columns = [(size, next(iter(every)) if len(every) == 1 else "") for size, every in ranges.items()]
    return columns, [
        (name, [_size_cell(row.get(size), not where) for size, where in columns]) for name, row in cells.items()
    ]


def _size_cell(cell: Mapping[str, Any] | None, with_range: bool) -> tuple[str, str]:
    if not cell or not cell.get("objects"):
        return DASH, ""
    is_known = cell.get("found") is not None
    many = f"{cell['found']:,} of {cell['objects']:,}" if is_known else counted(cell["objects"], "object")
    return score(cell.get("recall")), many + (f", {_range(cell)}" if with_range else "")


def _range(cell: Mapping[str, Any]) -> str:
    """
    >>> _range({"from": 0, "to": 1024}), _range({"from": 1024, "to": 9216}), _range({"from": 9216, "to": None})
    ('under 1,024 px', '1,024 to 9,215 px', 'from 9,216 px')
    """
    first, last = cell.get("from"), cell.get("to")
    if last is None:
        return f"from {first:,.0f} px" if first else ""
    return f"{first:,.0f} to {last - 1:,.0f} px" if first else f"under {last:,.0f} px"


def confusion_shares(facts: Facts) -> np.ndarray:
    """The confusion matrix with rows that sum to 1; NaN for a class without truth. K K"""
    total = facts.counts.total().astype(float)
    truth = total.sum(1, keepdims=True)
    return np.divide(total, truth, out=np.full_like(total, np.nan), where=truth > 0)


def largest_confusions(facts: Facts, limit: int = 10) -> list[tuple[str, str, float, int]]:
    """The classes most often taken for one another: truth, prediction, share of the class, pixels."""
    wrong, shares, names = facts.counts.total(), confusion_shares(facts), facts.classes
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    places = [(t, p) for t, p in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[t, p]]
    return [(names[t], names[p], float(shares[t, p]), int(wrong[t, p])) for t, p in places]


def image_bars(images: Sequence[ImageScore]) -> list[tuple[str, float, str]]:
    """A bar (label, length, words) for each image, worst first; of many images, how many lie in each tenth."""
    if len(images) <= BAR_IMAGES:
        return [(row.name, number(row.iou if math.isfinite(row.iou) else 0), score(row.iou)) for row in images]
    nums, edges = np.histogram([row.iou for row in images if math.isfinite(row.iou)], BINS, (0, 1))
    first = int(np.flatnonzero(nums)[0]) if nums.any() else BINS
    return [
        (f"{edges[index]:.1f} to {edges[index + 1]:.1f}", float(nums[index] / nums.max()), f"{nums[index]:,}")
        for index in range(first, BINS)
    ]
