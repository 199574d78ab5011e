"""Scores of masks so small that they can be counted by hand; the arithmetic stands beside each.

Truth and prediction are written as rows of one character a pixel: a digit is a class, `x` is ignored.
hits: pixels both call the class; T: truth's pixels of it; P: the prediction's.
IoU = hits / (T + P - hits), Dice = F1 = 2 hits / (T + P), precision = hits / P, recall = hits / T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from maskwright.data.dataset import IGNORE
from maskwright.metrics import averages, per_class, summary
from maskwright.metrics.counts import Counts, count_image

NAN = float("nan")


@dataclass(frozen=True)
class Case:
    """Masks and what the last class scores; accuracy is over all pixels and classes."""

    truth: tuple[str, ...]
    labels: tuple[str, ...]
    classes: int
    iou: float
    dice: float
    precision: float
    recall: float
    accuracy: float


CASES = {
    # class 1: hits 2 (both of the left column), T 2, P 3; 8 of 9 pixels agree
    "one pixel too many": Case(("100", "100", "000"), ("110", "100", "000"), 2, 2 / 3, 4 / 5, 2 / 3, 1.0, 8 / 9),
    # hits 0, T 0, P 2: IoU 0/2, Dice 0/2, precision 0/2, recall 0/0; 2 of 4 agree
    "empty truth": Case(("00", "00"), ("01", "01"), 2, 0.0, 0.0, 0.0, NAN, 2 / 4),
    # hits 0, T 3, P 0: IoU 0/3, Dice 0/3, precision 0/0, recall 0/3; 1 of 4 agrees
    "empty prediction": Case(("01", "11"), ("00", "00"), 2, 0.0, 0.0, NAN, 0.0, 1 / 4),
    # hits 0, T 0, P 0: all 0/0; 4 of 4 agree
    "both empty": Case(("00", "00"), ("00", "00"), 2, NAN, NAN, NAN, NAN, 1.0),
    # hits 4, T 4, P 4
    "all foreground": Case(("11", "11"), ("11", "11"), 2, 1.0, 1.0, 1.0, 1.0, 1.0),
    # class 2 is in neither: 0/0; 3 of 4 agree
    "an absent class": Case(("01", "01"), ("01", "11"), 3, NAN, NAN, NAN, NAN, 3 / 4),
    # class 2 is only predicted: hits 0, T 0, P 1; 3 of 4 agree
    "a class only predicted": Case(("01", "01"), ("01", "02"), 3, 0.0, 0.0, 0.0, NAN, 3 / 4),
    # the three ignored pixels count nowhere, whatever is predicted there. Left: truth 1 1 0, labels 1 0 0
    # hits 1, T 2, P 1: IoU 1/2, Dice 2/3, precision 1/1, recall 1/2; 2 of 3 agree
    "ignored pixels": Case(("x1", "1x", "0x"), ("11", "00", "01"), 2, 1 / 2, 2 / 3, 1.0, 1 / 2, 2 / 3),
    # nothing is left to count
    "all ignored": Case(("xx",), ("01",), 2, NAN, NAN, NAN, NAN, NAN),
    # class 2: hits 1 (last pixel), T 2, P 3: IoU 1/4, Dice 2/5, precision 1/3, recall 1/2; 0 1 . . . 2 agree: 3 of 6
    "three classes": Case(("011", "022"), ("012", "212"), 3, 1 / 4, 2 / 5, 1 / 3, 1 / 2, 3 / 6),
    # opposite: hits 0, T 2, P 2; none agrees
    "all wrong": Case(("01", "01"), ("10", "10"), 2, 0.0, 0.0, 0.0, 0.0, 0.0),
}


def mask(rows: tuple[str, ...]) -> np.ndarray:
    return np.array([[IGNORE if pixel == "x" else int(pixel) for pixel in row] for row in rows], np.uint8)


def count(case: Case) -> Counts:
    return count_image("a", mask(case.truth), mask(case.labels), case.classes)


@pytest.mark.parametrize("name", CASES)
def test_the_last_class(name: str) -> None:
    case = CASES[name]
    names = tuple("abc"[: case.classes])
    row = per_class(count(case), names)[names[-1]]
    found = {key: row[key] for key in ("iou", "dice", "f1", "precision", "recall")}
    expected = {"iou": case.iou, "dice": case.dice, "f1": case.dice, "precision": case.precision, "recall": case.recall}
    assert found == pytest.approx(expected, nan_ok=True)
    assert summary(count(case), names).metrics["accuracy"] == pytest.approx(case.accuracy, nan_ok=True)


def test_a_class_only_predicted_lowers_the_mean_and_an_absent_one_does_not() -> None:
    """Truth 0 1 / 0 1.

    only predicted: labels 0 1 / 0 2    IoU of 0: 2/2, of 1: 1/2, of 2: 0/1    mean (1 + 1/2 + 0) / 3 = 1/2
    absent:         labels 0 1 / 1 1    IoU of 0: 1/2, of 1: 2/3, of 2: none   mean (1/2 + 2/3) / 2 = 7/12
    """
    assert averages(count(CASES["a class only predicted"]))["macro"]["iou"] == pytest.approx(1 / 2)
    assert averages(count(CASES["an absent class"]))["macro"]["iou"] == pytest.approx(7 / 12)


def test_micro_pools_pixels() -> None:
    """Three classes, truth 011/022, labels 012/212: hits 1 + 1 + 1 = 3 of 6 pixels.

    Each pixel is once in truth and once in the labels, so precision, recall, F1 and accuracy are 3/6; IoU = 3 / (6 + 6
    - 3).
    """
    expected = {"accuracy": 1 / 2, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "dice": 1 / 2, "iou": 1 / 3}
    micro = averages(count(CASES["three classes"]))["micro"]
    assert {name: micro[name] for name in expected} == pytest.approx(expected)


def test_a_split_of_two_images() -> None:
    """Foreground: "one pixel too many" (hits 2, T 2, P 3) and "empty prediction" (hits 0, T 3, P 0).

    pooled: hits 2, T 5, P 3: IoU 2/6, Dice 4/8      imagewise: IoU (2/3 + 0) / 2, precision 2/3: the other has none
    """
    both = Counts.join([count(CASES["one pixel too many"]), count(CASES["empty prediction"])])
    found = averages(both)
    assert found["macro"]["iou"] == pytest.approx(2 / 6)
    assert found["macro"]["dice"] == pytest.approx(4 / 8)
    assert found["imagewise"]["iou"] == pytest.approx(1 / 3)
    assert found["imagewise"]["precision"] == pytest.approx(2 / 3)


def test_boundary_iou() -> None:
    """5 × 5, distance 1. A 3 × 3 square's band is its ring of 8; the prediction lacks the centre, so its band is the
    same 8.

    The scores differ only inside: IoU 8/9, boundary IoU 8/8.
    """
    truth, hollow = ("00000", "01110", "01110", "01110", "00000"), ("00000", "01110", "01010", "01110", "00000")
    row = per_class(count_image("a", mask(truth), mask(hollow), 2), ("a", "b"))["b"]
    assert row["iou"] == pytest.approx(8 / 9)
    assert row["boundary_iou"] == pytest.approx(1.0)
