"""The report: calibration as data, words and a drawing."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from maskwright.reports.calibration import reliability, reliability_svg


def document(bins: list[tuple[float, float, int]], **more: Any) -> dict[str, Any]:
    """An evaluation with these bins of (confidence, accuracy, pixels); no pixels, no confidence."""
    rows = [
        {"low": 0.0, "high": 1.0, "confidence": c if n else None, "accuracy": a if n else None, "pixels": n}
        for c, a, n in bins
    ]
    error = sum(n * abs(c - a) for c, a, n in bins) / sum(n for *_, n in bins)
    return {
        "calibration": {"ece": error, "bins": rows, "temperature": None, "ece_after": None, "fitted_on": None, **more}
    }


SURE = [(0.6, 0.5, 100), (0.0, 0.0, 0), (0.9, 0.7, 300)]  # mean distance (0.1 + 3 × 0.2) / 4 = 0.175


def told(**more: Any) -> str:
    found = reliability(document(SURE, **more))
    assert found is not None
    return " ".join(found.words)


def test_bins_without_pixels_are_left_out_and_shares_add_up() -> None:
    found = reliability(document(SURE))
    assert found is not None
    assert found.bins.tolist() == [[0.6, 0.5, 0.25], [0.9, 0.7, 0.75]]
    assert found.error == pytest.approx(0.175)
    assert found.lean == pytest.approx(0.175)


def test_words_tell_error_lean_and_temperature() -> None:
    assert told(temperature=1.5, ece_after=0.02, fitted_on="val") == (
        "Confidence and accuracy lie 17.5 percentage points apart on average (expected calibration error 0.175): "
        "take its probabilities as a ranking, not at their word. It is overconfident: right less often than it says. "
        "A temperature of 1.50, fitted on the validation images alone, brings the error from 0.175 to 0.020. "
        "Predictions give their probabilities at it; labels are the same."
    )
    applied = " Predictions give their probabilities at it; labels are the same."
    assert told(temperature=1.1, ece_after=0.17).endswith(
        f"does not help here: the error goes from 0.175 to 0.170.{applied}"
    )
    assert told(temperature=1.1).endswith(
        f"fitted on the validation images alone, is kept with the evaluation.{applied}"
    )
    assert told(reason="val has one class.").endswith("No temperature was fitted: val has one class.")
    assert told(ece=None) == "No temperature was fitted."


def test_a_sound_network_is_taken_at_its_word() -> None:
    found = reliability(document([(0.6, 0.61, 100), (0.9, 0.89, 300)]))
    assert found is not None
    assert found.words[0].endswith("its probabilities can be taken at their word.")
    modest = reliability(document([(0.6, 0.65, 100), (0.9, 0.93, 300)]))
    assert modest is not None
    assert modest.words[1] == "It is underconfident: right more often than it says."


@pytest.mark.parametrize(
    "evaluation", [{}, {"calibration": None}, {"calibration": {}}, {"calibration": {"ece": None, "bins": []}}]
)
def test_evaluations_without_calibration_have_none(evaluation: dict[str, Any]) -> None:
    assert reliability(evaluation) is None


@pytest.mark.parametrize("bins", [SURE, [(0.7, 0.9, 5)], [(0.5, 0.5, 1), (1.0, 1.0, 10**6)]])
def test_the_curve_is_drawn_in_the_colours_of_the_page(bins: list[tuple[float, float, int]]) -> None:
    found = reliability(document(bins))
    assert found is not None
    svg = reliability_svg(found)
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert "var(--accent)" in svg and "confidence" in svg
    assert not re.search(r"#01020|font-family|http|nan", svg)
    assert "nan" not in found.alt and not math.isnan(found.lean)
