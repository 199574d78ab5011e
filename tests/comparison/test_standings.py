"""Who is best, who ties, who is worse, whom validation chose, and the words for it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from standing_making import comparison, counts, simulated

from maskwright.comparison.entries import Comparison, Cost, Entry, Failure
from maskwright.comparison.standings import SCORES, standings
from maskwright.errors import UsageError
from maskwright.evaluation.intervals import intervals
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import headline


def told(found) -> str:
    return " ".join(found.sentences)


def plain(num_images, shifts, seed=0, **options):
    return comparison(simulated(np.random.default_rng(seed), num_images, shifts), **options)


# ------------------------------------------------------------------ figures


def test_scores_and_intervals_of_single_runs_are_evaluations():
    made = plain(10, [0, 0.4])
    for row in standings(made).rows:
        (run,) = next(entry.counts for entry in made.entries if entry.name == row.name)
        whole = headline(run.total(), run.boundary_overlap.sum(0), run.boundary_union.sum(0))
        known = intervals(run)
        assert row.metrics.keys() == row.intervals.keys() == SCORES.keys()
        for name in SCORES:
            assert row.metrics[name] == pytest.approx(float(whole[name]), abs=1e-12)
            assert row.intervals[name] == pytest.approx(tuple(known[name]), abs=1e-12)


def test_seeds_are_pooled_by_hand():
    first = (counts([50, 90], [30, 5], [20, 5]), counts([40, 70], [30, 20], [30, 10]))
    second = (counts([90, 95], [5, 5], [5, 0]),) * 2
    best, other = standings(comparison([first, second])).rows
    assert (best.name, other.name, other.num_seeds) == ("entry1", "entry0", 2)
    assert other.metrics["iou"] == pytest.approx((140 / 200 + 110 / 200) / 2)
    assert other.metrics["recall"] == pytest.approx((140 / 175 + 110 / 160) / 2)
    assert other.difference == pytest.approx(0.625 - 185 / 200)
    assert best.difference == 0 and best.verdict == "best"


def test_rows_are_in_the_order_of_the_metric_asked_for():
    precise = counts([60] * 8, [40] * 8, [0] * 8)
    thorough = counts([95] * 8, [5] * 8, [25] * 8)
    made = comparison([(precise,), (thorough,)])
    assert [row.name for row in standings(made).rows] == ["entry1", "entry0"]
    assert [row.name for row in standings(made, "precision").rows] == ["entry0", "entry1"]
    with pytest.raises(UsageError, match=r"`metric` must be .*'iuo'.*iou"):
        standings(made, "iuo")


def test_groups_count_as_one():
    entries = simulated(np.random.default_rng(0), 12, [0, 0.1])
    single = standings(comparison(entries))
    grouped = standings(comparison(entries, groups=[f"scene{index // 3}" for index in range(12)]))
    assert (single.num_units, grouped.num_units, grouped.num_images) == (12, 4, 12)
    assert "4 groups of images" in told(grouped) and "12 test images" in told(single)
    assert single.rows[0].metrics == grouped.rows[0].metrics


def test_the_same_numbers_every_time():
    made = comparison(simulated(np.random.default_rng(0), 9, [0, 0.1, 0.2], num_seeds=2))
    assert standings(made) == standings(made)


# ------------------------------------------------------------------ verdicts and words


def test_four_images_tell_no_five_models_apart():
    found = standings(plain(4, [0, 0.1, 0.05, 0.2, 0.1]))
    assert [row.verdict for row in found.rows] == ["best", "tie", "tie", "tie", "tie"]
    assert found.sentences[0].startswith("On 4 test images these 5 models cannot be told apart (piece IoU 0.")
    assert "all 10 pairs of models at once (max-t" in told(found)
    assert "tells nothing" not in told(found)  # that is for a single image


def test_ties_and_worse_are_named():
    found = standings(plain(200, [0, 0.01, -0.6]))
    verdicts = {row.name: row.verdict for row in found.rows}
    assert verdicts["entry2"] == "worse" and sorted(verdicts.values()) == ["best", "tie", "worse"]
    row = found.rows[-1]
    low, high = row.difference_interval
    assert low < row.difference < high < 0
    tied = next(row.name for row in found.rows if row.verdict == "tie")
    assert (
        f"; {tied} cannot be told apart from it; entry2 is worse, by {-row.difference:.3f} ({-high:.3f} to {-low:.3f})."
        in (found.sentences[0])
    )


def test_several_worse_are_told_by_the_least_gap():
    found = standings(plain(200, [0, -0.5, -0.9]))
    least = -found.rows[1].difference
    assert found.sentences[0].endswith(f"; entry1 and entry2 are worse, by {least:.3f} or more.")


def test_identical_runs_are_ties():
    runs = simulated(np.random.default_rng(0), 6, [0])
    found = standings(comparison([runs[0], runs[0], runs[0]]))
    assert [row.verdict for row in found.rows] == ["best", "tie", "tie"]
    assert [row.difference_interval for row in found.rows[1:]] == [(0.0, 0.0)] * 2
    assert found.sentences[0].startswith("On 6 test images these 3 models cannot be told apart")


def test_one_image():
    found = standings(plain(1, [0, 0.8]))
    assert [row.verdict for row in found.rows] == ["best", "tie"]
    assert all(math.isnan(row.intervals["iou"][0]) for row in found.rows)
    assert found.sentences[0].startswith("On 1 test image these two models cannot be told apart")
    assert "One image tells nothing of how the scores would differ on others." in told(found)
    assert "resamples" not in told(found)


def test_one_entry():
    found = standings(plain(5, [0]))
    (row,) = found.rows
    assert row.verdict == "best" and row.chosen
    assert "there is no other model to compare it with" in told(found)
    assert "Chosen on validation" not in told(found)


def test_no_entry():
    found = standings(Comparison("test", (), (), (), (), (Failure("unet", "it broke."),)))
    assert found.rows == () and found.best is None and found.chosen is None
    assert found.sentences == ("No model could be scored.",)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_score_that_is_undefined_has_no_place_in_the_order():
    good, silent = counts([80] * 5, [10] * 5, [10] * 5), counts([0] * 5, [90] * 5, [0] * 5)
    found = standings(comparison([(silent,), (good,)]), "precision")
    assert [(row.name, row.verdict) for row in found.rows] == [("entry1", "best"), ("entry0", "undefined")]
    assert "entry0 has no score here" in told(found)
    assert standings(comparison([(silent,), (good,)])).rows[-1].verdict == "worse"  # its IoU is 0
    both = standings(comparison([(silent,), (silent,)]), "precision")
    assert both.best is None and "no model has a score" in both.sentences[0]


# ------------------------------------------------------------------ chosen on validation, not on test


def test_the_best_on_test_is_not_the_one_chosen():
    found = standings(plain(200, [0.6, 0], vals=[0.80, 0.90]))
    assert found.best is not found.chosen
    assert (found.best.name, found.chosen.name, found.chosen.verdict) == ("entry0", "entry1", "worse")
    assert "Chosen on validation: entry1 (highest IoU on validation, 0.900): its test score is the one to report." in told(found)
    assert "Picking a model by its test score is not honest" in told(found)


def test_chosen_and_best_may_agree():
    found = standings(plain(200, [0.6, 0], vals=[0.90, 0.80]))
    assert found.best is found.chosen
    assert "it is the highest on test as well" in told(found) and "not honest" not in told(found)


def test_a_loss_is_better_when_lower():
    found = standings(plain(20, [0, 0], vals=[0.3, 0.2], monitor="val_loss"))
    assert found.chosen.name == "entry1" and "lowest loss on validation, 0.200" in told(found)


def test_without_validation_nothing_is_chosen():
    found = standings(plain(20, [0, 0], vals=[math.nan, math.nan]))
    assert found.chosen is None and "no model is chosen" in told(found)


def test_validation_images_cannot_judge():
    found = standings(plain(20, [0, 0], split="val"))
    assert "These are validation images, and the model is chosen on them" in told(found)


def test_words_about_seeds():
    rng = np.random.default_rng(0)
    once, thrice = simulated(rng, 10, [0, 0]), simulated(rng, 10, [0, 0], num_seeds=3)
    assert "trained once" in told(standings(comparison(once)))
    assert "means over 3 seeds" in told(standings(comparison(thrice)))
    mixed = standings(comparison([once[0], thrice[0]]))
    assert "1 to 3 seeds" in told(mixed) and "as the others do" in told(mixed)


# ------------------------------------------------------------------ as a document, and cost


def test_the_document_reads_back():
    found = standings(plain(1, [0, 0.4], failures=[Failure("fpn", "it broke.")]))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["rows"][0]["metrics"]["iou"] == found.rows[0].metrics["iou"]
    assert document["rows"][1]["difference_interval"] == [None, None]
    assert document["failures"] == [{"name": "fpn", "reason": "it broke."}]
    assert document["sentences"] == list(found.sentences)


def test_the_front_is_of_time_or_what_stands_in_for_it():
    costs = [Cost(10, 3.0, 1.0, 9.0), Cost(10, 2.0, 1.0, 5.0), Cost(10, 1.0, 1.0, 7.0)]
    found = standings(plain(100, [1.0, 0.5, 0], costs=costs))
    assert {row.name: row.on_front for row in found.rows} == {"entry0": True, "entry1": True, "entry2": False}
    unknown = [Cost(cost.parameters, cost.multiply_adds, 1.0, math.nan) for cost in costs]
    found = standings(plain(100, [1.0, 0.5, 0], costs=unknown))
    assert found.front_cost == "multiply_adds" and all(row.on_front for row in found.rows)


def test_a_class_without_truth_is_left_out_for_all_whoever_predicts_it() -> None:
    """Else one entry's mean would be over three classes, with a 0, and the other's over two."""
    careful = np.array([[[90, 10, 0], [10, 90, 0], [0, 0, 0]]] * 4)
    stray = np.array([[[90, 9, 1], [10, 90, 0], [0, 0, 0]]] * 4)
    names, none = tuple("abcd"), np.zeros((4, 3), np.int64)
    counts = [Counts(names, matrix, none, none) for matrix in (careful, stray)]
    cost = Cost(1, 1.0, 1.0, 1.0)
    entries = tuple(Entry(name, {}, (), (one,), (0.5,), cost) for name, one in zip(("careful", "stray"), counts, strict=True))
    found = standings(Comparison("test", ("sky", "road", "fence"), names, (None,) * 4, entries))
    scores = {row.name: row.metrics["iou"] for row in found.rows}
    assert scores["careful"] == pytest.approx((90 / 110 + 90 / 110) / 2)
    assert scores["stray"] == pytest.approx((90 / 110 + 90 / 109) / 2)
    assert found.absent == ("fence",)
    assert found.subject.endswith("over 2 classes")
    assert any("fence is in none of the test images' masks" in sentence for sentence in found.sentences)
