"""The rules of a diagnosis that read curves: pure functions from evidence to what it shows, in words with the next
thing to try. Those about the learning rate are in `diagnose_rate`.

Each threshold stands here with the reason for it. tests/training/test_diagnose.py draws the curve each rule is for, and
one near it that must not be taken for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maskwright.config.base import MONITORS, higher_is_better
from maskwright.errors import counted, listed
from maskwright.training.diagnose_evidence import (
    VERY_FEW_IMAGES,
    Diagnosis,
    Evidence,
    format_iou,
    format_loss,
    format_percent,
    train_longer,
    wrong_though_sure,
)
from maskwright.training.diagnose_trend import Trend, end_of, smooth, swing, trend

_STRONGER = {"none": "standard", "light": "standard", "standard": "heavy"}
_OWN, _PRETRAINED = ("unet", "resnet34_unet"), ["a pretrained encoder, --model unet/resnet34"]
LOSS_RISE = 0.05  # of the lowest validation loss: less is no rise a person would see
RISE_OF_FALL = 0.02  # of all the loss has fallen: a loss that is nearly nothing may double and mean nothing
OUT_OF_NOISE = 4.0  # times the scatter of the curve
IOU_FALL = 0.02  # of the validation IoU, from its best to the end
MANY_EPOCHS, MANY_AFTER = 8, 5  # from which on, and after the lowest loss, a small rise can be told from noise
FEW_EPOCHS, FEW_AFTER = 6, 3  # from which on a steep one can
STEEP_RISE = 0.25  # of the lowest validation loss
GAP, WIDE_GAP = 0.10, 0.20  # of training over validation IoU
LOW_IOU, VERY_LOW_IOU = 0.6, 0.4  # even on the images it learns from
GAIN, WIDE_GAIN = 0.01, 0.05  # of validation IoU over the last quarter of the epochs
LOSS_GAIN = 0.03  # the same of the validation loss, as a share of it


def overfitting(evidence: Evidence) -> Diagnosis | None:
    """The validation loss rises while the training loss doesn't, or training images score far above validation's."""
    rise, gap = _rise(evidence), evidence.gap()
    if rise and (rise["iou_fall"] >= IOU_FALL or gap >= GAP):
        return _overfitting_from(evidence, rise, gap)
    if math.isnan(gap) or gap < GAP or end_of(evidence.train_iou) < LOW_IOU:
        return None
    by_chance = evidence.val_interval[1] >= end_of(evidence.val_iou) + gap
    severe = gap >= WIDE_GAP and not by_chance and evidence.num_val >= VERY_FEW_IMAGES
    train = end_of(evidence.train_iou[evidence.start :])
    val = train - gap
    if evidence.are_both_evaluated:
        train, val = evidence.evaluated_iou("train"), evidence.evaluated_iou("val")
    on_val = f"{format_iou(val)} on validation images, {format_iou(gap)} less"
    message = f"The IoU is {format_iou(train)} on training images and {on_val}."
    if by_chance:
        few = counted(evidence.num_val, "validation image")
        message += f" With {few} that may be chance: the difference lies inside the 95 % interval."
    return Diagnosis(
        "overfitting", "warning" if severe else "note", "The network fits its training images better than new ones",
        message, _more_regular(evidence, early=False),
        {"gap": gap, "train_iou": train, "val_iou": val, "by_chance": by_chance},
    )  # fmt: skip


def _overfitting_from(evidence: Evidence, rise: dict[str, Any], gap: float) -> Diagnosis:
    """Overfitting that a rise of the validation loss shows."""
    fall = rise["iou_fall"]
    severe = fall >= IOU_FALL or (not math.isnan(gap) and gap >= WIDE_GAP) or rise["rise"] >= 0.5
    slopes = f"{rise['slope']:+.2g}, 95 % interval {rise['slope_low']:+.2g} to {rise['slope_high']:+.2g}"
    message = f"{_how_it_rose(rise, f' ({slopes} an epoch), ')}."
    message += (
        f" The validation IoU ended {format_iou(fall)} below its best."
        if fall >= 0.005
        else " The validation IoU held."
    )
    if not math.isnan(gap) and gap > 0.02:
        message += f" At the end the IoU is {format_iou(gap)} higher on training than on validation images."
    return Diagnosis(
        "overfitting", "warning" if severe else "note", f"Overfitting from epoch {rise['from_epoch']} on",
        f"{message} The weights kept are those of epoch {rise['best_epoch']}.",
        _more_regular(evidence, early=True), {**rise, "gap": gap},
    )  # fmt: skip


def overconfident(evidence: Evidence) -> Diagnosis | None:
    """The validation loss rises while the IoU holds: labels stay as right, but what is wrong is believed more."""
    rise = _rise(evidence)
    if not rise or rise["iou_fall"] >= IOU_FALL:
        return None
    message = (
        f"{_how_it_rose(rise, ', ')} and the validation IoU held ({format_iou(rise['iou_best'])} at its best, "
        f"{format_iou(rise['iou_ends'])} at the end): the predicted labels stay as good, but the network grows ever "
        f"surer of its wrong pixels.{wrong_though_sure(evidence)}"
    )
    kept = "keep the epoch of the lowest loss with --train.monitor val_loss, or "
    if evidence.settings.monitor == "val_loss":
        kept = f"the weights kept are those of the lowest loss (epoch {rise['best_epoch']}); "
    advice = (
        f"The labels can be used. Where probabilities matter, {kept}see under calibration in maskwright evaluate "
        f"{evidence.run} how far they can be trusted. {_more_regular(evidence, early=True)}"
    )
    return Diagnosis(
        "overconfident", "note",
        f"Overconfident from epoch {rise['from_epoch']} on: the loss rises while the IoU holds", message, advice,
        {**rise, "sure_and_wrong": evidence.sure_and_wrong},
    )  # fmt: skip


def _how_it_rose(rise: dict[str, Any], between: str) -> str:
    return (
        f"From epoch {rise['from_epoch']} on the validation loss rose by {format_percent(rise['rise'])}, from "
        f"{format_loss(rise['lowest'])} to {format_loss(rise['ends'])}{between}while the training loss went from "
        f"{format_loss(rise['train_from'])} to {format_loss(rise['train_to'])}"
    )


def _more_regular(evidence: Evidence, early: bool) -> str:
    settings, ways = evidence.settings, []
    if settings.augment in _STRONGER:
        ways.append(f"--augment {_STRONGER[settings.augment]} (it was {settings.augment})")
    ways += _PRETRAINED if settings.model in _OWN else []
    if settings.weight_decay < 0.05:
        ways.append(f"--weight-decay 0.05 (it was {settings.weight_decay:g})")
    if early and settings.patience is None:
        ways.append(f"--train.early_stop {max(5, evidence.num_epochs // 10)} to save the time")
    now = "there is 1" if evidence.num_train == 1 else f"there are {evidence.num_train:,}"
    otherwise = f"; otherwise try {listed(ways, 'or')}" if ways else ""
    return f"More training images help most ({now}){otherwise}."


def _rise(evidence: Evidence) -> dict[str, Any] | None:
    """How the validation loss rises after its lowest, where it does beyond doubt."""
    start = evidence.start
    val, train, scores = (column[start:] for column in (evidence.val_loss, evidence.train_loss, evidence.val_iou))
    if len(val) < FEW_EPOCHS or not np.isfinite(val).all() or not np.isfinite(scores).any():
        return None  # without a validation IoU nobody can say whether it held
    line = smooth(val, max(1, len(val) // 20))
    lowest = int(line.argmin())
    level, ends = float(line[lowest]), end_of(val)
    fall = float(line[: lowest + 1].max() - level)
    rise = ends - level
    slope = _slope_of_rise(val, lowest, rise, level)
    if slope is None or rise < RISE_OF_FALL * fall or trend(train[lowest:]).rises:
        return None
    best = smooth(scores, 1)
    return {
        "from_epoch": start + lowest + 1, "lowest": level, "ends": ends,
        "rise": rise / abs(level) if level else math.inf, "slope": slope.slope, "slope_low": slope.low,
        "slope_high": slope.high, "epochs_after": len(val) - lowest - 1,
        "iou_fall": max(0.0, float(np.nanmax(best)) - end_of(scores)), "iou_best": float(np.nanmax(best)),
        "iou_ends": end_of(scores), "train_from": float(train[lowest]), "train_to": end_of(train),
        "best_epoch": (evidence.best or 0) + 1,
    }  # fmt: skip


def _slope_of_rise(val: np.ndarray, lowest: int, rise: float, level: float) -> Trend | None:
    """The trend of a rise that stands out from the noise: over many epochs a small one may, over few a steep one."""
    after = val[lowest + 1 :]  # the lowest itself was chosen for being low
    if len(val) >= MANY_EPOCHS and len(after) >= MANY_AFTER:
        slope = trend(after)
        # noise that is like its neighbours makes trends of its own
        noise = max(trend(val[len(val) // 2 :]).scatter, slope.scatter)
        if slope.rises and rise >= max(LOSS_RISE * abs(level), OUT_OF_NOISE * noise):
            return slope
    if len(after) < FEW_AFTER:
        return None
    noise = swing(val[max(0, lowest - 2) :])  # few epochs cannot show that a bend is no noise
    if rise < max(STEEP_RISE * abs(level), OUT_OF_NOISE * noise):
        return None
    return next((slope for slope in (trend(after), trend(val[lowest:])) if slope.rises), None)


def underfitting(evidence: Evidence) -> Diagnosis | None:
    """Even the images it learns from are predicted badly, and the loss has stopped falling."""
    start = evidence.start
    if evidence.num_epochs - start < 5:
        return None
    train, val = end_of(evidence.train_iou[start:]), end_of(evidence.val_iou[start:])
    reached = max(train, val)
    if "train" in evidence.counts:
        train = reached = evidence.evaluated_iou("train")
    last = evidence.train_loss[start:][-max(5, (evidence.num_epochs - start) // 3) :]
    if not reached < LOW_IOU or not np.isfinite(last).all():
        return None
    # share of the loss gained over the last third
    still = -trend(last).slope * len(last) / max(1e-9, abs(float(last.mean())))
    if still > 0.1:
        return None  # it goes on learning
    settings = evidence.settings
    ways = [train_longer(evidence)]
    ways += [f"a wider network, --model.width {2 * settings.width}"] if settings.width else []
    ways += _PRETRAINED if settings.model in _OWN else []
    ways += ["--augment standard"] if settings.augment == "heavy" else []
    return Diagnosis(
        "underfitting", "warning" if reached < VERY_LOW_IOU else "note", "Underfitting: too little is learned",
        f"At the end even the training images reach only {format_iou(train)} IoU (validation {format_iou(val)}), and "
        f"over the last third of the epochs the training loss fell by only {format_percent(max(0.0, still))}.",
        f"Check the masks with {evidence.check}; then try {listed(ways, 'or')}.",
        {"train_iou": train, "val_iou": val, "still": still},
    )  # fmt: skip


def not_converged(evidence: Evidence) -> Diagnosis | None:
    """Validation was still getting better when training ended."""
    num, best = evidence.num_epochs, evidence.best
    if best is None or num < 4 or best < num - max(2, num // 10) or not evidence.is_finished:
        return None
    is_score = higher_is_better(evidence.settings.monitor)
    scores = evidence.monitored[evidence.start :]
    last = scores[-max(4, len(scores) // 4) :]
    slope = trend(last)
    gained, sure = slope.slope * (len(last) - 1), slope.low * (len(last) - 1)
    least = GAIN if is_score else LOSS_GAIN * abs(end_of(scores))
    # four epochs are looked at even where a quarter is fewer
    a_quarter = slope.slope * min(len(last) - 1, len(scores) / 4)
    beyond_doubt = sure > least / 3 or (sure > 0 and gained > WIDE_GAIN)
    if not (
        beyond_doubt
        and a_quarter > least
        and gained > OUT_OF_NOISE * trend(scores[-max(6, len(scores) // 2) :]).scatter
    ):
        return None
    severe = gained > (WIDE_GAIN if is_score else 5 * least)
    settings, high = evidence.settings, slope.high * (len(last) - 1)
    amount, low_end, high_end = ((format_iou if is_score else format_loss)(value) for value in (gained, sure, high))
    advice = f"Train longer: {train_longer(evidence)}."
    if settings.epochs and num < settings.epochs and settings.patience:
        advice = f"Be more patient: --train.early_stop {2 * settings.patience}."
    return Diagnosis(
        "not-converged", "warning" if severe else "note", "Training ended before it had converged",
        f"Over the last {len(last)} epochs the validation {MONITORS[settings.monitor]} "
        f"{'rose' if is_score else 'fell'} by {amount} (95 % interval {low_end} to {high_end}), and the best epoch was "
        f"{best + 1} of {num}.",
        advice, {"gained": gained, "low": sure, "high": high, "over": len(last), "epochs": num, "best_epoch": best + 1},
    )  # fmt: skip


def too_few_epochs(evidence: Evidence) -> Diagnosis | None:
    """Too short a history to read."""
    num, budget = evidence.num_epochs, evidence.settings.budget
    if num >= 4 or not evidence.is_finished:
        return None
    few = counted(num, "validation" if budget else "epoch")
    if evidence.steps is not None and (seen := evidence.steps[1]) < evidence.num_train:
        steps = counted(evidence.steps[0], "step")
        return Diagnosis(
            "few-epochs", "warning", "Hardly trained: not every training image was seen once",
            f"The time was enough for {steps}, with {counted(seen, 'input')} of {evidence.num_train} training images.",
            f"Train longer, for example {train_longer(evidence, 30)}.",
            {"epochs": num, "budget": budget, "steps": evidence.steps[0], "seen": seen},
        )  # fmt: skip
    return Diagnosis(
        "few-epochs", "note", f"Too few {'validations' if budget else 'epochs'} to say how training went",
        f"{few} {'is' if num == 1 else 'are'} too few to judge the curves.",
        f"Train longer, for example {train_longer(evidence, 30)}.", {"epochs": num, "budget": budget},
    )  # fmt: skip


def unfinished(evidence: Evidence) -> Diagnosis | None:
    """Training has not come to its end."""
    if evidence.is_finished:
        return None
    planned = f" of {evidence.settings.epochs}" if evidence.settings.epochs else ""
    why = f" It stopped because {evidence.failure}" if evidence.failure else ""
    return Diagnosis(
        "unfinished", "note", "Training is not finished",
        f"{counted(evidence.num_epochs, 'epoch')}{planned} recorded, and no weights were written.{why}",
        f"Go on where it stopped with maskwright train --resume {evidence.run}.",
        {"epochs": evidence.num_epochs, "planned": evidence.settings.epochs, "reason": evidence.failure},
    )  # fmt: skip


def healthy(evidence: Evidence) -> Diagnosis:
    """That nothing else was found."""
    best, gap = evidence.best, evidence.gap()
    number, score = (None, math.nan) if best is None else (best + 1, float(evidence.val_iou[best]))
    message = f"Best epoch {number} of {evidence.num_epochs} with validation IoU {format_iou(score)}."
    if not np.isfinite(evidence.val_iou).any():
        message = f"None of {evidence.num_epochs} epochs has a validation IoU."
    if gap > 0.005:
        message += f" The IoU is {format_iou(gap)} higher on training than on validation images."
    elif math.isfinite(gap):
        message += " The IoU on validation images keeps up with that on training images."
    advice = "Evaluate it on the test images; more epochs, a larger --size or another --model may still bring more."
    figures = {"best_epoch": number, "epochs": evidence.num_epochs, "gap": gap, "val_iou": score}
    return Diagnosis("healthy", "fine", "The curves show nothing wrong", message, advice, figures)
