"""The rules of a diagnosis that read curves: pure functions from evidence to a finding with its figures; words come after.

Each threshold stands here with the reason for it. tests/training/test_diagnose.py draws the curve each rule is for, and one near
it that must not be taken for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maskwright.config.base import higher_is_better
from maskwright.metrics.scores import headline_iou
from maskwright.training.diagnose_evidence import Evidence, Finding, Severity, setting_figures
from maskwright.training.diagnose_images import (
    VERY_FEW_IMAGES,
    class_missed,
    collapse,
    label_noise,
    leakage,
    unlooked,
    val_small,
    weak_images,
)
from maskwright.training.diagnose_trend import Trend, end_of, smooth, swing, trend, usual

LOSS_RISE = 0.05  # of the lowest validation loss: less is no rise a person would see
RISE_OF_FALL = 0.02  # of all the loss has fallen: a loss that is nearly nothing may double and mean nothing
OUT_OF_NOISE = 4.0  # times the scatter of the curve
IOU_FALL = 0.02  # of the validation IoU, from its best to the end
MANY_EPOCHS, MANY_AFTER = 8, 5  # from which on, and after the lowest loss, a small rise can be told from noise
FEW_EPOCHS, FEW_AFTER = 6, 3  # from which on a steep one can
STEEP_RISE = 0.25  # of the lowest validation loss
GAP, WIDE_GAP = 0.10, 0.20  # of training over validation IoU
LOW_IOU, VERY_LOW_IOU = 0.6, 0.4  # even on the images it learns from
STEEP = 0.35  # share of the fall left for the second half of all the rate was spent; a straight line leaves 0.5
LEARNED_IOU = 0.75  # beyond, a loss that falls slowly is what is left to gain
EVEN = 0.05  # scatter about that fall, as a share of it
SPIKE = 0.25  # of all the loss has fallen: an upward jump of so much
ROUGH = 0.08  # sawing of the training loss from epoch to epoch, as a share of its fall
LATE = 0.6  # share of the fall that came when the rate was below a third of its highest
GAIN, WIDE_GAIN = 0.01, 0.05  # of validation IoU over the last quarter of the epochs
LOSS_GAIN = 0.03  # the same of the validation loss, as a share of it


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Every rule that applies, gravest first; where the curves show nothing, a finding says so."""
    found: dict[str, Finding] = {}
    for rule in RULES:
        finding = rule(evidence)
        if finding and not (EXPLAINED_BY.get(finding.code, frozenset()) & found.keys()):
            found[finding.code] = finding
    if not found.keys() & OF_CURVES:
        found["healthy"] = Finding("healthy", "fine", _healthy_figures(evidence))
    gravity = {"warning": 0, "note": 1, "fine": 2}
    return tuple(sorted(found.values(), key=lambda finding: gravity[finding.severity]))


def diverged(evidence: Evidence) -> Finding | None:
    """The loss stopped being a number, or ended above where it began."""
    losses = evidence.train_loss
    if evidence.failure and "finite" in evidence.failure:
        return Finding("lr-high", "warning", {"how": "not finite", "epochs": evidence.num_epochs, "reason": evidence.failure,
                                              **_rate(evidence)})  # fmt: skip
    same_size = losses[: evidence.num_small] if evidence.num_small >= 4 else losses[evidence.start :]
    if len(same_size) < 4 or not np.isfinite(same_size).all() or same_size[0] <= 0:
        return None
    ends = float(np.median(same_size[-3:]))
    if ends > 1.25 * same_size[0]:
        return Finding("lr-high", "warning", {"how": "rose", "from": float(same_size[0]), "to": ends, **_rate(evidence)})
    return None


