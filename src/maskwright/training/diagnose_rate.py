"""The rules of a diagnosis that read from the curves whether the learning rate was too high or too low.

Each threshold stands here with the reason for it; tests/training/test_diagnose.py draws the curve each rule is for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maskwright.errors import counted
from maskwright.training.diagnose_evidence import LOSSES, Diagnosis, Evidence, Severity, format_loss, format_percent
from maskwright.training.diagnose_trend import end_of, smooth, usual

STEEP = 0.35  # share of the fall left for the second half of all the rate was spent; a straight line leaves 0.5
LEARNED_IOU = 0.75  # beyond, a loss that falls slowly is what is left to gain
EVEN = 0.05  # scatter about that fall, as a share of it
SPIKE = 0.25  # of all the loss has fallen: an upward jump of so much
ROUGH = 0.08  # sawing of the training loss from epoch to epoch, as a share of its fall
LATE = 0.6  # share of the fall that came when the rate was below a third of its highest


def diverged(evidence: Evidence) -> Diagnosis | None:
    """The loss stopped being a number, or ended above where it began."""
    losses = evidence.train_loss
    if evidence.failure and "finite" in evidence.failure:
        rate, clip = evidence.highest_rate, evidence.settings.clip
        known = math.isfinite(rate)
        advice = (
            f"Lower the learning rate with --lr {rate / 10:.2g}" if known else "Let a range test choose with --lr auto"
        )
        advice += "" if clip is not None else ", clip gradients with --optim.clip 1"
        return Diagnosis(
            "lr-high", "warning", "Training diverged: the loss stopped being a number",
            f"{evidence.failure} {counted(evidence.num_epochs, 'epoch')} had been completed by then.",
            f"{advice}, or look first at the images that are named, if it is the same ones each time.",
            {"how": "not finite", "epochs": evidence.num_epochs, "reason": evidence.failure, "lr": rate, "clip": clip},
        )  # fmt: skip
    same_size = losses[: evidence.num_small] if evidence.num_small >= 4 else losses[evidence.start :]
    if len(same_size) < 4 or not np.isfinite(same_size).all() or same_size[0] <= 0:
        return None
    ends = float(np.median(same_size[-3:]))
    if ends > 1.25 * same_size[0]:
        began = float(same_size[0])
        message = f"The training loss ended at {format_loss(ends)}, above its first epoch's {format_loss(began)}."
        return _rate_too_high(evidence, "warning", "rose", message, {"from": began, "to": ends})
    return None


def _rate_too_high(
    evidence: Evidence, severity: Severity, how: str, message: str, figures: dict[str, Any]
) -> Diagnosis:
    rate, clip = evidence.highest_rate, evidence.settings.clip
    lower = f"--lr {rate / 3:.2g} (it was {rate:.2g})" if math.isfinite(rate) else "a lower --lr"
    clipped = ", clip gradients with --optim.clip 1," if clip is None else ""
    advice = f"Try {lower}{clipped} or let a learning-rate range test choose with --lr auto."
    figures = {"how": how, **figures, "lr": rate, "clip": clip}
    return Diagnosis("lr-high", severity, "The learning rate seems too high", message, advice, figures)


def rough(evidence: Evidence) -> Diagnosis | None:
    """The training loss leaps or saws from epoch to epoch while the rate is high."""
    found = [_roughness(evidence.train_loss[part], evidence.lr[part]) for part in _parts(evidence)]
    spikes = max((one[0] for one in found), default=0)
    saws = max((one[1] for one in found), default=0.0)
    if spikes < 2 and saws <= ROUGH:
        return None
    message = f"The training loss swings from epoch to epoch by {format_percent(saws)} of its whole fall."
    if spikes >= 2:
        message = f"The training loss leapt up {spikes} times, each by more than a quarter of its whole fall."
    return _rate_too_high(
        evidence, "warning", "spikes" if spikes >= 2 else "saws", message, {"spikes": spikes, "swing": saws}
    )


def _parts(evidence: Evidence) -> list[slice]:
    """Epochs of one input size, six at least, without the first two, in which any loss plunges."""
    edges = ((0, evidence.num_small), (evidence.num_small, evidence.num_epochs))
    return [slice(low + 2, high) for low, high in edges if high - low >= 8]


def _roughness(losses: np.ndarray, rates: np.ndarray) -> tuple[int, float]:
    """Number of upward leaps, and swing as a share of the fall, over epochs with a third of the highest rate."""
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


def _longer_part(evidence: Evidence) -> slice:
    """The epochs at half the size where most are, else those from the first at the full size on."""
    small = evidence.num_small
    return slice(0, small) if small > evidence.num_epochs / 2 else slice(evidence.start, None)


def late(evidence: Evidence) -> Diagnosis | None:
    """The network learned only once the rate had come down."""
    part = _longer_part(evidence)
    losses, rates = evidence.train_loss[part], evidence.lr[part]
    if len(losses) < 10 or not (np.isfinite(losses).all() and np.isfinite(rates).all()):
        return None
    line = smooth(losses, 1)
    turned = int(np.argmax(rates)) + int(np.argmax(rates[int(np.argmax(rates)) :] < rates.max() / 3))
    fall = float(line[0] - line[-1])
    if rates[turned] >= rates.max() / 3 or turned < 4 or fall < 0.1 * abs(float(line[0])):
        return None  # the rate never came down, or little was learned at all
    share = float(line[turned] - line[-1]) / fall
    message = (
        f"{format_percent(share)} of the fall in training loss came only after the schedule had lowered the learning "
        "rate to a third of its peak; little was learned before."
    )
    return _rate_too_high(evidence, "note", "late", message, {"share": share}) if share > LATE else None


def lr_low(evidence: Evidence) -> Diagnosis | None:
    """The loss still falls by the same amount for the same rate spent, and evenly, and little was learned so far."""
    part = _longer_part(evidence)
    rates = evidence.lr[part]
    if len(rates) < 8 or not np.isfinite(rates).all() or rates.sum() <= 0 or end_of(evidence.val_iou) > LEARNED_IOU:
        return None
    # validation is not augmented: its loss shows an even fall where that of training is hidden by what inputs differ
    for name in ("train", "val"):
        losses = (evidence.train_loss if name == "train" else evidence.val_loss)[part]
        found = _even_fall(losses, np.cumsum(rates) / rates.sum()) if np.isfinite(losses).all() else None
        if found:
            return _rate_too_low(evidence, name, found)
    return None


def _rate_too_low(evidence: Evidence, split: str, found: dict[str, float]) -> Diagnosis:
    rate = evidence.highest_rate
    higher = f"--lr {5 * rate:.2g} (it was {rate:.2g})" if math.isfinite(rate) else "a higher --lr"
    return Diagnosis(
        "lr-low", "warning", "The learning rate seems too low",
        f"The {LOSSES[split]} loss fell in nearly a straight line, from {format_loss(found['from'])} to "
        f"{format_loss(found['to'])}, and was still falling when training ended: counting each epoch by its learning "
        f"rate, {format_percent(found['share'])} of the fall came in the second half. With a high enough rate most of "
        "the fall comes early.",
        f"Try {higher}, or let a learning-rate range test choose with --lr auto.",
        {"of": split, **found, "lr": rate, "clip": evidence.settings.clip},
    )  # fmt: skip


def _even_fall(losses: np.ndarray, spent: np.ndarray) -> dict[str, float] | None:
    """Where a loss fell from and to, and the share of it in the second half; None where it did not fall evenly."""
    curve = np.polynomial.Polynomial.fit(spent, losses, 2)
    first, middle, last = (float(curve(place)) for place in (spent[0], (spent[0] + 1) / 2, 1.0))
    fall = first - last
    scatter = float(np.sqrt(np.mean((losses - curve(spent)) ** 2)))
    if fall <= 0.002 * abs(first) or scatter > EVEN * fall:
        return None
    share = (middle - last) / fall
    # below, most of what there is to learn was learned
    return {"from": first, "to": last, "share": share} if share >= STEEP and last >= 0.3 * first else None
