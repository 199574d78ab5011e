"""What predicts: runs and bundles, opened when they are first asked, one image at a time in one thread.

A bundle needs no torch; a run brings it, in that thread, so that nobody who only looks waits for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeVar

import numpy as np

from maskwright.app.runs import Found, Runs
from maskwright.data.dataset import IGNORE
from maskwright.data.geometry import View
from maskwright.data.tiles import predict_whole
from maskwright.errors import MaskwrightError
from maskwright.prediction.bundle import FILE, read_bundle
from maskwright.prediction.combine import entropy
from maskwright.prediction.network import Network, open_network
from maskwright.prediction.outputs import CERTAIN
from maskwright.prediction.threshold import labels_from_probabilities
from maskwright.runs import PREDICTS, Run

T = TypeVar("T")
Corner = tuple[int, int]  # x, y
WINDOW = 512  # pixels a side, as the network sees them, that are predicted about a place
_OPEN = 2  # networks that stay in memory
# the thresholds i/254, as a network's float32 is compared with them
THRESHOLDS = (np.arange(CERTAIN + 1) / CERTAIN).astype(np.float32)


class Unwanted(Exception):
    """Nobody waits for it any more."""


@dataclass(frozen=True)
class Maps:
    """What a network says of an image, each H W uint8: classes, foreground's probability (of two), how undecided."""

    labels: np.ndarray
    probability: np.ndarray | None
    uncertainty: np.ndarray


