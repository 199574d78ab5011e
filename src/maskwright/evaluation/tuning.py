"""What is tuned on val and nowhere else: the temperature and the foreground threshold, in
RUN/evaluation/settled.json.

    tuned_on_val(run, Predictor.from_run(run), tune=True).threshold.value

Nothing here takes the name of a split, and `ValImages` holds no entry of any other, so test cannot have a say.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.data.dataset import IGNORE
from maskwright.data.record import read_split
from maskwright.data.tiles import EVEN
from maskwright.errors import DataError, must
from maskwright.evaluation.calibration import (
    COOLEST,
    WARMEST,
    Reliability,
    confidence,
    fit_temperature,
    likelihood_loss,
)
from maskwright.evaluation.intervals import draw, num_units, percentile_interval
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.threshold import SETTLED, Wish, fingerprint_of
from maskwright.runs import Run

STEPS = 256
GRID = np.arange(1, STEPS) / STEPS  # the thresholds looked at


@dataclass(frozen=True)
class BestThreshold:
    """The threshold with the highest IoU on val, and what it was chosen on.

    `interval` is where it would lie with other images of the same kind, 95 % of the time; `curve` the IoU at each of
    `GRID`.
    """

    value: float
    iou: float
    iou_at_half: float
    interval: tuple[float, float]
    curve: tuple[float, ...]


def foreground_counts(probability: torch.Tensor, truth: np.ndarray) -> np.ndarray:
    """Pixels by truth and step of their foreground probability. H W float32, H W uint8 with IGNORE → 2 Q int64

    >>> foreground_counts(torch.tensor([[0.0, 0.5, 1.0]]), np.array([[0, 1, 255]], np.uint8)).nonzero()
    (array([0, 1]), array([  0, 127]))
    """
    step = (probability * STEPS).ceil_().to(torch.int32).sub_(1).clamp_(0, STEPS - 1)
    valid = truth != IGNORE
    code = step.cpu().numpy()[valid] + STEPS * truth[valid].astype(np.int32)
    return np.bincount(code, minlength=2 * STEPS).reshape(2, STEPS)


def iou_curve(counts: np.ndarray) -> np.ndarray:
    """IoU of the foreground at each threshold of the grid. … 2 Q → … Q-1; NaN where nothing is or is called so"""
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]  # … 2 Q, pixels above the step's threshold
    hits, false = above[..., 1, 1:].astype(float), above[..., 0, 1:].astype(float)
    whole = above[..., 1, :1] + false
    return np.divide(hits, whole, out=np.full(hits.shape, np.nan), where=whole > 0)


def best_threshold(counts: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> BestThreshold | None:
    """The threshold with the highest IoU, of equals the nearest to a half; None where no pixel is foreground. N 2 Q"""
    total = counts.sum(0)
    if not total[1].any():
        return None
    curve = iou_curve(total)
    place = int(_best(curve[None])[0])
    draws = draw(groups, seed=seed)
    pooled = (draws @ counts.reshape(len(counts), -1).astype(float)).reshape(-1, 2, STEPS)
    seen = pooled[pooled[:, 1].any(1)]  # a resample without foreground has no best threshold
    low, high = percentile_interval(GRID[_best(iou_curve(seen))], num_units(groups))
    half = float(curve[STEPS // 2 - 1])
    return BestThreshold(float(GRID[place]), float(curve[place]), half, (low, high), tuple(curve.tolist()))


def _best(curves: np.ndarray) -> np.ndarray:
    """The place of each curve's highest value, of equals the nearest to a half. R Q-1 → R"""
    nearest = np.argsort(np.abs(GRID - 0.5), kind="stable")
    return nearest[np.argmax(curves[:, nearest], axis=1)]


SEED = 0
IMAGES = 200  # val images the temperature is fitted on at most; the threshold takes them all
PIXELS = 100_000  # pixels it is fitted on at most, and
_VALUES = 4_000_000  # their logits
Progress = Callable[[int, int], None]


