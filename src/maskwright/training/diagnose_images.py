"""The rules of a diagnosis that read images: masks, classes, validation's size, what is on both sides of the split."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from maskwright.errors import counted, listed
from maskwright.metrics.scores import beaten_unlooked, collapsed_class, headline_iou
from maskwright.training.diagnose_evidence import (
    LOSSES,
    VERY_FEW_IMAGES,
    Diagnosis,
    Evidence,
    format_iou,
    format_percent,
    wrong_though_sure,
)
from maskwright.training.diagnose_trend import swing, trend, usual

FEW_IMAGES = 10
WIDE_INTERVAL, VERY_WIDE_INTERVAL = 0.10, 0.20
SWING, WIDE_SWING = 0.01, 0.05  # of validation IoU between epochs
# val over train that augmentation explains
AHEAD = {"none": 0.05, "light": 0.10, "standard": 0.20, "heavy": 0.30, "own": 0.30}
# of a class in one image predicted as another; right elsewhere; of the image
OPPOSITE, ELSEWHERE, LEAST_AREA = 0.9, 0.8, 0.01


def collapse(evidence: Evidence) -> Diagnosis | None:
    """Nearly every pixel is predicted as one class."""
    counts = evidence.counts.get("val")
    if counts is not None:
        total = counts.total()
        shares, truth = total.sum(0) / max(1, total.sum()), total.sum(1) / max(1, total.sum())
        top = collapsed_class(total)
        if top is not None:
            predicted, truly = float(shares[top]), float(truth[top])
            message = (
                f"{format_percent(predicted)} of the validation pixels are predicted as {evidence.classes[top]}, which "
                f"has {format_percent(truly)} of the masks' pixels."
            )
            return _collapsed(evidence, top, message, {"predicted": predicted, "truth": truly, "on": "val"})
    # the weights evaluated are of the best epoch; what came after may have collapsed all the same
    return _collapse_by_score(evidence)


def _collapse_by_score(evidence: Evidence) -> Diagnosis | None:
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
            message = (
                f"The validation IoU stays at {format_iou(level)}, about what predicting {evidence.classes[index]} "
                f"everywhere gives ({format_iou(alone)}), though only {format_percent(share)} of the pixels are "
                f"{evidence.classes[index]}."
            )
            if alone == 0:
                message = "The validation IoU stays at 0: no foreground is found in any image."
            return _collapsed(evidence, index, message, {"iou": level, "alone": alone, "truth": share, "on": "history"})
    return None


def _collapsed(evidence: Evidence, label: int, message: str, figures: dict[str, Any]) -> Diagnosis:
    name = evidence.classes[label]
    advice = (
        f"Check first that the masks are right ({evidence.check}). Then try a loss that measures overlap, --loss "
        "lovasz, a lower --lr, or --data.sampling balanced, which shows rare classes more often."
    )
    title = f"The network predicts {name!r} everywhere"
    return Diagnosis("collapse", "warning", title, message, advice, {"class": name, **figures})


def unlooked(evidence: Evidence) -> Diagnosis | None:
    """Fewer pixels are right than if one class were always answered; on validation images, else on training's."""
    for split in ("val", "train"):
        counts = evidence.counts.get(split)
        if counts is not None:
            found = beaten_unlooked(counts.total(), evidence.classes)
            return found and Diagnosis(
                "unlooked", "warning", "The network is worse than always predicting one class",
                f"{format_percent(found.accuracy)} of the {LOSSES[split]} pixels are right; always answering "
                f"{found.answer} would get {format_percent(found.reached)} right.",
                f"Check that the masks are right ({evidence.check}); then train longer (--epochs), or let a "
                "learning-rate range test choose with --lr auto.",
                {**asdict(found), "on": split},
            )  # fmt: skip
    return None


def class_missed(evidence: Evidence) -> Diagnosis | None:
    """Classes that are in the validation masks and never predicted."""
    counts = evidence.counts.get("val")
    if counts is None:
        return None
    total = counts.total()
    missed = [
        evidence.classes[index] for index in range(len(total)) if total[index].sum() and not total[:, index].sum()
    ]
    shares = total.sum(1) / max(1, total.sum())
    of_missed = [float(shares[evidence.classes.index(name)]) for name in missed]
    lines = [f"{name} ({format_percent(share)} of the pixels)" for name, share in zip(missed, of_missed, strict=True)]
    return Diagnosis(
        "class-missed", "warning", "Some classes are never predicted",
        f"{listed(lines)} {'is' if len(lines) == 1 else 'are'} in the validation masks but never predicted.",
        "Show them more often with --data.sampling balanced, or try --loss lovasz; more images of them help most.",
        {"classes": missed, "shares": of_missed},
    ) if missed else None  # fmt: skip


