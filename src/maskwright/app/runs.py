"""The runs of a folder: found by listing it, told in a row each or on a page of their own; nothing here brings torch.

runs = Runs(Path("runs"))
runs.rows()                # what the list shows
runs.page("first")         # what a run's page shows
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fastapi import HTTPException

from maskwright import schemas
from maskwright.app.answers import text_of
from maskwright.config.base import best_index, seconds_of
from maskwright.data.pictures import css, palette
from maskwright.data.record import class_map, read_split, split_entries
from maskwright.errors import MaskwrightError, RunError
from maskwright.files import file_digest, plain
from maskwright.folders import worker_of
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import METRICS, headline_iou
from maskwright.prediction.bundle import FILE as BUNDLE
from maskwright.prediction.threshold import read_settled
from maskwright.runs import Run

FAILURE = "failure.json"
_DEEP = 5  # folders below the runs' folder that are looked into
_SPARKS = 40
_OF_ROW = ("config.yaml", "history.csv", "environment.json", "model.safetensors", "evaluation/test.json", FAILURE)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first page reads hundreds of them


@dataclass(frozen=True)
class Found:
    """A run or a bundle below the folder; `id` stands for it in addresses."""

    id: str
    root: Path
    kind: str  # "run" or "bundle"


class Runs:
    """What lies in a folder of runs; ids are looked up among what was listed, never made into paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._found: dict[str, Found] = {}
        self._listed = -math.inf
        self._rows: dict[Path, tuple[Any, dict[str, Any]]] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def found(self, newer: float = 1.0) -> dict[str, Found]:
        """Runs and bundles by id, listed anew when the list is older than a second."""
        with self._lock:
            if time.monotonic() - self._listed > newer:
                self._found = {one.id: one for one in self._walk()}
                self._listed = time.monotonic()
            return self._found

    def get(self, id: str, kind: str = "run") -> Found:
        """The run of an id."""
        one = self.found().get(id) or self.found(0.0).get(id)
        if one is None or (kind and one.kind != kind):
            raise HTTPException(
                404, f"a {kind or 'model'} must be one of {self.folder}; this one is not there. Reload the list."
            )
        return one

    def open(self, id: str) -> Run:
        """The run of an id; one with links that lead out of it is refused."""
        run = Run.open(self.get(id).root)
        for path in (one for folder in ("", "evaluation", "panels") for one in (run.root / folder).glob("*")):
            if path.is_symlink() and not inside(run.root, path):
                fix = "Put the file itself there."
                raise RunError(f"`{path}` must be a file of the run; it is a link to {path.resolve()}. {fix}")
        return run

    def _walk(self) -> list[Found]:
        roots: list[tuple[Path, str]] = []
        places = [(self.folder, 0)]
        while places:
            place, depth = places.pop()
            try:
                with os.scandir(place) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                continue
            names = {entry.name for entry in inside}
            if BUNDLE in names:
                roots.append((place, "bundle"))
            elif "config.yaml" in names and {"data.json", "environment.json"} & names:
                roots.append((place, "run"))
            elif depth < _DEEP:
                folders = [one for one in inside if one.name[0] != "." and one.is_dir(follow_symlinks=False)]
                places += [(Path(one.path), depth + 1) for one in folders]
        return [Found(_id_of(root, self.folder), root, kind) for root, kind in roots]

    def rows(self) -> list[dict[str, Any]]:
        """A row a run, the newest first; who asks while they are first read waits, and reads none again."""
        with self._reading:
            rows = [self.row(one) for one in self.found().values() if one.kind == "run"]
        return sorted(rows, key=lambda row: row["started"] or "", reverse=True)

    def row(self, one: Found) -> dict[str, Any]:
        """What the list shows of a run, read again when a file of it changed."""
        stamp = tuple(stamp_of(one.root / name) for name in _OF_ROW)
        kept = self._rows.get(one.root)
        if kept is None or kept[0] != stamp:
            kept = stamp, _row(one)
            self._rows[one.root] = kept
        row = dict(kept[1])
        if row["status"] not in ("finished", "failed") and worker_of(one.root):
            row["status"] = "training"
        return row

    def page(self, id: str) -> dict[str, Any]:
        """All that a run's page shows but its pictures."""
        run = self.open(id)
        row, document, config = self.row(self.get(id)), run.data, run.config
        rows, classes = run.history, class_map(document)
        watched = [one[config.train.monitor] for one in rows]
        best = best_index(watched, config.train.monitor)
        scores, confusion = {}, {}
        for split in document["splits"]:
            if (run.root / "evaluation" / f"{split}.json").is_file():
                found = run.evaluation(split)
                scores[split] = {**found["metrics"], "per_class": found["per_class"], "intervals": found["intervals"],
                                 "images": found["images"]}  # fmt: skip
                if (run.root / "evaluation" / f"{split}-counts.npz").is_file():
                    confusion[split] = {
                        "names": list(classes.names),
                        "counts": self.counts(run, split).total().tolist(),
                    }
        columns = list(dict.fromkeys(key for one in rows for key in one))
        auto = run.environment.get("auto", {}) if (run.root / "environment.json").is_file() else {}
        return plain({
            **row,
            "classes": classes_of(classes.names),
            "history": {key: [one.get(key, math.nan) for one in rows] for key in columns},
            "best_epoch": best, "scores": scores, "confusion": confusion, "diagnosis": _diagnosis(run) if rows else [],
            "threshold": self._threshold(run, document) if len(classes.names) == 2 else None,
            "splits": {split: len(entries) for split, entries in document["splits"].items() if entries},
            "config": (run.root / "config.yaml").read_text(encoding="utf-8"),
            "lines": [f"{key}: {reason}" for key, reason in auto.items()],
        })  # fmt: skip

    def _threshold(self, run: Run, document: Mapping[str, Any]) -> dict[str, Any]:
        tuned = None
        if run.weights.is_file() and (run.root / "evaluation" / "settled.json").is_file():
            settled = read_settled(run, document, file_digest(run.weights)) or {}
            tuned = (settled.get("threshold") or {}).get("value")
        return {"own": run.config.train.mask_threshold, "tuned": tuned}

    def counts(self, run: Run, split: str) -> Counts:
        return Counts.load(run.root / "evaluation" / f"{split}-counts.npz")


