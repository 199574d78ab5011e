"""Results as they show themselves in a notebook: what they come to, a small table, a few pictures.

html_of(run.evaluate("test"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data.decoding import open_picture
from maskwright.reports.gallery import Picture, choose, data_uri, make_gallery, shrink
from maskwright.reports.pages import sentence_case, short_names, span, template
from maskwright.terminal import DASH, score, signed

if TYPE_CHECKING:
    from maskwright.comparison import Comparison
    from maskwright.comparison.search_result import SearchResult
    from maskwright.data.checks.findings import Audit
    from maskwright.evaluation import Evaluation
    from maskwright.reports.facts import Facts
    from maskwright.runs import Run

LONGEST, QUALITY = 200, 80  # of a picture; a notebook keeps its outputs, so they are small
ROWS = 12


@dataclass(frozen=True)
class Card:
    """What is shown: sentences, a table, and rows of pictures, each with its caption."""

    title: str
    sentences: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[tuple[str, Sequence[Picture]]] = ()


def html_of(result: object) -> str:
    """A result as HTML, all its texts escaped."""
    card = _CARDS[type(result).__name__](result)
    for picture in (picture for _, pictures in card.pictures for picture in pictures):
        if picture.pixels is not None:
            picture.uri = data_uri(shrink(picture.pixels, LONGEST), QUALITY)
    return template("notebook.html.j2").render(card=card, most=ROWS)


def _of_run(run: Run) -> Card:
    """Its scores on test, else on validation; before they are known its training."""
    split = next((split for split in ("test", "val") if (run.root / "evaluation" / f"{split}.json").is_file()), None)
    if split is None:
        return Card(run.name, [str(run), "Not evaluated yet: run.evaluate() scores it on the test images."])
    return _scored(_facts(run, split), run)


def _of_evaluation(found: Evaluation) -> Card:
    from maskwright.runs import Run

    if found.root is None or not (found.root / "evaluation" / f"{found.split}.json").is_file():
        return Card(f"{found.run} on {found.split}", [str(found)])
    run = Run(found.root)
    facts = replace(_facts(run, found.split, found.data), evaluation=found.to_json(), counts=found.counts)
    return _scored(facts, run, found.data)


def _facts(run: Run, split: str, data: Path | None = None) -> Facts:
    from maskwright.reports.facts import gather

    return gather(run, split, data)


def _scored(facts: Facts, run: Run, data: Path | None = None) -> Card:
    from maskwright.reports.run_page import score_rows
    from maskwright.reports.verdict import remarks, verdict

    leads = [pick for pick in choose(facts.images()) if pick.leads]
    gallery = make_gallery(run, facts, leads, data)
    pictures = [
        (f"{row.pick.role} {facts.short(row.pick.name)}: IoU {score(row.pick.iou)}, {row.text}", row.pictures)
        for row in gallery.rows
    ]
    rows = [(row.label, row.value, row.interval) for row in score_rows(facts)]
    sentences = [*verdict(facts), *remarks(facts)[:1], *gallery.problems]
    return Card(f"{facts.run}, {facts.split} images", sentences, ("Score", "Value", "95 % interval"), rows, pictures)


def _of_comparison(found: Comparison) -> Card:
    from maskwright.comparison.tables import verdict_word
    from maskwright.reports.comparison_facts import gather_comparison
    from maskwright.reports.comparison_gallery import leading_images
    from maskwright.reports.comparison_words import comparison_verdict

    facts = gather_comparison(found)
    names = short_names(found.images)
    rows = []
    for one in facts.contenders:
        ends, gap_ends = span(one.interval), span(one.standing.difference_interval, signed)
        gap = f"{signed(one.standing.difference)}{f' ({gap_ends})' if gap_ends else ''}" if one.has_difference else DASH
        rows.append((one.name, f"{score(one.score)}{f' ({ends})' if ends else ''}", gap,
                     verdict_word(one.standing, facts.standings.top)))  # fmt: skip
    pictures = [
        (f"{row.pick.role} {names[row.pick.name]}: IoU {score(row.pick.iou)} on average",
         [replace(picture, title=f"{picture.title} {picture.note}") for picture in row.pictures])
        for row in leading_images(facts)
    ]  # fmt: skip
    head = ("Model", "IoU (95 % interval)", "Difference", "Verdict")
    return Card(f"{len(rows)} models, {found.split} images", comparison_verdict(facts), head, rows, pictures)


def _of_audit(found: Audit) -> Card:
    from maskwright.data.checks.facts import folder_of
    from maskwright.data.checks.findings import CODES
    from maskwright.reports import audit_words as words
    from maskwright.reports.audit_examples import examples_of, sheet
    from maskwright.reports.audit_scene import evenly, scene_of

    scene = scene_of(found, folder_of(found.config.root), 1)
    first = [(one, example) for one in found.findings[:2] for example in examples_of(one, scene) if example.pictures]
    pictures = [(f"{one.code}: {example.name or example.text}", example.pictures) for one, example in first]
    if not pictures:
        shown = evenly([pair for pair in sheet(scene) if pair.pictures and not pair.problem], 3)
        pictures = [(", ".join(pair.name for pair in shown), tuple(one for pair in shown for one in pair.pictures))]
    rows = [
        (one.severity, sentence_case(CODES[one.code].title), one.evidence, f"{len(one.files):,}")
        for one in found.findings
    ]
    return Card(f"Audit of {found.root}", words.verdict(found), ("", "Finding", "Evidence", "Files"), rows, pictures)


def _of_search(found: SearchResult) -> Card:
    best = found.best
    sign = -1 if found.monitor == "val_loss" else 1
    ranked = sorted(found.trials, key=lambda trial: (trial.score != trial.score, -sign * trial.score))
    keys = list(dict.fromkeys(key for trial in found.trials for key in trial.values))
    rows = [
        (str(trial.number), *(str(trial.values.get(key, DASH)) for key in keys), score(trial.score, 4), trial.state)
        for trial in ranked
    ]
    drawn, pictures = found.root / "plots" / "search.png", []
    if drawn.is_file():
        with open_picture(drawn, drawn) as picture:
            pictures = [("", [Picture("", "Scores by trial and by each key", np.asarray(picture.convert("RGB")))])]
    sentences = []
    if best:
        where = f"{found.watched} {best.score:.4f} in trial {best.number}"
        sentences = [f"The best of {len(found.trials)} trials: {where}."]
    return Card(f"Search {found.root.name}", sentences, ("Trial", *keys, found.watched, "State"), rows, pictures)


_CARDS: dict[str, Callable[[Any], Card]] = {
    "TrainedRun": _of_run,
    "Evaluation": _of_evaluation,
    "Comparison": _of_comparison,
    "Audit": _of_audit,
    "SearchResult": _of_search,
}
