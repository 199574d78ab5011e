"""How far a network's confidence can be believed: the reliability curve of an evaluation, its words and its drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.reports.curves import SCREEN, Theme, figure_svg
from maskwright.reports.wording import share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (4.6, 4.2)  # inches, as of the curves
GOOD, LOOSE = 0.02, 0.05  # mean distance of confidence and accuracy a reader needn't, and should, keep in mind
FEW = 0.0005  # of the pixels: the accuracy of fewer is chance, and not drawn
_APPLIED = "Predictions give their probabilities at it; labels are the same."
HELPS = 0.9  # of the error left is worth a temperature


@dataclass(frozen=True)
class Bin:
    """The pixels whose confidence lies in one interval: their mean confidence, their accuracy, their share of all."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """The curve and what it comes to; NaN and None where the evaluation doesn't say."""

    bins: tuple[Bin, ...]
    error: float
    temperature: float | None
    error_after: float
    reason: str = ""  # why there is no temperature

    @property
    def lean(self) -> float:
        """Mean confidence less accuracy: above 0 the network is surer than it is right."""
        return sum(one.share * (one.confidence - one.accuracy) for one in self.bins)

    @property
    def alt(self) -> str:
        """The plot in words."""
        first, last = self.bins[0], self.bins[-1]
        return (
            f"Accuracy by confidence: from {share(first.accuracy)} where the network is {share(first.confidence)} sure "
            f"to {share(last.accuracy)} where it is {share(last.confidence)} sure."
        )


def reliability(evaluation: Mapping[str, Any]) -> Reliability | None:
    """The calibration an evaluation holds; None where it holds none, as evaluations of earlier versions."""
    found = evaluation.get("calibration") or {}
    bins = _bins(found.get("bins") or [])
    if not bins:
        return None
    error, after, temperature = (found.get(key) for key in ("ece", "ece_after", "temperature"))
    return Reliability(
        bins,
        math.nan if error is None else float(error),
        None if temperature is None else float(temperature),
        math.nan if after is None else float(after),
        str(found.get("reason") or ""),
    )


def words(found: Reliability) -> tuple[str, ...]:
    """What the curve comes to, in sentences."""
    return tuple(text for text in (_error(found), _lean(found), _temperature(found)) if text)


def reliability_svg(found: Reliability) -> str:
    """The curve as SVG to stand in a page."""
    return figure_svg(draw(found, SCREEN), "reliability")


def draw(found: Reliability, theme: Theme) -> Figure:
    """Accuracy by confidence over the diagonal of honesty, and at the foot the share of pixels of each confidence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((0.125, 0.125, 0.84, 0.8))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.plot([0, 1], [0, 1], color=theme.ink, linewidth=0.8, linestyle=(0, (2, 3)))
    above = found.lean > 0  # on the side the line leaves free
    axes.annotate("perfectly calibrated", (0.04, 0.04) if above else (0.38, 0.38), xytext=(-6, 5) if above else (9, -12),
                  textcoords="offset points", fontsize=11, color=theme.ink, rotation=42, rotation_mode="anchor")  # fmt: skip
    confidence, accuracy, pixels = (np.array([getattr(one, key) for one in found.bins]) for key in
                                    ("confidence", "accuracy", "share"))  # fmt: skip
    axes.bar(confidence, 0.16 * pixels / pixels.max(), width=0.03, color=theme.faint)
    drawn = pixels >= FEW
    axes.plot(
        confidence[drawn], accuracy[drawn], color=theme.val, linewidth=2.2, marker="o", markersize=5, clip_on=False, zorder=3
    )
    ticks = [0, 0.25, 0.5, 0.75, 1]
    told = [f"{100 * tick:.0f} %" for tick in ticks]
    axes.set_xticks(ticks, told)
    axes.set_yticks(ticks[1:], told[1:])
    axes.set_xlabel("confidence", fontsize=12, color=theme.ink, loc="right", labelpad=1)
    axes.annotate("accuracy", (0, 1), xycoords="axes fraction", xytext=(-41, 12), textcoords="offset points", fontsize=12,
                  color=theme.ink)  # fmt: skip
    axes.tick_params(length=0, pad=5, labelsize=11, labelcolor=theme.ink)
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.faint)
    return figure


def _bins(rows: Sequence[Mapping[str, Any]]) -> tuple[Bin, ...]:
    """Those that hold pixels."""
    kept = [row for row in rows if row.get("pixels") and row.get("accuracy") is not None and row.get("confidence") is not None]
    total = sum(float(row["pixels"]) for row in kept)
    return tuple(Bin(float(row["confidence"]), float(row["accuracy"]), float(row["pixels"]) / total) for row in kept)


def _error(found: Reliability) -> str | None:
    if math.isnan(found.error):
        return None
    told = f"Confidence and accuracy lie {_points(found.error)} apart on average (expected calibration error {found.error:.3f})"
    if found.error <= GOOD:
        return f"{told}: its probabilities can be taken at their word."
    return f"{told}." if found.error <= LOOSE else f"{told}: take its probabilities as a ranking, not at their word."


def _lean(found: Reliability) -> str | None:
    if math.isnan(found.error) or found.error <= GOOD or abs(found.lean) < found.error / 2:
        return None
    return (
        "It is overconfident: right less often than it says."
        if found.lean > 0
        else "It is underconfident: right more often than it says."
    )


def _temperature(found: Reliability) -> str | None:
    """What one number fitted on validation would change."""
    if found.temperature is None:
        return f"No temperature was fitted: {found.reason.rstrip('.')}." if found.reason else "No temperature was fitted."
    told = f"A temperature of {found.temperature:.2f}, fitted on the validation images alone"
    if math.isnan(found.error_after) or math.isnan(found.error):
        return f"{told}, is kept with the evaluation. {_APPLIED}"
    before, after = f"{found.error:.3f}", f"{found.error_after:.3f}"
    if found.error_after <= HELPS * found.error:
        return f"{told}, brings the error from {before} to {after}. {_APPLIED}"
    return f"{told}, does not help here: the error goes from {before} to {after}. {_APPLIED}"


def _points(error: float) -> str:
    """
    >>> _points(0.0432), _points(0.01)
    ('4.3 percentage points', '1.0 percentage points')
    """
    return f"{100 * error:.1f} percentage points"