def rough(evidence: Evidence) -> Finding | None:
    """The training loss leaps or saws from epoch to epoch while the rate is high."""
    found = [_roughness(evidence.train_loss[part], evidence.lr[part]) for part in _parts(evidence)]
    spikes = max((one[0] for one in found), default=0)
    saws = max((one[1] for one in found), default=0.0)
    if spikes >= 2 or saws > ROUGH:
        how = "spikes" if spikes >= 2 else "saws"
        return Finding("lr-high", "warning", {"how": how, "spikes": spikes, "swing": saws, **_rate(evidence)})
    return None


def _parts(evidence: Evidence) -> list[slice]:
    """Epochs of one input size, six at least, without the first two, in which any loss plunges."""
    edges = ((0, evidence.num_small), (evidence.num_small, evidence.num_epochs))
    return [slice(low + 2, high) for low, high in edges if high - low >= 8]


def _roughness(losses: np.ndarray, rates: np.ndarray) -> tuple[int, float]:
    """Number of upward leaps, and swing as a share of the fall, over epochs with a third of the highest rate and more."""
    if not np.isfinite(losses).all() or not np.isfinite(rates).all():
        return 0, 0.0
    high = rates >= rates.max() / 3
    line = smooth(losses, 2)
    fall = float(line.max() - line.min())
    # a loss that hardly falls makes any noise look large; what it stands at is then the measure
    scale = max(fall, 0.2 * float(np.median(np.abs(losses))))
    if scale <= 0 or high.sum() < 5:
        return 0, 0.0
    up = np.diff(losses, prepend=losses[:1]) > SPIKE * scale / 2  # a steep fall leaves its median behind without a leap
    leaps = up & (losses - line > SPIKE * scale) & (losses - line > 6 * usual(losses - line)) & high
    return int(leaps.sum()), _sawing(losses[high]) / scale


def _sawing(losses: np.ndarray) -> float:
    """The usual tooth: how far the loss goes back on the step before; a curve that bends has none."""
    steps = np.diff(losses)
    teeth = np.minimum(np.abs(steps[1:]), np.abs(steps[:-1])) * (steps[1:] * steps[:-1] < 0)
    return float(teeth.mean())


def late(evidence: Evidence) -> Finding | None:
    """The network learned only once the rate had come down."""
    losses, rates = evidence.train_loss, evidence.lr
    part = slice(0, evidence.num_small) if evidence.num_small > evidence.num_epochs / 2 else slice(evidence.start, None)
    losses, rates = losses[part], rates[part]
    if len(losses) < 10 or not (np.isfinite(losses).all() and np.isfinite(rates).all()):
        return None
    line = smooth(losses, 1)
    turned = int(np.argmax(rates)) + int(np.argmax(rates[int(np.argmax(rates)) :] < rates.max() / 3))
    fall = float(line[0] - line[-1])
    if rates[turned] >= rates.max() / 3 or turned < 4 or fall < 0.1 * abs(float(line[0])):
        return None  # the rate never came down, or little was learned at all
    share = float(line[turned] - line[-1]) / fall
    return Finding("lr-high", "note", {"how": "late", "share": share, **_rate(evidence)}) if share > LATE else None


def lr_low(evidence: Evidence) -> Finding | None:
    """The loss still falls by the same amount for the same rate spent, and evenly, and little was learned so far."""
    part = slice(0, evidence.num_small) if evidence.num_small > evidence.num_epochs / 2 else slice(evidence.start, None)
    rates = evidence.lr[part]
    if len(rates) < 8 or not np.isfinite(rates).all() or rates.sum() <= 0 or end_of(evidence.val_iou) > LEARNED_IOU:
        return None
    # validation is not augmented: its loss shows an even fall where that of training is hidden by what inputs differ
    for name in ("train", "val"):
        losses = (evidence.train_loss if name == "train" else evidence.val_loss)[part]
        found = _even_fall(losses, np.cumsum(rates) / rates.sum()) if np.isfinite(losses).all() else None
        if found:
            return Finding("lr-low", "warning", {"of": name, **found, **_rate(evidence)})
    return None


