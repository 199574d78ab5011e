"""Runs without training, and pages read back: what the tests of the report share."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright.config import Config
from maskwright.data.opening import open_dataset
from maskwright.data.pictures import palette
from maskwright.data.record import data_document, read_split
from maskwright.evaluation.intervals import intervals
from maskwright.evaluation.scoring import Evaluation
from maskwright.metrics.counts import Counts, count_image
from maskwright.metrics.scores import summary
from maskwright.prediction.writers import write_labels
from maskwright.reports.facts import Facts
from maskwright.runs import Run, provenance

LIMIT = 5_000_000

LAND = ("background", 'road & <b>"path"</b>', "field", "water", "building")


def fake_run(
    folder: Path,
    classes: Sequence[str] = LAND,
    sizes: tuple[int, int, int] = (3, 2, 8),
    epochs: int = 12,
    side: int = 32,
) -> Run:
    """A finished run on generated images; the prediction of the n-th image is wrong on n more columns."""
    data = folder / "data"
    dealt = [split for split, num in zip(("train", "val", "test"), sizes) for _ in range(num)]
    rows = ["image,mask,split"]
    for index, split in enumerate(dealt):
        image, mask = _pair(np.random.default_rng(index), len(classes), side)
        for name, pixels in (("images", image), ("masks", mask)):
            (data / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(data / name / f"{index}.png")
        rows.append(f"images/{index}.png,masks/{index}.png,{split}")
    (data / "pairs.csv").write_text("\n".join(rows) + "\n")
    config = Config.model_validate(
        {"data": {"root": str(data), "classes": list(classes)},
         "train": {"epochs": epochs, "batch_size": 4, "repeats": 2},
         "loss": [{"name": "ce"}, {"name": "dice", "weight": 0.5}]}
    )  # fmt: skip
    config = config.replace({"data.view": "whole", "data.size": 32, "train.precision": "fp32", "train.devices": "cpu"})
    run = Run.create(folder / "run")
    run.write_config(config, {})
    run.write_json("data.json", data_document(open_dataset(config.data).dataset))
    why = {"data.size": "it is small", "loss": "both <together>"}
    told = {"command": ["maskwright", "train", "a b"], "started": "2026-01-02T03:04:05+00:00"}
    run.write_json("environment.json", provenance(why) | told)
    run.write_rows("history.csv", history(epochs))
    score(run, "test" if sizes[2] else "val")
    return run


def _pair(rng: np.random.Generator, num_classes: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.kron(rng.integers(0, num_classes, (4, 4)), np.ones((side // 4, side // 4))).astype(np.uint8)
    image = palette(num_classes)[mask] // 2 + rng.integers(0, 90, (side, side, 3), np.uint8)
    if num_classes > 2:
        mask[:2] = 255
    return image.astype(np.uint8), mask


def history(epochs: int, **columns: Sequence[float]) -> list[dict[str, float]]:
    """Rows of history.csv that rise evenly to 0.9 (train) and 0.8 (val), and a last epoch that falls back to 0.7."""
    rows = []
    for epoch in range(epochs):
        done = (epoch + 1) / epochs
        rows.append({"epoch": epoch, "train_loss": 1.2 - done, "val_loss": 1.3 - done, "train_iou": 0.9 * done,
                     "val_iou": 0.8 * done, "lr": 0.001, "seconds": 2.0,
                     "images_per_second": 10.0 + epoch})  # fmt: skip
    if epochs > 1:
        rows[-1]["val_iou"] = 0.7
    for name, values in columns.items():
        for row, value in zip(rows, values):
            row[name] = value
    return rows


def score(run: Run, split: str, data: Path | None = None) -> None:
    """What `evaluate` writes, with predictions made up instead of predicted."""
    document = run.data
    names = tuple(document["classes"]["names"])
    parts = []
    for index, (name, _, mask) in enumerate(read_split(document, split, data)):
        labels = np.where(mask == 255, 0, mask).astype(np.uint8)
        labels[:, : 2 * index] = (labels[:, : 2 * index] + 1) % len(names)
        parts.append(count_image(name, mask, labels, len(names)))
        write_labels(run.root / "evaluation" / "predictions" / split / f"{name}.png", labels, len(names))
    counts = Counts.join(parts)
    found = Evaluation(run.name, split, names, summary(counts, names), intervals(counts), 0.25, counts)
    run.write(f"evaluation/{split}-counts.npz", counts.save)
    run.write_json(f"evaluation/{split}.json", found.to_json())


def facts_of(
    matrices: Sequence[Sequence[Sequence[int]]], rows: list[dict[str, float]] | None = None, **changes: Any
) -> Facts:
    """Facts made of confusion counts alone; images are named a, b, c, …"""
    found, counts = scored(tuple(tuple(map(tuple, matrix)) for matrix in matrices))
    num = len(matrices)
    config = Config().replace({"train.epochs": len(rows) if rows else 1, "augment": changes.pop("augment", "standard"),
                               "train.monitor": changes.pop("monitor", "val_iou")})  # fmt: skip
    document = {"splits": {"train": [{}] * changes.pop("num_train", 10), "val": [{}], "test": [{}] * num}}
    return replace(Facts("r", "test", "test", config, document, {}, rows or [], found, counts), **changes)


@functools.cache
def scored(matrices: tuple[tuple[tuple[int, ...], ...], ...]) -> tuple[dict[str, Any], Counts]:
    """The evaluation of images with these counts; a thousand resamples take a while, hence the cache."""
    matrix = np.array(matrices, np.int64)
    num, size = matrix.shape[:2]
    names = ("background", "cat", "dog", "cow")[:size]
    nothing = np.zeros((num, size), np.int64)
    counts = Counts(tuple("abcdefghijklmnop"[:num]), matrix, nothing, nothing)
    return Evaluation("r", "test", names, summary(counts, names), intervals(counts), 0.3, counts).to_json(), counts


def image_of(hits: int, missed: int, added: int = 0) -> list[list[int]]:
    """Counts of a 100-pixel image with two classes."""
    return [[100 - hits - missed - added, added], [missed, hits]]


@dataclass
class Page(HTMLParser):
    """What a browser would find in the HTML."""

    tables: list[list[list[str]]] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    text: str = ""
    svgs: int = 0
    heads: int = 0
    _into: str = ""
    _silent: bool = False

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        HTMLParser.__init__(page)
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._silent = tag == "style"
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._into = "cell"
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
            self._into = "heading"
        elif tag == "img":
            self.images.append({name: value or "" for name, value in attrs})
        self.svgs += tag == "svg"
        self.heads += tag == "th"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        if tag in ("td", "th") or re.fullmatch("h[1-6]", tag):
            self._into = ""

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text += data.replace("\xa0", " ")
        data = " ".join(data.split())
        if self._into == "cell":
            self.tables[-1][-1][-1] = f"{self.tables[-1][-1][-1]} {data}".strip()
        elif self._into == "heading":
            level, told = self.headings[-1]
            self.headings[-1] = (level, f"{told} {data}".strip())

    def table(self, corner: str) -> list[list[str]]:
        """The table whose first cell begins so."""
        return next(rows for rows in self.tables if rows[0][0].startswith(corner))

    @property
    def values(self) -> dict[str, list[str]]:
        """Attribute values by name."""
        found: dict[str, list[str]] = {}
        for _, name, value in self.attributes:
            found.setdefault(name, []).append(value)
        return found


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


ALIKE = [image_of(30, 10)] * 12  # twelve images of IoU 0.75: a narrow interval
