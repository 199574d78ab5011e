"""Which image to label next: the one a model is least sure of, what is nearly the same as a labelled one left aside;
and which masks to check: those a run surely disagrees with."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastapi import HTTPException

from maskwright.app.answers import text_of
from maskwright.app.dataset import DataSet, Item
from maskwright.app.models import Models
from maskwright.app.runs import Runs, inside
from maskwright.data.checks.audit import folder_of
from maskwright.data.dataset import IGNORE
from maskwright.data.near_duplicates import nearly_the_same
from maskwright.data.signatures import Signature, signature
from maskwright.errors import MaskwrightError, as_typed

_MOST = 400  # labelled images that others are compared with, and images that are looked at
_WAIT = 1.5  # seconds until the least sure of those seen so far is taken


class Unsure:
    """What a model says of the images without mask, looked at in the background in their order."""

    def __init__(self, data: DataSet, models: Models) -> None:
        self.data, self.models = data, models
        self._scores: dict[Any, dict[str, float]] = {}
        self._signs: dict[str, Signature | None] = {}
        self._seen = threading.Condition()

    def next(self, after: str | None, model: str | None) -> dict[str, Any]:
        """The id of the next image, and why it is that one."""
        items = self.data.items()
        pool = [item for item in items if item.record is None] or items
        left = [item for item in pool if item.id != after]
        if not left:
            return {"id": None, "why": "There is no other image."}
        bare = pool[0].record is None
        if model is None:
            follows = [item for item in left if after is None or int(item.id) > int(after or 0)]
            chosen = (follows or left)[0]
            return {"id": chosen.id, "why": "The next without a mask." if bare else "The next; every image has a mask."}
        found = self._looked_at(model, left)
        twins = self._twins([item for item in items if item.record is not None], left) if bare else set()
        known = {item.id: found[item.id] for item in left if item.id in found and item.id not in twins}
        if not known:
            known = {item.id: found[item.id] for item in left if item.id in found}
        if not known:
            return {"id": left[0].id, "why": "The next; the model has not looked at it yet."}
        chosen = max(known, key=lambda id: (known[id], -int(id)))
        aside = f"; {len(twins)} nearly the same as labelled ones left aside" if twins else ""
        return {
            "id": chosen,
            "why": f"The model is least sure of it: {known[chosen]:.0%} undecided, of {len(found)} seen{aside}.",
        }

    def _looked_at(self, model: str, items: list[Item]) -> dict[str, float]:
        """How undecided the model is of each image, as far as it has come in a moment."""
        key = self.models.stamp(model)
        new = key not in self._scores
        scores = self._scores.setdefault(key, {})
        todo = [item for item in items if item.id not in scores][:_MOST]
        if new or todo:
            for item in todo:
                scores.setdefault(item.id, -1.0)
                self.models.submit(lambda item=item: self._look(model, item, scores), rank=3)
        end = time.monotonic() + _WAIT
        with self._seen:
            while any(scores.get(item.id) == -1.0 for item in items) and time.monotonic() < end:
                self._seen.wait(max(0.0, end - time.monotonic()))
            while not any(score >= 0 for score in scores.values()) and any(score == -1.0 for score in scores.values()):
                self._seen.wait(60)  # the first takes longer: the network is opened
            return {id: score for id, score in scores.items() if score >= 0}

    def _look(self, model: str, item: Item, scores: dict[str, float]) -> None:
        from maskwright.app.models import maps_of

        try:
            pixels = self.data.pixels(item)
            self._signs.setdefault(item.id, signature(pixels))
            found = maps_of(self.models.network(model), pixels).uncertainty
            score = float(found[found != IGNORE].mean() / 254) if (found != IGNORE).any() else 0.0
        except Exception:  # noqa: BLE001 - an image that cannot be read is none to label
            score = -2.0
        with self._seen:
            scores[item.id] = score
            self._seen.notify_all()

    def _twins(self, labelled: list[Item], others: list[Item]) -> set[str]:
        """Images nearly the same as one that has a mask."""
        known = [item for item in labelled[-_MOST:] if self._sign(item)]
        rest = [item for item in others if self._signs.get(item.id)]
        both = [*known, *rest]
        sets = nearly_the_same([self._signs[item.id] for item in both])
        return {
            both[place].id for places in sets if min(places) < len(known) for place in places if place >= len(known)
        }

    def _sign(self, item: Item) -> Signature | None:
        if item.id not in self._signs:
            try:
                self._signs[item.id] = signature(self.data.pixels(item))
            except MaskwrightError:
                self._signs[item.id] = None
        return self._signs[item.id]


def judges(data: DataSet, runs: Runs) -> list[dict[str, str]]:
    """The runs that were trained on this data set and scored: what can call its masks into question."""
    scored = [row for row in runs.rows() if row["metric"] == "test_iou" and row["data_root"]]
    root = data.root.resolve()
    return [{"id": row["id"], "name": row["name"]} for row in scored if folder_of(row["data_root"]).resolve() == root]


def suspected(data: DataSet, models: Models, id: str) -> dict[str, Any]:
    """The labels to check that a run's report shows, each with the data set's image it belongs to."""
    from maskwright.reports.facts import gather  # late: only who asks for this waits for what reports need
    from maskwright.reports.gallery import data_uri
    from maskwright.reports.suspects import suspected_labels

    run = models.runs.open(id)
    splits = {name: entries for name, entries in run.data["splits"].items()
              if inside(run.root, run.root / f"evaluation/{name}-counts.npz")}  # fmt: skip
    if not splits:
        fix = f"Score it first: maskwright evaluate {as_typed(run.root)}"
        raise HTTPException(409, f"a run must be scored to call masks into question; {run.name} is not. {fix}")
    galleries = models.call(lambda: [suspected_labels(run, gather(run, split)) for split in splits])
    files = {entry["id"]: entry["image"] for entries in splits.values() for entry in entries}
    rows = [
        {
            "image": next(iter(data.named_by([files[row.pick.name]])), None),
            "name": text_of(row.pick.name),
            "title": text_of(row.pick.role),
            "text": row.text,
            "pictures": [
                {"alt": text_of(one.alt), "url": data_uri(one.pixels, 85)}
                for one in row.pictures
                if one.pixels is not None
            ],
        }
        for gallery in galleries
        for row in gallery.rows
    ]
    lines = [line for gallery in galleries for line in (gallery.lead, *gallery.problems) if line]
    return {"lines": [text_of(line) for line in dict.fromkeys(lines)], "rows": rows}
