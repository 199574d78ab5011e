"""The report: data of its tables, curves and gallery."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from report_making import ALIKE, LIMIT, Page, facts_of, fake_run, history, image_of

from maskwright.data.pictures import error_picture
from maskwright.metrics.counts import confusion
from maskwright.reports import write_report
from maskwright.reports.curves import Curve, curves, inline_svg, spread
from maskwright.reports.facts import ImageScore
from maskwright.reports.gallery import BUDGET, LONGEST, Panel, Pick, Row, choose, encode, legend, mistakes, shrink
from maskwright.reports.tables import MATRIX_CLASSES, image_bars, largest_confusions, score_rows


def test_accuracy_stands_beside_what_guessing_would_reach() -> None:
    rows = score_rows(facts_of([image_of(20, 10)] * 2, history(2)))
    accuracy = next(row for row in rows if row.label == "Accuracy")
    assert accuracy.value == pytest.approx(0.9)
    assert accuracy.hint.replace("\xa0", " ").endswith("always answering background would reach 70.0 %")


def test_many_images_become_a_histogram() -> None:
    images = [ImageScore(f"{index:02d}", 0.45 + 0.02 * index) for index in range(25)] + [ImageScore("none", math.nan)]
    bars = image_bars(images)
    assert [bar.label for bar in bars] == ["0.4 to 0.5", "0.5 to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.8 to 0.9", "0.9 to 1.0"]
    assert sum(int(bar.told) for bar in bars) == 25
    assert max(bar.length for bar in bars) == 1
    few = image_bars(images[-3:])
    assert [(bar.label, bar.told) for bar in few] == [("23", "0.910"), ("24", "0.930"), ("none", "–")]


def test_the_largest_confusions_come_first() -> None:
    facts = facts_of([[[80, 20, 0], [0, 60, 40], [5, 0, 0]]])
    assert [(row.truth, row.predicted, row.share, row.pixels) for row in largest_confusions(facts, 2)] == [
        ("cat", "dog", 0.4, 40), ("background", "cat", 0.2, 20)
    ]  # fmt: skip


def test_many_classes_get_a_list_instead_of_a_matrix(tmp_path: Path) -> None:
    run = fake_run(tmp_path, [f"class-{index}" for index in range(MATRIX_CLASSES + 1)], (2, 1, 2), 2)
    page = Page.read(write_report(run))
    num = len(page.table("Truth")) - 1
    assert num > 2
    assert f"The {num} most frequent confusions among 13 classes" in page.text


def test_curves_hold_the_history_and_the_best_epoch() -> None:
    facts = facts_of(ALIKE, history(4))
    loss, iou = curves(facts.history, facts.best)
    assert iou.val == (0.2, 0.4, pytest.approx(0.6), 0.7)
    assert (loss.best, iou.best) == (3, 3)
    assert loss.train[0] == pytest.approx(0.95)


@pytest.mark.parametrize(
    "line", [(0.5,), (math.nan,), (math.nan, math.nan), (0.5, math.nan, 0.25), (0.0, 0.0), (900.0, 3.0, 0.1), (-1.0, -2.0)]
)
@pytest.mark.parametrize("key", ["loss", "iou"])
def test_any_curve_can_be_drawn(key: str, line: tuple[float, ...]) -> None:
    curve = Curve(key, key, line, line, 0 if math.isfinite(line[0]) else None)
    svg = inline_svg(curve)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert not re.search(r"#01020|font-family|http|nan", svg)
    assert curve.is_log == (key == "loss" and line[0] == 900)
    assert "nan" not in curve.alt


def test_labels_are_kept_apart() -> None:
    assert spread([0.9, 0.1], 0.2) == [0.9, 0.1]
    assert spread([0.5, 0.45], 0.1) == pytest.approx([0.525, 0.425])
    assert all(math.isnan(value) for value in spread([math.nan, math.nan], 0.1))


def scores(*values: float) -> list[ImageScore]:
    return [ImageScore(str(index), value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("num", "expected"),
    [
        (1, ["-0"]),
        (2, ["Worst0", "Best1"]),
        (6, ["Worst0", "-1", "-2", "-3", "-4", "Best5"]),
        (7, ["Worst0", "Worst1", "Worst2", "Median3", "Best4", "Best5", "Best6"]),
        (9, ["Worst0", "Worst1", "Worst2", "Median3", "Median4", "Median5", "Best6", "Best7", "Best8"]),
        (101, ["Worst0", "Worst1", "Worst2", "Median49", "Median50", "Median51", "Best98", "Best99", "Best100"]),
    ],
)
def test_worst_median_and_best_are_chosen(num: int, expected: list[str]) -> None:
    picks = choose(scores(*np.linspace(0, 1, num)))
    assert [(pick.role or "-") + pick.name for pick in picks] == expected


def test_images_without_a_score_are_shown_when_few_and_passed_over_when_many() -> None:
    few = choose(scores(0.1, 0.9, math.nan))
    assert [(pick.role, pick.name) for pick in few] == [("Worst", "0"), ("Best", "1"), ("", "2")]
    many = choose(scores(0.1, 0.5, *[math.nan] * 8))
    assert [(pick.role, pick.name) for pick in many] == [("Worst", "0"), ("Worst", "1")]
    assert choose(scores(*[math.nan] * 8)) == []


def test_mistakes_and_their_colours_are_those_of_the_error_picture() -> None:
    truth = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
    labels = np.array([[0, 1, 0, 2, 2, 0]], np.uint8)
    assert mistakes(confusion(truth, labels, 3)) == {"missed": 0.2, "added": 0.2, "confused": 0.2}
    drawn = error_picture(np.zeros((1, 6, 3), np.uint8), truth, labels)[0]
    added, missed, confused, ignored = ("#" + bytes(drawn[index]).hex() for index in (1, 2, 3, 5))
    row = Row(Pick("", "a", 0.5), "", (), frozenset({0, 2}), has_ignored=True)
    classes, errors = legend(facts_of([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]), [row])
    assert [colour for colour, _ in errors] == [missed, added, confused, ignored]
    assert [name for _, name in classes] == ["background", "dog"]


def test_pictures_are_made_smaller_but_never_larger() -> None:
    assert shrink(np.zeros((3000, 1000, 3), np.uint8)).shape == (LONGEST, LONGEST // 3, 3)
    assert shrink(np.zeros((1, 5000, 3), np.uint8)).shape == (1, LONGEST, 3)
    assert shrink(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)


def test_nine_rows_of_the_worst_pictures_stay_within_the_limit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (LONGEST, LONGEST, 3), np.uint8)
    panel = Panel("Image", "noise", noise)
    row = Row(Pick("", "a", 0.5), "", (panel,) * 4, frozenset(), has_ignored=False)
    total = 9 * sum(len(uri) for uri in encode([row], BUDGET // 9)[0])
    assert total <= BUDGET < LIMIT - 500_000
