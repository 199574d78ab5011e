"""The rules of a diagnosis that read images: masks, classes, validation's size, what lies on both sides of the split."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np

from maskwright.metrics.scores import beaten_unlooked, collapsed_class, headline_iou
from maskwright.training.diagnose_evidence import Evidence, Finding, setting_figures
from maskwright.training.diagnose_trend import swing, trend, usual

FEW_IMAGES, VERY_FEW_IMAGES = 10, 5
WIDE_INTERVAL, VERY_WIDE_INTERVAL = 0.10, 0.20
SWING, WIDE_SWING = 0.01, 0.05  # of validation IoU between epochs
AHEAD = {"none": 0.05, "light": 0.10, "standard": 0.20, "heavy": 0.30, "own": 0.30}  # val over train that augmentation explains
OPPOSITE, ELSEWHERE, LEAST_AREA = 0.9, 0.8, 0.01  # of a class in one image predicted as another; right elsewhere; of the image


def collapse(evidence: Evidence) -> Finding | None:
    """Nearly every pixel is predicted as one class."""
    counts = evidence.counts.get("val")
    if counts is not None:
        total = counts.total()
        shares, truth = total.sum(0) / max(1, total.sum()), total.sum(1) / max(1, total.sum())
        top = collapsed_class(total)
        if top is not None:
            return Finding("collapse", "warning", {"class": evidence.classes[top], "predicted": float(shares[top]),
                                                   "truth": float(truth[top]), "on": "val"})  # fmt: skip
    # the weights evaluated are of the best epoch; what came after may have collapsed all the same
    return _collapse_by_score(evidence)


def _collapse_by_score(evidence: Evidence) -> Finding | None:
    """Without counts: an IoU that stands where predicting one class alone would put it."""
    shares, last = evidence.class_shares, evidence.val_iou[-max(3, evidence.num_epochs // 4) :]
    last = last[np.isfinite(last)]
    if len(last) < 2 or not shares or max(shares) > 0.9995 or np.ptp(last) > 0.004:
        return None
    if evidence.num_epochs and evidence.best is not None and evidence.val_iou[evidence.best] > last.max() + 0.05:
        return None  # it did better before: that is another story
    level = float(np.mean(last))
    for index, share in enumerate(shares):
        alone = (share if index == 1 else 0.0) if len(shares) == 2 else share / sum(one > 0 for one in shares)
        # shares are of all images, those of validation may differ
        if abs(level - alone) < (0.002 if alone == 0 else 0.05 * alone) and (len(shares) == 2 or share == max(shares)):
            figures = {"class": evidence.classes[index], "iou": level, "alone": alone, "truth": share, "on": "history"}
            return Finding("collapse", "warning", figures)
    return None


def unlooked(evidence: Evidence) -> Finding | None:
    """Fewer pixels are right than if one class were answered everywhere; on validation images, else on those learned from."""
    for split in ("val", "train"):
        counts = evidence.counts.get(split)
        if counts is not None:
            found = beaten_unlooked(counts.total(), evidence.classes)
            return Finding("unlooked", "warning", {**asdict(found), "on": split}) if found else None
    return None


def class_missed(evidence: Evidence) -> Finding | None:
    """Classes that are in the validation masks and never predicted."""
    counts = evidence.counts.get("val")
    if counts is None:
        return None
    total = counts.total()
    missed = [evidence.classes[index] for index in range(len(total)) if total[index].sum() and not total[:, index].sum()]
    shares = total.sum(1) / max(1, total.sum())
    figures = {"classes": missed, "shares": [float(shares[evidence.classes.index(name)]) for name in missed]}
    return Finding("class-missed", "warning", figures) if missed else None


def val_small(evidence: Evidence) -> Finding | None:
    """Validation says too little: few images, a wide interval, or scores that swing from epoch to epoch."""
    low, high = evidence.val_interval
    width = high - low
    settled = evidence.val_iou[max(evidence.start, evidence.num_epochs // 2) :]
    swings = swing(settled)
    num = evidence.num_val
    grave = num < VERY_FEW_IMAGES or width > VERY_WIDE_INTERVAL or (swings > WIDE_SWING and num < 30)
    some = num < FEW_IMAGES or width > WIDE_INTERVAL or (swings > SWING and num < 30)
    if num == 0 or not (grave or some):
        return None
    figures = {"images": num, "low": low, "high": high, "width": width, "swing": swings, "epochs": len(settled),
               "is_dealt": evidence.is_dealt}  # fmt: skip
    return Finding("val-small", "warning" if grave else "note", figures)


def leakage(evidence: Evidence) -> Finding | None:
    """The same images or groups on both sides of a split, or validation better than training beyond what explains it."""
    if evidence.shared or evidence.parted:
        return Finding("leakage", "warning", {"shared": list(evidence.shared), "parted": list(evidence.parted)})
    ahead = -evidence.gap()
    is_plain = {"train", "val"} <= evidence.counts.keys()  # both by the same weights on images as they are
    allowed = AHEAD["none"] if is_plain else AHEAD[evidence.settings.augment]
    settled = evidence.val_iou[evidence.start :] - evidence.train_iou[evidence.start :]
    if math.isnan(ahead) or ahead <= allowed or evidence.num_val < FEW_IMAGES:
        return None
    if not is_plain:
        slope = trend(settled[-max(4, len(settled) // 2) :])
        # weights still moving and statistics not settled keep training scores down at first; what closes is no leak
        if evidence.num_epochs < 10 or math.isnan(slope.slope) or slope.falls or np.nanmin(settled[-4:]) <= allowed:
            return None
    how = "evaluated" if is_plain else evidence.settings.augment
    return Finding("leakage", "note", {"ahead": ahead, "allowed": allowed, "how": how, **setting_figures(evidence)})


def label_noise(evidence: Evidence) -> Finding | None:
    """Images in which the network holds one class for another throughout, though it knows both elsewhere."""
    suspects: list[tuple[str, str, str, float, str]] = []
    for split in ("train", "val"):
        counts = evidence.counts.get(split)
        if counts is not None and len(counts.images) >= 4:
            suspects += [(*one, split) for one in _suspects(counts.images, counts.matrix, evidence.classes)]
    if not suspects:
        return None
    num = sum(len(counts.images) for counts in evidence.counts.values())
    images = list(dict.fromkeys(name for name, *_ in suspects))
    learned = {one[0] for one in suspects if one[4] == "train"}  # not believed although they were trained on
    grave = len(learned) >= 1 and len(images) >= 2
    figures = {"images": images, "of": num, "suspects": [list(one) for one in suspects], "learned": len(learned),
               "sure_and_wrong": evidence.sure_and_wrong}  # fmt: skip
    return Finding("label-noise", "warning" if grave else "note", figures)


def _suspects(images: tuple[str, ...], matrix: np.ndarray, classes: tuple[str, ...]) -> list[tuple[str, str, str, float]]:
    """(image, class in the mask, class predicted, share) where one is taken for another. matrix N K K"""
    pixels = np.maximum(1, matrix.sum((1, 2)))
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    # medians over images: two wrong masks among ten must not hide each other
    recall, precision = _medians(hits, matrix.sum(2)), _medians(hits, matrix.sum(1))
    found: list[tuple[str, str, str, float]] = []
    for place, name in enumerate(images):
        with np.errstate(invalid="ignore", divide="ignore"):
            taken = matrix[place] / matrix[place].sum(1, keepdims=True)
        np.fill_diagonal(taken, 0)
        for given, predicted in np.argwhere(taken >= OPPOSITE):
            large = matrix[place, given].sum() >= LEAST_AREA * pixels[place]
            if large and recall[given] >= ELSEWHERE and precision[predicted] >= ELSEWHERE and recall[predicted] >= ELSEWHERE:
                found.append((name, classes[given], classes[predicted], float(taken[given, predicted])))
        if not any(one[0] == name for one in found):
            found += _unlabelled(name, matrix[place], recall, precision, classes)
    return found


def _medians(hits: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The middle over images of each class's share of hits, where it has any pixels. N K, N K → K"""
    shares = [hits[of[:, index] > 0, index] / of[of[:, index] > 0, index] for index in range(of.shape[1])]
    return np.array([np.median(one) if one.size else math.nan for one in shares])