def val_small(evidence: Evidence) -> Diagnosis | None:
    """Validation says too little: few images, a wide interval, or scores that swing from epoch to epoch."""
    low, high = evidence.val_interval
    width = high - low
    second_half = evidence.val_iou[max(evidence.start, evidence.num_epochs // 2) :]
    swings = swing(second_half)
    num = evidence.num_val
    severe = num < VERY_FEW_IMAGES or width > VERY_WIDE_INTERVAL or (swings > WIDE_SWING and num < 30)
    some = num < FEW_IMAGES or width > WIDE_INTERVAL or (swings > SWING and num < 30)
    if num == 0 or not (severe or some):
        return None
    message = f"There {'is' if num == 1 else 'are'} {counted(num, 'validation image')}."
    if math.isfinite(width):
        interval = f"{format_iou(low)} to {format_iou(high)}, {format_iou(width)} wide"
        message += f" The 95 % interval of the validation IoU is {interval}."
    if swings >= 0.005:
        message += (
            f" From epoch to epoch it varies by {format_iou(swings)} (standard deviation over the last "
            f"{len(second_half)} epochs), so which epoch is best is partly chance."
        )
    more = "Hold out more with --data.split.val 0.3" if evidence.is_assigned else "Give validation more images"
    return Diagnosis(
        "val-small", "warning" if severe else "note", "Validation is too small to tell much", message,
        f"{more}, cross-validate with --folds 5, or train with several --seed and compare their means.",
        {"images": num, "low": low, "high": high, "width": width, "swing": swings, "epochs": len(second_half)},
    )  # fmt: skip


def leakage(evidence: Evidence) -> Diagnosis | None:
    """The same images or groups on both sides of a split, or validation better than training with no reason for it."""
    if evidence.shared or evidence.parted:
        message = " ".join(_sentence(one) for one in (*evidence.shared[:3], *evidence.parted[:2]))
        more = f" And {len(evidence.shared) - 3} more." if len(evidence.shared) > 3 else ""
        together = "keep them together with --data.split.group auto"
        if not evidence.is_assigned:
            together = "give them the same split in the list or folders that name it"
        return Diagnosis(
            "leakage", "warning", "Leakage: the same content on both sides of the split", message + more,
            f"Remove the duplicates ({evidence.check} names them), or {together}.",
            {"shared": list(evidence.shared), "parted": list(evidence.parted)},
        )  # fmt: skip
    ahead = -evidence.gap()
    is_plain = evidence.are_both_evaluated
    allowed = AHEAD["none"] if is_plain else AHEAD[evidence.settings.augment]
    gaps = evidence.val_iou[evidence.start :] - evidence.train_iou[evidence.start :]
    if math.isnan(ahead) or ahead <= allowed or evidence.num_val < FEW_IMAGES:
        return None
    if not is_plain:
        slope = trend(gaps[-max(4, len(gaps) // 2) :])
        # weights still moving and statistics not yet right keep training scores down at first; what closes is no leak
        if evidence.num_epochs < 10 or math.isnan(slope.slope) or slope.falls or np.nanmin(gaps[-4:]) <= allowed:
            return None
    how = "evaluated" if is_plain else evidence.settings.augment
    why = "both without augmentation, by the same weights" if is_plain else f"trained on under augmentation {how}"
    return Diagnosis(
        "leakage", "note", "Leakage suspected: validation is better than training",
        f"The IoU is {format_iou(ahead)} higher on validation than on training images ({why}); chance and augmentation "
        f"explain at most {format_iou(allowed)}.",
        f"See whether validation images are easier, or copies of training images: {evidence.check} finds "
        "near-duplicates.",
        {"ahead": ahead, "allowed": allowed, "how": how},
    )  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def label_noise(evidence: Evidence) -> Diagnosis | None:
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
    severe = len(learned) >= 1 and len(images) >= 2
    found = [
        f"{image}: {format_percent(share)} of {given} predicted as {predicted}"
        for image, given, predicted, share, _ in suspects
    ]
    message = (
        f"In {len(images)} of {counted(num, 'evaluated image')} nearly all of one class is predicted as another, "
        f"though in the other images the network tells the two apart well: {listed(found, 'and', 3)}."
    )
    if learned:
        of_them = counted(len(learned), "of them was", "of them were")
        message += f" {of_them} trained on, and the network still disagrees with the mask."
    return Diagnosis(
        "label-noise", "warning" if severe else "note", "Some masks may be wrong",
        message + wrong_though_sure(evidence),
        f"Look at these masks and correct them: maskwright report {evidence.run} shows them; all of them: "
        f"{evidence.check} --html audit.html",
        {"images": images, "of": num, "suspects": [list(one) for one in suspects], "learned": len(learned)},
    )  # fmt: skip


def _suspects(
    images: tuple[str, ...], matrix: np.ndarray, classes: tuple[str, ...]
) -> list[tuple[str, str, str, float]]:
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
            if (
                large
                and recall[given] >= ELSEWHERE
                and precision[predicted] >= ELSEWHERE
                and recall[predicted] >= ELSEWHERE
            ):
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


def weak_images(evidence: Evidence) -> Diagnosis | None:
    """Images far below the rest: hard ones, or ones with wrong masks."""
    counts = evidence.counts.get("val")
    if counts is None or len(counts.images) < 8:
        return None
    scores = np.array([headline_iou(matrix) for matrix in counts.matrix])
    known = np.isfinite(scores)
    middle = float(np.median(scores[known])) if known.any() else math.nan
    spread = max(0.02, usual(scores[known])) if known.any() else math.nan
    weak = [
        index for index in np.flatnonzero(known) if scores[index] < middle - 6 * spread and scores[index] < middle / 2
    ]
    if not weak or len(weak) > len(scores) / 4:
        return None
    weak.sort(key=lambda index: scores[index])
    images, of_weak = [counts.images[index] for index in weak], [float(scores[index]) for index in weak]
    lines = [f"{name} ({format_iou(score)})" for name, score in zip(images, of_weak, strict=True)]
    one = len(lines) == 1
    title = "One validation image is" if one else f"{len(lines)} validation images are"
    return Diagnosis(
        "weak-images", "note", f"{title} far below the rest",
        f"{listed(lines, 'and', 4)} {'lies' if one else 'lie'} far below the median IoU of {format_iou(middle)}.",
        "Look at their masks: correct the wrong ones; of images that are just hard, add more like them to the training "
        "images.",
        {"images": images, "iou": of_weak, "median": middle},
    )  # fmt: skip