@dataclass(frozen=True)
class Shown:
    """An image of a run: its number, split and entry in data.json."""

    id: str
    split: str
    entry: dict[str, Any]


def images_of(run: Run) -> list[Shown]:
    """The images of all splits in the order of data.json; an image's id is its place there."""
    document = run.data
    found = [
        (split, entry)
        for split in document["splits"]
        if document["splits"][split]
        for entry in split_entries(document, split)
    ]
    return [Shown(str(number), split, entry) for number, (split, entry) in enumerate(found)]


def image_of(run: Run, id: str) -> Shown:
    images = images_of(run)
    if not (id.isdecimal() and len(id) < 10 and int(id) < len(images)):
        raise HTTPException(404, f"an image must be one of the run's {len(images)}; got another. Reload the list.")
    return images[int(id)]


def read_image(run: Run, one: Shown) -> tuple[np.ndarray, np.ndarray]:
    """Image and truth, each file checked against its hash."""
    document = run.data
    _, pixels, truth = next(read_split({**document, "splits": {one.split: [one.entry]}}, one.split))
    return pixels, truth


@dataclass(frozen=True)
class Wish:
    """Which images of a run are asked for, and in which order."""

    split: str = ""
    sort: str = "name"
    cls: str = ""
    min_score: float | None = None
    max_score: float | None = None
    min_area: int | None = None
    max_area: int | None = None

    def choose(self, run: Run) -> list[dict[str, Any]]:
        """Items with score, score of each class and area: a class's true pixels, else those of all but the first."""
        names = class_map(run.data).names
        if self.cls and self.cls not in names:
            raise HTTPException(422, f"`class` must be one of the run's ({', '.join(names)}); got another.")
        index = names.index(self.cls) if self.cls else None
        counted: dict[tuple[str, str], np.ndarray] = {}
        for split in ("train", "val", "test"):
            if (run.root / "evaluation" / f"{split}-counts.npz").is_file():
                counts = Counts.load(run.root / "evaluation" / f"{split}-counts.npz")
                counted |= {(split, name): matrix for name, matrix in zip(counts.images, counts.matrix, strict=True)}
        items = [self._item(one, counted.get((one.split, one.entry["id"])), names, index) for one in images_of(run)]
        items = [item for item in items if self._fits(item)]
        if self.sort in ("worst", "best"):
            sign = 1 if self.sort == "worst" else -1
            items.sort(key=lambda item: (item["score"] is None, sign * (item["score"] or 0), item["name"]))
        else:
            items.sort(key=lambda item: item["name"])
        return items

    def _item(self, one: Shown, matrix: np.ndarray | None, names: tuple[str, ...], index: int | None) -> dict[str, Any]:
        height, width = one.entry["size"]
        item: dict[str, Any] = {"id": one.id, "name": text_of(one.entry["id"]), "split": one.split, "width": width,
                                "height": height, "score": None, "per_class": {}, "area": None}  # fmt: skip
        if matrix is not None and matrix.shape[0] == len(names):
            ious = METRICS["iou"](matrix)
            true = matrix.sum(1)
            item["per_class"] = {name: float(value) for name, value in zip(names, ious, strict=True)}
            item["score"] = headline_iou(matrix) if index is None else float(ious[index])
            item["area"] = int(true[1:].sum() if index is None else true[index])
            item["has"] = index is None or bool(true[index] or matrix.sum(0)[index])
        return plain(item)

    def _fits(self, item: dict[str, Any]) -> bool:
        if (self.split and item["split"] != self.split) or not item.pop("has", not self.cls):
            return False
        limits = (("score", self.min_score, self.max_score), ("area", self.min_area, self.max_area))
        for key, low, high in limits:
            value = item[key]
            if (low is not None and (value is None or value < low)) or (
                high is not None and (value is None or value > high)
            ):
                return False
        return True