def _even_fall(losses: np.ndarray, spent: np.ndarray) -> dict[str, float] | None:
    """Where a loss fell from and to, and the share of the fall in the second half; None where it did otherwise than evenly."""
    curve = np.polynomial.Polynomial.fit(spent, losses, 2)
    first, middle, last = (float(curve(place)) for place in (spent[0], (spent[0] + 1) / 2, 1.0))
    fall = first - last
    scatter = float(np.sqrt(np.mean((losses - curve(spent)) ** 2)))
    if fall <= 0.002 * abs(first) or scatter > EVEN * fall:
        return None
    share = (middle - last) / fall
    # below, most of what there is to learn was learned
    return {"from": first, "to": last, "share": share} if share >= STEEP and last >= 0.3 * first else None


def overfitting(evidence: Evidence) -> Finding | None:
    """The validation loss rises while the training loss does not, or training images score far above validation images."""
    rise, gap = _rise(evidence), evidence.gap()
    if rise and (rise["iou_fall"] >= IOU_FALL or gap >= GAP):
        grave = rise["iou_fall"] >= IOU_FALL or (not math.isnan(gap) and gap >= WIDE_GAP) or rise["rise"] >= 0.5
        return Finding("overfitting", "warning" if grave else "note", {**rise, "gap": gap, **setting_figures(evidence)})
    if math.isnan(gap) or gap < GAP or end_of(evidence.train_iou) < LOW_IOU:
        return None
    by_chance = evidence.val_interval[1] >= end_of(evidence.val_iou) + gap
    grave = gap >= WIDE_GAP and not by_chance and evidence.num_val >= VERY_FEW_IMAGES
    train = end_of(evidence.train_iou[evidence.start :])
    figures = {"gap": gap, "train_iou": train, "val_iou": train - gap, "by_chance": by_chance, **setting_figures(evidence)}
    if {"train", "val"} <= evidence.counts.keys():
        figures |= {f"{split}_iou": headline_iou(evidence.counts[split].total()) for split in ("train", "val")}
    return Finding("overfitting", "warning" if grave else "note", figures)


def overconfident(evidence: Evidence) -> Finding | None:
    """The validation loss rises while the IoU holds: the labels stay as right, but what is wrong is believed more firmly."""
    rise = _rise(evidence)
    if not rise or rise["iou_fall"] >= IOU_FALL:
        return None
    figures = {
        **rise,
        "sure_and_wrong": evidence.sure_and_wrong,
        "monitor": evidence.settings.monitor,
        **setting_figures(evidence),
    }
    return Finding("overconfident", "note", figures)


def _rise(evidence: Evidence) -> dict[str, Any] | None:
    """How the validation loss rises after its lowest, where it does beyond doubt."""
    start = evidence.start
    val, train, scores = (column[start:] for column in (evidence.val_loss, evidence.train_loss, evidence.val_iou))
    if len(val) < FEW_EPOCHS or not np.isfinite(val).all():
        return None
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
        "from_epoch": start + lowest + 1, "lowest": level, "ends": ends, "rise": rise / abs(level) if level else math.inf,
        "slope": slope.slope, "slope_low": slope.low, "slope_high": slope.high, "epochs_after": len(val) - lowest - 1,
        "iou_fall": max(0.0, float(np.nanmax(best)) - end_of(scores)), "iou_best": float(np.nanmax(best)),
        "iou_ends": end_of(scores),
        "train_from": float(train[lowest]), "train_to": end_of(train), "best_epoch": (evidence.best or 0) + 1,
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