class Models:
    """The models of a folder, by the ids of their runs and bundles."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._waiting: PriorityQueue[tuple[int, int, Callable[[], object] | None, Future[Any]]] = PriorityQueue()
        self._numbers, self._rank = count(), 0
        threading.Thread(target=self._work, name="maskwright-predict", daemon=True).start()
        self._open: OrderedDict[Any, Network] = OrderedDict()
        self._classes: dict[Any, list[str]] = {}

    def close(self) -> None:
        """End the thread after what it does now."""
        self._add(-1, None)

    def _add(self, rank: int, work: Callable[[], T] | None) -> Future[T]:
        found: Future[T] = Future()
        self._waiting.put((rank, next(self._numbers), work, found))
        return found

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        rank, _, work, found = self._waiting.get()
        if work is None:
            return False
        before, self._rank = self._rank, rank
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            found.set_exception(error)
        finally:
            self._rank = before
        return True

    def _do_urgent(self) -> None:
        """What has come meanwhile and has a lower rank goes first, between two tiles of a large image."""
        while self._waiting.queue and 0 <= self._waiting.queue[0][0] < self._rank:
            self._do_next()

    def rows(self) -> list[dict[str, Any]]:
        """What can predict: finished runs and bundles."""
        rows = []
        for one in self.runs.found().values():
            classes = self._classes_of(one)
            rows += [{"id": one.id, "name": one.root.name, "kind": one.kind, "classes": classes}] if classes else []
        return sorted(rows, key=lambda row: (row["kind"], row["id"]))

    def _classes_of(self, one: Found) -> list[str]:
        """The classes of a model that can predict; none of one that cannot. Read again when the model is another."""
        key = self.stamp(one.id)
        if key not in self._classes:
            self._classes[key] = _classes(one)
        return self._classes[key]

    def stamp(self, id: str) -> tuple[Any, ...]:
        """Another where a model is another."""
        one = self.runs.get(id, "")
        names = PREDICTS if one.kind == "run" else (FILE,)
        stats = [path.stat() if path.is_file() else None for path in (one.root / name for name in names)]
        return (str(one.root), *((stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat else None for stat in stats))

    def call(self, work: Callable[[], T], rank: int = 1) -> T:
        """Do something with a network, one after another: two at once would take twice the memory and no less time."""
        return self._add(rank, work).result()

    def submit(self, work: Callable[[], object], rank: int = 2) -> None:
        """The same, with nobody waiting for it: what somebody waits for goes first, and what has the lower rank."""
        self._add(rank, work)

    def network(self, id: str) -> Network:
        """The network of an id; only ever called in the thread that predicts."""
        key = self.stamp(id)
        if key not in self._open:
            self._open[key] = self._load(id)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def _load(self, id: str) -> Network:
        network = open_network(self.runs.get(id, "").root)

        def forward(images: np.ndarray) -> np.ndarray:
            self._do_urgent()
            return network.forward(images)

        if model := getattr(network, "model", None):  # a run's labels come of its logits, tile by tile as well
            model.register_forward_pre_hook(lambda *_: self._do_urgent())
        return replace(network, forward=forward)

    def maps(self, id: str, pixels: np.ndarray, valid: np.ndarray | None = None) -> Maps:
        """Labels, probability and uncertainty of an image H W C as this model sees it."""
        return self.call(lambda: maps_of(self.network(id), pixels, valid))

    def labels(self, id: str, pixels: np.ndarray) -> np.ndarray:
        """The labels alone."""
        return self.call(lambda: labels_of(self.network(id), pixels))

    def labels_about(
        self, id: str, pixels: np.ndarray, x: int, y: int, wanted: Callable[[], bool]
    ) -> tuple[np.ndarray, Corner]:
        """Those about a place of an image H W C: before all else, and only if they are still wanted by then."""

        def look() -> tuple[np.ndarray, Corner]:
            if not wanted():
                raise Unwanted
            network = self.network(id)
            rows, columns = window_about(network.view, pixels.shape[0], pixels.shape[1], x, y)
            return labels_of(network, np.ascontiguousarray(pixels[rows, columns])), (columns.start, rows.start)

        return self.call(look, rank=0)


def window_about(view: View, height: int, width: int, x: int, y: int) -> tuple[slice, slice]:
    """What a network sees of an image about a place: 512 pixels at its own scale, or all where it sees images whole."""
    side = round(WINDOW / view.scale) if view.kind == "crop" else max(height, width)
    top, left = (min(max(0, at - side // 2), max(0, length - side)) for at, length in ((y, height), (x, width)))
    return slice(top, min(height, top + side)), slice(left, min(width, left + side))


def labels_of(network: Network, pixels: np.ndarray) -> np.ndarray:
    """A run's are those that evaluating goes by; a bundle's those that it predicts. H W C → H W uint8"""
    if hasattr(network, "logits"):
        return network.labels(network.logits(pixels))  # pyright: ignore
    threshold = network.threshold_for(None)
    reduce = partial(labels_from_probabilities, threshold=threshold)
    return predict_whole(pixels, network.view, network.forward, reduce)


def maps_of(network: Network, pixels: np.ndarray, valid: np.ndarray | None = None) -> Maps:
    """A run's are those that evaluating goes by; a bundle's those that it predicts."""
    logits = getattr(network, "logits", None)
    if logits is not None:
        found = logits(pixels)
        probabilities, labels = found.softmax(dim=1)[0].cpu().numpy(), network.labels(found)  # pyright: ignore
    else:
        probabilities = predict_whole(pixels, network.view, network.forward)
        labels = labels_from_probabilities(probabilities, network.threshold_for(None))
    undecided = np.rint(entropy(probabilities) * CERTAIN).astype(np.uint8)
    steps = None
    if len(probabilities) == 2:  # how many thresholds lie below, so that step >= i says probability > i / 254
        steps = np.maximum(np.searchsorted(THRESHOLDS, probabilities[1], side="left") - 1, 0).astype(np.uint8)
    for plane in (labels, undecided, steps):
        if plane is not None and valid is not None:
            plane[~valid] = IGNORE
    return Maps(labels, steps, undecided)


def curve(steps: np.ndarray, truth: np.ndarray) -> dict[str, list[int]]:
    """Pixels by truth and prediction at each threshold i/254, what is ignored left out. steps, truth H W uint8"""
    scored = truth != IGNORE
    found = np.bincount(steps[scored].astype(np.int64) + 256 * truth[scored].astype(np.int64), minlength=512).reshape(
        -1, 256
    )[:2, : CERTAIN + 1]
    above = np.cumsum(found[:, ::-1], axis=1)[:, ::-1]  # pixels at least as probable
    below = found.sum(1, keepdims=True) - above
    return {"tp": above[1].tolist(), "fp": above[0].tolist(), "fn": below[1].tolist()}


def _classes(one: Found) -> list[str]:
    try:
        if one.kind == "bundle":
            return list(read_bundle(one.root)["classes"])
        return list(Run(one.root).data["classes"]["names"]) if (one.root / "model.safetensors").is_file() else []
    except MaskwrightError:
        return []