def classes_of(names: tuple[str, ...]) -> list[dict[str, str]]:
    """Names with their colours."""
    return [{"name": name, "colour": css(colour)} for name, colour in zip(names, palette(len(names)), strict=False)]


def _diagnosis(run: Run) -> list[dict[str, Any]]:
    from maskwright.training.diagnose import diagnose

    keys = {"severity": "severity", "title": "title", "text": "evidence", "advice": "advice"}
    return [{key: one.to_json()[name] for key, name in keys.items()} for one in diagnose(run)]


def _id_of(root: Path, folder: Path) -> str:
    """A run's path below the folder with ~ for /; where that holds other letters than ids may, its hash beside it."""
    name = "~".join(root.relative_to(folder).parts) or root.name
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("~", "\0")).replace("\0", "~")
    told = "~".join(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in root.relative_to(folder).parts) or safe
    if told != name or "~" in "".join(root.relative_to(folder).parts):
        return f"{told[:80]}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"
    return name


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Another where a file is another."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def inside(root: Path, path: Path) -> bool:
    """Whether a file is there, and no link leads out of the folder to it."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def _row(one: Found) -> dict[str, Any]:
    run, error = Run(one.root), None
    row: dict[str, Any] = {
        "id": one.id, "name": text_of(run.name), "status": "stopped", "model": "", "data": "", "data_root": "",
        "metric": "val_iou", "score": None, "epoch": 0, "epochs": None, "budget": None,
        "progress": None, "seconds": 0.0, "started": None, "sparkline": [], "error": None,
    }  # fmt: skip
    try:
        history = run.history if inside(one.root, one.root / "history.csv") else []
        config = (
            yaml.load(run.root.joinpath("config.yaml").read_text("utf-8"), _Loader)
            if inside(one.root, one.root / "config.yaml")
            else None
        )
        row |= _settings(config if isinstance(config, dict) else {}, history)
        if inside(one.root, one.root / "environment.json"):
            row["started"] = run.read_json("environment.json")["started"]
        if inside(one.root, one.root / "evaluation/test.json"):
            found = run.read_json("evaluation/test.json", schemas.Evaluation)
            row |= {"metric": "test_iou", "score": found["metrics"].get("iou")}
        if run.weights.is_file():
            row |= {"status": "finished", "progress": 1.0}
        elif inside(one.root, one.root / FAILURE):
            row |= {"status": "failed", "error": run.read_json(FAILURE, schemas.FailureReason)["reason"]}
    except (MaskwrightError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as problem:
        row["status"] = "failed"  # spoilt by somebody: it stands in the list all the same
        error = str(problem).splitlines()[0][:300]
    return plain(row | ({"error": error} if error else {}))


def _settings(config: dict[str, Any], history: list[dict[str, float]]) -> dict[str, Any]:
    """What the row says of the configuration and of how far the run has come."""
    model, train = config.get("model") or {}, config.get("train") or {}
    monitor = str(train.get("monitor") or "val_iou")
    values = [row.get(monitor, math.nan) for row in history]
    place = best_index(values, monitor)
    best = None if place is None else values[place]
    seconds = sum(row["seconds"] for row in history)
    epochs = train.get("epochs") if isinstance(train.get("epochs"), int) else None
    budget = str(train["budget"]) if train.get("budget") else None
    whole = seconds_of(budget) if budget else None
    progress = min(1.0, seconds / whole) if whole else min(1.0, len(history) / epochs) if epochs else None
    step = max(1, math.ceil(len(values) / _SPARKS))
    parts = [model.get(key) for key in ("arch", "encoder", "size")]
    root = str((config.get("data") or {}).get("root") or "")
    return {"model": "/".join(str(part) for part in parts if part) or str(model.get("name", "")),
            "data": Path(root).name, "data_root": root, "metric": monitor, "score": best, "epoch": len(history),
            "epochs": epochs, "budget": budget, "progress": progress, "seconds": round(seconds, 1),
            "sparkline": values[::-1][::step][::-1]}  # fmt: skip
