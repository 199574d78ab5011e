"""How far a network's confidence can be believed: the reliability curve of an evaluation, its words and its drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from maskwright.reports.pages import number, share
from maskwright.reports.plots import FONT, SCREEN, VAL, figure_svg, new_figure

GOOD, LOOSE = 0.02, 0.05  # mean distance of confidence and accuracy a reader needn't, and should, keep in mind
FEW = 0.0005  # of the pixels: the accuracy of fewer is chance, and not drawn
HELPS = 0.9  # of the error left is worth a temperature
_APPLIED = "Predictions give their probabilities at it; labels are the same."


@dataclass(frozen=True)
class Reliability:
    """Mean confidence, accuracy and share of pixels of each bin (bins 3), and what they come to.

    NaN and None where the evaluation doesn't say; `reason` is why there is no temperature.
    """

    bins: np.ndarray
    error: float
    temperature: float | None
    error_after: float
    reason: str = ""

    @property
    def lean(self) -> float:
        """Mean confidence less accuracy: above 0 the network is surer than it is right."""
        return float((self.bins[:, 2] * (self.bins[:, 0] - self.bins[:, 1])).sum())

    @property
    def alt(self) -> str:
        """The plot in words."""
        (sure, right, _), (surest, best, _) = self.bins[0], self.bins[-1]
        return (
            f"Accuracy by confidence: from {share(right)} where the network is {share(sure)} sure "
            f"to {share(best)} where it is {share(surest)} sure."
        )

    @property
    def words(self) -> list[str]:
        """What the curve comes to, in sentences."""
        return [text for text in (_error(self), _lean(self), _temperature(self)) if text]


def reliability(evaluation: Mapping[str, Any]) -> Reliability | None:
    """The calibration an evaluation holds; None where it holds none, as evaluations of earlier versions."""
    found = evaluation.get("calibration") or {}
    keys = ("confidence", "accuracy", "pixels")
    kept = [row for row in found.get("bins") or [] if row.get("pixels") and None not in (row.get(key) for key in keys)]
    if not kept:
        return None
    bins = np.array([[row[key] for key in keys] for row in kept], float)
    bins[:, 2] /= bins[:, 2].sum()
    temperature = found.get("temperature")
    return Reliability(bins, number(found.get("ece")), None if temperature is None else float(temperature),
                       number(found.get("ece_after")), str(found.get("reason") or ""))  # fmt: skip


def reliability_svg(found: Reliability) -> Markup:
    """Accuracy by confidence over the diagonal of honesty, and at the foot the share of pixels of each confidence."""
    theme = SCREEN
    figure, axes = new_figure(theme, size=(4.6, 4.2), left=0.125, right=0.965)
    axes.set_position((0.125, 0.125, 0.84, 0.8))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.plot([0, 1], [0, 1], color=theme.ink, linewidth=0.8, linestyle=(0, (2, 3)))
    above = found.lean > 0  # on the side the line leaves free
    place, offset = ((0.04, 0.04), (-6, 5)) if above else ((0.38, 0.38), (9, -12))
    axes.annotate("perfectly calibrated", place, xytext=offset, textcoords="offset points", fontsize=11,
                  color=theme.ink, rotation=42, rotation_mode="anchor")  # fmt: skip
    confidence, accuracy, pixels = found.bins.T
    axes.bar(confidence, 0.16 * pixels / pixels.max(), width=0.03, color=theme.faint)
    drawn = pixels >= FEW
    axes.plot(confidence[drawn], accuracy[drawn], color=theme.lines[VAL], linewidth=2.2, marker="o", markersize=5,
              clip_on=False, zorder=3)  # fmt: skip
    ticks = [0, 0.25, 0.5, 0.75, 1]
    texts = [f"{100 * tick:.0f} %" for tick in ticks]
    axes.set_xticks(ticks, texts)
    axes.set_yticks(ticks[1:], texts[1:])
    axes.tick_params(labelsize=11, pad=5)
    axes.set_xlabel("confidence", fontsize=FONT, color=theme.ink, loc="right", labelpad=1)
    axes.annotate("accuracy", (0, 1), xycoords="axes fraction", xytext=(-41, 12), textcoords="offset points",
                  fontsize=FONT, color=theme.ink)  # fmt: skip
    return figure_svg(figure, "reliability")


def _error(found: Reliability) -> str:
    if math.isnan(found.error):
        return ""
    text = (
        f"Confidence and accuracy lie {100 * found.error:.1f} percentage points apart on average "
        f"(expected calibration error {found.error:.3f})"
    )
    if found.error <= GOOD:
        return f"{text}: its probabilities can be taken at their word."
    return f"{text}." if found.error <= LOOSE else f"{text}: take its probabilities as a ranking, not at their word."


def _lean(found: Reliability) -> str:
    if math.isnan(found.error) or found.error <= GOOD or abs(found.lean) < found.error / 2:
        return ""
    over = found.lean > 0
    return f"It is {'over' if over else 'under'}confident: right {'less' if over else 'more'} often than it says."


def _temperature(found: Reliability) -> str:
    """What one number fitted on validation would change."""
    if found.temperature is None:
        return f"No temperature was fitted{f': {found.reason}' if found.reason else ''}".rstrip(".") + "."
    text = f"A temperature of {found.temperature:.2f}, fitted on the validation images alone"
    if math.isnan(found.error_after + found.error):
        return f"{text}, is kept with the evaluation. {_APPLIED}"
    before, after = f"{found.error:.3f}", f"{found.error_after:.3f}"
    if found.error_after <= HELPS * found.error:
        return f"{text}, brings the error from {before} to {after}. {_APPLIED}"
    return f"{text}, does not help here: the error goes from {before} to {after}. {_APPLIED}"