def underfitting(evidence: Evidence) -> Finding | None:
    """Even the images it learns from are predicted badly, and the loss has stopped falling."""
    start = evidence.start
    if evidence.num_epochs - start < 5:
        return None
    train, val = end_of(evidence.train_iou[start:]), end_of(evidence.val_iou[start:])
    reached = max(train, val)
    if "train" in evidence.counts:
        train = reached = headline_iou(evidence.counts["train"].total())
    last = evidence.train_loss[start:][-max(5, (evidence.num_epochs - start) // 3) :]
    if not reached < LOW_IOU or not np.isfinite(last).all():
        return None
    still = -trend(last).slope * len(last) / max(1e-9, abs(float(last.mean())))  # share of the loss gained over the last third
    if still > 0.1:
        return None  # it goes on learning
    severity: Severity = "warning" if reached < VERY_LOW_IOU else "note"
    return Finding("underfitting", severity, {"train_iou": train, "val_iou": val, "still": still, **setting_figures(evidence)})


def not_converged(evidence: Evidence) -> Finding | None:
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
    if not (beyond_doubt and a_quarter > least and gained > OUT_OF_NOISE * trend(scores[-max(6, len(scores) // 2) :]).scatter):
        return None
    grave = gained > (WIDE_GAIN if is_score else 5 * least)
    figures = {"gained": gained, "low": sure, "high": slope.high * (len(last) - 1), "over": len(last), "epochs": num,
               "budget": evidence.settings.budget, "best_epoch": best + 1, "by": evidence.settings.monitor,
               "patience": evidence.settings.patience,
               "stopped_early": bool(evidence.settings.epochs and num < evidence.settings.epochs)}  # fmt: skip
    return Finding("not-converged", "warning" if grave else "note", figures)


def too_few_epochs(evidence: Evidence) -> Finding | None:
    """Too short a history to read."""
    num = evidence.num_epochs
    figures = {"epochs": num, "budget": evidence.settings.budget}
    return Finding("few-epochs", "note", figures) if num < 4 and evidence.is_finished else None


def unfinished(evidence: Evidence) -> Finding | None:
    """Training has not come to its end."""
    if evidence.is_finished:
        return None
    figures = {"epochs": evidence.num_epochs, "planned": evidence.settings.epochs, "reason": evidence.failure}
    return Finding("unfinished", "note", figures)


def _rate(evidence: Evidence) -> dict[str, Any]:
    settings = evidence.settings
    highest = settings.lr if settings.lr is not None else float(np.nanmax(evidence.lr)) if evidence.num_epochs else math.nan
    return {"lr": highest, "clip": settings.clip}


def _healthy_figures(evidence: Evidence) -> dict[str, Any]:
    best = evidence.best
    return {"best_epoch": None if best is None else best + 1, "epochs": evidence.num_epochs, "gap": evidence.gap(),
            "val_iou": math.nan if best is None else float(evidence.val_iou[best])}  # fmt: skip


RULES = (diverged, rough, collapse, unlooked, late, leakage, overfitting, overconfident, lr_low, not_converged, underfitting,
         class_missed, label_noise, val_small, weak_images, too_few_epochs, unfinished)  # fmt: skip
# a finding that is the other's consequence is not told beside it
EXPLAINED_BY: dict[str, frozenset[str]] = {
    "lr-high": frozenset({"lr-high", "collapse"}),
    "unlooked": frozenset({"collapse"}),
    "overfitting": frozenset({"collapse"}),
    "overconfident": frozenset({"overfitting", "collapse"}),
    "lr-low": frozenset({"lr-high", "collapse"}),
    "not-converged": frozenset({"lr-low", "collapse"}),
    "underfitting": frozenset({"lr-high", "lr-low", "not-converged", "collapse", "overfitting", "overconfident"}),
    "class-missed": frozenset({"collapse"}),
    "weak-images": frozenset({"label-noise"}),
    "few-epochs": frozenset({"lr-high", "collapse"}),
    "unfinished": frozenset({"lr-high"}),
}
# beside one of these it is not said that nothing is wrong
OF_CURVES = {"lr-high", "lr-low", "collapse", "unlooked", "overfitting", "overconfident", "underfitting", "not-converged",
             "few-epochs", "unfinished"}  # fmt: skip
