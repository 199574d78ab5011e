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
from maskwright.reports.gallery import Panel, choose, data_uri, make_gallery, shrink
from maskwright.reports.pages import template
from maskwright.reports.wording import DASH, score, short_names

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
    pictures: Sequence[tuple[str, Sequence[Panel]]] = ()


def html_of(result: object) -> str:
    """A result as HTML, all its texts escaped."""
    card = _CARDS[type(result).__name__](result)
    pictures = [
        (caption, [(data_uri(shrink(panel.pixels, LONGEST), QUALITY), panel) for panel in panels])
        for caption, panels in card.pictures
    ]
    hidden = max(0, len(card.rows) - ROWS)
    return template("notebook.html.j2").render(card=card, rows=card.rows[:ROWS], hidden=hidden, pictures=pictures)


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
    from maskwright.reports.tables import score_rows
    from maskwright.reports.verdict import remarks, verdict

    leads = [pick for pick in choose(facts.images()) if pick.leads]
    gallery = make_gallery(run, facts, leads, data)
    pictures = [
        (f"{row.pick.role} {facts.short(row.pick.name)}: IoU {score(row.pick.iou)}, {row.mistakes}", row.panels)
        for row in gallery.rows
    ]
    rows = [(row.label, row.told, row.interval) for row in score_rows(facts)]
    sentences = [*verdict(facts), *remarks(facts)[:1], *gallery.problems]
    return Card(f"{facts.run}, {facts.split} images", sentences, ("Score", "Value", "95 % interval"), rows, pictures)


def _of_comparison(found: Comparison) -> Card:
    from maskwright.reports.comparison_facts import gather_comparison
    from maskwright.reports.comparison_gallery import leading_images
    from maskwright.reports.comparison_rows import standing_table
    from maskwright.reports.comparison_words import comparison_verdict

    facts = gather_comparison(found)
    names = short_names(found.images)
    rows = [
        (row.contender.name, f"{row.told} ({row.interval})" if row.interval else row.told,
         f"{row.difference} ({row.difference_interval})" if row.difference_interval else row.difference or DASH, row.word)
        for row in standing_table(facts).rows
    ]  # fmt: skip
    pictures = [
        (f"{pick.role} {names[pick.name]}: IoU {score(pick.iou)} on average",
         [replace(shot.panel, title=f"{shot.title} {shot.told}") for shot in row.shots if shot.panel])
        for pick, row in leading_images(facts)
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
    pictures = [(f"{one.code}: {example.name or example.told}", _panels(example.pictures)) for one, example in first]
    if not pictures:
        shown = evenly([pair for pair in sheet(scene) if pair.pictures and not pair.problem], 3)
        pictures = [(", ".join(pair.name for pair in shown), [panel for pair in shown for panel in _panels(pair.pictures)])]
    rows = [(one.severity, words.sentence(CODES[one.code].title).rstrip("."), one.evidence, f"{len(one.files):,}")
            for one in found.findings]  # fmt: skip
    return Card(f"Audit of {found.root}", words.verdict(found), ("", "Finding", "Evidence", "Files"), rows, pictures)


def _panels(pictures: Sequence[Any]) -> list[Panel]:
    return [Panel(one.title, one.alt, one.pixels) for one in pictures]


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
            pictures = [("", [Panel("", "Scores by trial and by each key", np.asarray(picture.convert("RGB")))])]
    told = [f"The best of {len(found.trials)} trials: {found.watched} {best.score:.4f} in trial {best.number}."] if best else []
    return Card(f"Search {found.root.name}", told, ("Trial", *keys, found.watched, "State"), rows, pictures)


_CARDS: dict[str, Callable[[Any], Card]] = {
    "TrainedRun": _of_run,
    "Evaluation": _of_evaluation,
    "Comparison": _of_comparison,
    "Audit": _of_audit,
    "SearchResult": _of_search,
}