class ValImages:
    """The val images of a run, as its data.json lists them, each file checked against its hash when it is read.

    It keeps val's entries alone, so whoever holds one cannot read another split through it.
    """

    def __init__(self, run: Run, data: Path | None = None) -> None:
        document = run.data
        self._document = {**document, "splits": {"val": document["splits"].get("val", [])}}
        self._data = data

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Val's entries of data.json."""
        return self._document["splits"]["val"]

    @property
    def groups(self) -> list[str | None]:
        """The group of each image, None for one of its own."""
        return [entry["group"] for entry in self.entries]

    @property
    def areas(self) -> list[int]:
        """Pixels of each image."""
        return [math.prod(entry["size"]) for entry in self.entries]

    @property
    def images(self) -> list[dict[str, str]]:
        """Name and hashes of each image, as settled.json keeps them."""
        return [{key: entry[key] for key in ("id", "image_sha256", "mask_sha256")} for entry in self.entries]

    @property
    def fingerprint(self) -> str:
        """A hash of all that val is."""
        return fingerprint_of(self.entries)

    def read(self, places: Sequence[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name, image and mask (class numbers) of the val images at these places, in their order."""
        chosen = [self.entries[place] for place in places]
        return read_split({**self._document, "splits": {"val": chosen}}, "val", self._data)


@dataclass(frozen=True)
class Temperature:
    """The temperature fitted by likelihood on a seeded sample of val's pixels, and how much it improves on that sample.

    `value` is None where none could be fitted, and `reason` says why.
    """

    value: float | None
    reason: str | None
    images: int
    pixels: int
    loss: float | None
    loss_after: float | None
    error: float | None
    error_after: float | None
    seed: int = SEED


@dataclass(frozen=True)
class Tuned:
    """What val decided, with the evidence; `threshold` is None where it was not asked for."""

    temperature: Temperature
    threshold: BestThreshold | None


@dataclass(frozen=True)
class Threshold:
    """The foreground threshold a split was scored with: `fixed`, or `tuned` on val, with what it was chosen on."""

    value: float
    tuned: BestThreshold | None = None

    def to_json(self) -> dict[str, Any]:
        """The `threshold` of evaluation/SPLIT.json."""
        if self.tuned is None:
            return {"value": self.value, "how": "fixed", "on": None}
        best = self.tuned
        found = {"val_iou": best.iou, "val_iou_at_half": best.iou_at_half, "interval": _interval(best)}
        return {"value": self.value, "how": "tuned", "on": "val", **found}

    def __str__(self) -> str:
        if self.tuned is None:
            return f"foreground from probability {self.value:g} (fixed)"
        best = self.tuned
        low, high = best.interval
        spread = "" if math.isnan(low) else f"; with other val images {low:.2f} to {high:.2f}"
        return (
            f"foreground from probability {self.value:.3f} (tuned: IoU on val {best.iou:.4f}, "
            f"{best.iou_at_half:.4f} at 0.5{spread})"
        )


def threshold_used(wish: Wish, on_val: Tuned | None, own: float = EVEN) -> Threshold:
    """The threshold of two classes that a wish comes to; `own` is the one the run was trained with."""
    if wish != "tuned":
        return Threshold(own if wish is None else wish)
    assert on_val is not None and on_val.threshold is not None, "tuned_on_val(tune=True) comes before"
    return Threshold(on_val.threshold.value, on_val.threshold)


def tuned_on_val(
    run: Run, predictor: Predictor, tune: bool = False, data: Path | None = None, progress: Progress | None = None
) -> Tuned:
    """What val says, read where these weights and val images were tuned before, else tuned now and kept.

    A threshold that is asked for must be had. A temperature is a remark on a score: where val's files can't be read,
    there is none and its reason says so.
    """
    found = _read(predictor.settled)
    if found and (found.threshold or not tune):
        return found
    val = ValImages(run, data)
    try:
        result = fit_on_val(val, predictor, tune, progress)
    except DataError as error:
        if tune:
            raise
        return Tuned(_no_temperature(f"val could not be read: {error}"), None)
    run.write_json(SETTLED, _document(result, val, predictor.weights))
    return result


def fit_on_val(val: ValImages, predictor: Predictor, tune: bool = False, progress: Progress | None = None) -> Tuned:
    """Predict val's images once, fit the temperature and, if asked, find the threshold with the highest IoU."""
    if not val.entries:
        if tune:
            raise DataError(
                must(
                    "--mask-threshold tuned",
                    "tuned on val images",
                    "a run without any",
                    "Leave it out for the run's own.",
                )
            )
        return Tuned(_no_temperature("the run has no val images"), None)
    sampler = _Sampler(val, predictor.classes.num_classes)
    places = list(range(len(val.entries))) if tune else sorted(sampler.places)
    counts: list[np.ndarray] = []
    for done, (place, (_, image, mask)) in enumerate(zip(places, val.read(places), strict=True)):
        logits = predictor.logits(image)
        sampler.take(place, logits, mask)
        if tune:
            counts.append(foreground_counts(logits.softmax(dim=1)[0, 1], mask))
        if progress:
            progress(done + 1, len(places))
    best = best_threshold(np.stack(counts), val.groups, SEED) if tune else None
    if tune and best is None:
        got = f"{len(places)} without any"
        raise DataError(
            must(
                "--mask-threshold tuned",
                "tuned on val masks that hold foreground",
                got,
                "Leave it out for the run's own.",
            )
        )
    return Tuned(sampler.fit(), best)


class _Sampler:
    """Logits of pixels drawn evenly over val, with a seed: of at most `IMAGES` images, at most `PIXELS` pixels."""

    def __init__(self, val: ValImages, num_classes: int) -> None:
        areas = val.areas
        drawn = np.random.default_rng(SEED).permutation(len(areas))[:IMAGES]
        self.places = {int(place) for place in drawn}
        most = min(PIXELS, _VALUES // num_classes)
        share = min(1.0, most / sum(areas[place] for place in self.places))
        self._quota = {place: max(1, int(areas[place] * share)) for place in self.places}
        self._logits: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []

    def take(self, place: int, logits: torch.Tensor, mask: np.ndarray) -> None:
        """Keep this image's share of the sample. logits 1 K H W, mask H W"""
        if place not in self.places:
            return
        truth = mask.ravel()
        rng = np.random.default_rng((SEED, place))
        chosen = rng.choice(len(truth), min(self._quota[place], len(truth)), replace=False, shuffle=False)
        chosen = chosen[truth[chosen] != IGNORE]
        planes = logits[0].flatten(1)  # K HW
        self._logits.append(planes[:, torch.from_numpy(chosen).to(planes.device)].T.cpu().numpy())
        self._truth.append(truth[chosen].astype(np.int64))

    def fit(self) -> Temperature:
        """The temperature of what was drawn."""
        logits, truth = np.concatenate(self._logits), np.concatenate(self._truth)
        if not len(truth):
            return _no_temperature("no pixel of the val images is labelled")
        if not np.isfinite(logits).all():
            return _no_temperature("the network's output on val is not finite")
        value = fit_temperature(logits, truth)
        before, error = likelihood_loss(logits, truth), _error(logits, truth)
        reason = None if value else f"val is likeliest at none from {COOLEST:g} to {WARMEST:g}{_why(logits, truth)}"
        after, error_after = (
            (likelihood_loss(logits, truth, value), _error(logits, truth, value)) if value else (None, None)
        )
        return Temperature(value, reason, len(self.places), len(truth), before, after, error, error_after)


def _no_temperature(reason: str) -> Temperature:
    return Temperature(None, reason, 0, 0, None, None, None, None)


def _why(logits: np.ndarray, truth: np.ndarray) -> str:
    return ", for every pixel drawn is right" if (logits.argmax(1) == truth).all() else ""


def _error(logits: np.ndarray, truth: np.ndarray, temperature: float = 1.0) -> float:
    """The calibration error of the sample. logits M K, truth M"""
    planes = torch.from_numpy(np.ascontiguousarray(logits.T))[..., None]  # K M 1
    reliability = Reliability()
    reliability.add(confidence(planes, temperature).flatten(), logits.argmax(1) == truth)
    return reliability.error


def _document(on_val: Tuned, val: ValImages, weights: str) -> dict[str, Any]:
    return {
        "on": "val",
        "fingerprint": val.fingerprint,
        "weights_sha256": weights,
        "images": val.images,
        "temperature": dataclasses.asdict(on_val.temperature),
        "threshold": _threshold(on_val.threshold) if on_val.threshold else None,
    }


def _threshold(best: BestThreshold) -> dict[str, Any]:
    chosen = {"value": best.value, "iou": best.iou, "iou_at_half": best.iou_at_half, "interval": _interval(best)}
    return {**chosen, "grid": GRID.tolist(), "curve": list(best.curve)}


def _interval(best: BestThreshold) -> list[float] | None:
    """None for a single image, which tells nothing of the spread."""
    return None if math.isnan(best.interval[0]) else list(best.interval)


def _read(document: dict[str, Any] | None) -> Tuned | None:
    """What settled.json says."""
    if document is None:
        return None
    best = document["threshold"]
    if best is not None:
        low, high = best["interval"] or (math.nan, math.nan)
        best = BestThreshold(best["value"], best["iou"], best["iou_at_half"], (low, high), tuple(best["curve"]))
    known = {field.name for field in dataclasses.fields(Temperature)}
    return Tuned(Temperature(**{key: value for key, value in document["temperature"].items() if key in known}), best)