def _unlabelled(
    name: str, matrix: np.ndarray, recall: np.ndarray, precision: np.ndarray, classes: tuple[str, ...]
) -> list[tuple[str, str, str, float]]:
    """A class the mask has nothing of and the prediction much, though it is hardly ever predicted in vain elsewhere."""
    for predicted in range(len(classes)):
        share = matrix[:, predicted].sum() / max(1, matrix.sum())
        known = recall[predicted] >= ELSEWHERE and precision[predicted] >= OPPOSITE
        if matrix[predicted].sum() == 0 and share >= 5 * LEAST_AREA and known:
            return [(name, classes[int(matrix[:, predicted].argmax())], classes[predicted], float(share))]
    return []


def weak_images(evidence: Evidence) -> Finding | None:
    """Images far below the rest: hard ones, or ones with wrong masks."""
    counts = evidence.counts.get("val")
    if counts is None or len(counts.images) < 8:
        return None
    scores = np.array([headline_iou(matrix) for matrix in counts.matrix])
    known = np.isfinite(scores)
    middle = float(np.median(scores[known])) if known.any() else math.nan
    spread = max(0.02, usual(scores[known])) if known.any() else math.nan
    weak = [index for index in np.flatnonzero(known) if scores[index] < middle - 6 * spread and scores[index] < middle / 2]
    if not weak or len(weak) > len(scores) / 4:
        return None
    weak.sort(key=lambda index: scores[index])
    figures = {
        "images": [counts.images[index] for index in weak],
        "iou": [float(scores[index]) for index in weak],
        "median": middle,
    }
    return Finding("weak-images", "note", figures)
