"""The report: data of its tables, curves and gallery."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_making import ALIKE, LIMIT, Page, facts_of, fake_run, history, image_of

from maskwright.data.pictures import css, error_picture, palette
from maskwright.metrics.counts import confusion
from maskwright.reports import write_report
from maskwright.reports.facts import ImageScore, gather
from maskwright.reports.gallery import (
    BUDGET,
    LONGEST,
    Gallery,
    Pick,
    Picture,
    Row,
    choose,
    encode,
    mistakes,
    shrink,
)
from maskwright.reports.pages import short_names
from maskwright.reports.plots import TRAIN, VAL, Curves, Line, curves_svg, run_curves
from maskwright.reports.run_page import MATRIX_CLASSES, average_rows, image_bars, largest_confusions, score_rows
from maskwright.reports.suspects import suspected_labels
from maskwright.runs import Run


def test_accuracy_stands_beside_what_guessing_would_reach() -> None:
    rows = score_rows(facts_of([image_of(20, 10)] * 2, history(2)))
    accuracy = next(row for row in rows if row.label == "Accuracy")
    assert accuracy.value == "0.900"
    assert accuracy.hint.replace("\xa0", " ").endswith("always answering background would reach 70.0 %")


def test_many_images_become_a_histogram() -> None:
    images = [ImageScore(f"{index:02d}", 0.45 + 0.02 * index) for index in range(25)] + [ImageScore("none", math.nan)]
    bars = image_bars(images)
    assert [label for label, _, _ in bars] == [
        "0.4 to 0.5",
        "0.5 to 0.6",
        "0.6 to 0.7",
        "0.7 to 0.8",
        "0.8 to 0.9",
        "0.9 to 1.0",
    ]
    assert sum(int(value) for _, _, value in bars) == 25
    assert max(length for _, length, _ in bars) == 1
    few = image_bars(images[-3:])
    assert [(label, value) for label, _, value in few] == [("23", "0.910"), ("24", "0.930"), ("none", "–")]


def test_the_largest_confusions_come_first() -> None:
    facts = facts_of([[[80, 20, 0], [0, 60, 40], [5, 0, 0]]])
    assert largest_confusions(facts, 2) == [
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
    loss, iou = run_curves(facts.history, facts.best)
    assert iou.lines[1].mean == (0.2, 0.4, pytest.approx(0.6), 0.7)
    assert (loss.best, iou.best) == (3, 3)
    assert loss.lines[0].mean[0] == pytest.approx(0.95)


@pytest.mark.parametrize(
    "line",
    [(0.5,), (math.nan,), (math.nan, math.nan), (0.5, math.nan, 0.25), (0.0, 0.0), (900.0, 3.0, 0.1), (-1.0, -2.0)],
)
@pytest.mark.parametrize("key", ["loss", "iou"])
def test_any_curve_can_be_drawn(key: str, line: tuple[float, ...]) -> None:
    lines = (Line("training", TRAIN, (line,), line), Line("validation", VAL, (line,), line))
    curve = Curves(key, key, lines, best=0 if math.isfinite(line[0]) else None)
    svg = curves_svg(curve)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert not re.search(r"#01020|font-family|http|nan", svg)
    assert curve.is_log == (key == "loss" and line[0] == 900)
    assert "nan" not in curve.alt


def scores(*values: float) -> list[ImageScore]:
    return [ImageScore(str(index), value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("num", "expected"),
    [
        (1, ["-0!"]),
        (2, ["Best1!", "Worst0!"]),
        (3, ["Best2!", "Typical1!", "Worst0!"]),
        (6, ["Best5!", "Typical3!", "Worst0!", "-1", "-2", "-4"]),
        (7, ["Best6!", "Typical3!", "Worst0!", "Worst1", "Worst2", "Best4", "Best5"]),
        (9, ["Best8!", "Typical4!", "Worst0!", "Worst1", "Worst2", "Typical3", "Typical5", "Best6", "Best7"]),
        (101, ["Best100!", "Typical50!", "Worst0!", "Worst1", "Worst2", "Typical49", "Typical51", "Best98", "Best99"]),
    ],
)  # fmt: skip
def test_best_typical_and_worst_are_chosen_and_lead(num: int, expected: list[str]) -> None:
    picks = choose(scores(*np.linspace(0, 1, num)))
    assert [(pick.role or "-") + pick.name + "!" * pick.leads for pick in picks] == expected


def test_images_without_a_score_are_shown_when_few_and_passed_over_when_many() -> None:
    few = choose(scores(0.1, 0.9, math.nan))
    assert [(pick.role, pick.name) for pick in few] == [("Best", "1"), ("Worst", "0"), ("", "2")]
    many = choose(scores(0.1, 0.5, *[math.nan] * 8))
    assert [(pick.role, pick.name) for pick in many] == [("Best", "1"), ("Worst", "0")]
    assert choose(scores(*[math.nan] * 8)) == []
    assert [pick.leads for pick in choose(scores(*[math.nan] * 2))] == [False] * 2


TRUTH = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)


def test_errors_of_two_classes_have_a_colour_for_each_kind() -> None:
    truth, labels = np.where(TRUTH == 2, 1, TRUTH), np.array([[0, 1, 0, 1, 1, 0]], np.uint8)
    assert (
        mistakes(confusion(truth, labels, 2), ("background", "cat")).replace("\xa0", " ")
        == "20.0 % missed, 20.0 % added"
    )
    drawn = error_picture(np.full((1, 6, 3), (0, 114, 178), np.uint8), truth, labels, 2)[0]
    added, missed, ignored = (css(drawn[index]) for index in (1, 2, 5))
    assert (
        len({added, missed, ignored, css(drawn[0])}) == 4
        and drawn[0].tolist() == drawn[3].tolist() == drawn[4].tolist()
    )
    row = Row(Pick("", "a", 0.5), "", (), frozenset({0, 1}), has_ignored=True)
    assert [colour for colour, _ in Gallery((row,)).error_legend(("background", "cat"))] == [missed, added, ignored]


def test_errors_of_more_classes_are_seen_whatever_the_class() -> None:
    """A wrong pixel has the colour of the class predicted there; the first class is no background that hides."""
    names = ("sky", "cat", "dog")
    labels = np.array([[0, 1, 0, 2, 0, 0]], np.uint8)
    told = mistakes(confusion(TRUTH, labels, 3), names).replace("\xa0", " ")
    assert told == "80.0 % wrong, most of all sky predicted as cat (20.0 %)"
    colours = {label: tuple(palette(3)[label].tolist()) for label in range(3)}
    for image in (*colours.values(), (255, 255, 255), (0, 0, 0)):  # whatever the image's own colours
        drawn = error_picture(np.full((1, 6, 3), image, np.uint8), TRUTH, labels, 3)[0]
        assert [tuple(drawn[index].tolist()) for index in (1, 2, 3, 4)] == [colours[label] for label in (1, 0, 2, 0)]
        right = tuple(drawn[0].tolist())
        assert len(set(right)) == 1 and right[0] > 130  # a pale grey
    row = Row(Pick("", "a", 0.5), "", (), frozenset({0, 2}), has_ignored=True)
    assert [colour for colour, _ in Gallery((row,)).error_legend(names)] == ["", css(drawn[5])]
    assert [name for _, name in Gallery((row,)).class_legend(names)] == ["sky", "dog"]


HASHES = [f"scans/{'3f2a9c1e77d04b5a8e6f' * 2}{end}" for end in "ab"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a/b/1", "a/b/2"], ["1", "2"]),
        (["a/b/1", "a/c/2"], ["b/1", "c/2"]),
        (["a/1", "2"], ["a/1", "2"]),
        (["a/b/1"], ["1"]),
        ([], []),
        (HASHES, ["3f2a9c…e6fa", "3f2a9c…e6fb"]),
        (["0" * 8 + "a" * 20 + "1" * 8, "0" * 8 + "b" * 20 + "1" * 8], None),  # elided they would be one
        (["x_01234567-89ab-cdef-0123-456789abcdef_mask"], ["x_012345…cdef_mask"]),
        (["20260102030405060708", "a_name_of_usual_length_without_digits"], None),
    ],
)
def test_names_lose_what_they_share_and_the_middle_of_hashes(names: list[str], shown: list[str] | None) -> None:
    assert list(short_names(names).values()) == (names if shown is None else shown)


def test_a_network_worse_than_one_answer_calls_no_label_into_question(pair: Run) -> None:
    facts = gather(pair)
    worse = replace(facts, counts=replace(facts.counts, matrix=np.tile([[1, 9], [9, 1]], (facts.num_images, 1, 1))))
    found = suspected_labels(pair, worse)
    assert found.lead.startswith("Not looked for") and "always answering" in found.lead
    assert (found.rows, found.problems) == ((), ())


def test_averages_that_come_to_the_same_are_shown_once() -> None:
    same = average_rows(facts_of(ALIKE))  # twelve equal images of two classes
    assert [(name, hint.count(";")) for name, hint, _ in same] == [("micro, macro, imagewise and imagewise micro", 3)]
    three = facts_of([[[80, 20, 0], [0, 60, 40], [5, 0, 0]], [[9, 0, 0], [0, 3, 1], [0, 0, 2]]])
    assert [name for name, *_ in average_rows(three)] == ["micro", "macro", "imagewise", "imagewise micro"]


def test_pictures_are_made_smaller_but_never_larger() -> None:
    assert shrink(np.zeros((3000, 1000, 3), np.uint8)).shape == (LONGEST, LONGEST // 3, 3)
    assert shrink(np.zeros((1, 5000, 3), np.uint8)).shape == (1, LONGEST, 3)
    assert shrink(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)


def test_nine_rows_of_the_worst_pictures_stay_within_the_limit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (LONGEST, LONGEST, 3), np.uint8)
    picture = Picture("Image", "noise", noise)
    encode([picture] * 4, BUDGET // 9)
    assert 9 * 4 * len(picture.uri) <= BUDGET < LIMIT - 500_000
