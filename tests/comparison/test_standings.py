"""Who is best, who ties, who is worse, whom validation chose, and the words for it."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats
from standing_making import comparison, counts, simulated

from maskwright.comparison.entries import SCORES, Comparison, Cost, Entry, Failure
from maskwright.comparison.standings import standings
from maskwright.errors import UsageError
from maskwright.evaluation.intervals import intervals
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import Sums, headline_scores


def told(found) -> str:
    return " ".join(found.sentences)


def plain(num_images, shifts, seed=0, **options):
    return comparison(simulated(np.random.default_rng(seed), num_images, shifts), **options)


# ------------------------------------------------------------------ figures


def test_scores_and_intervals_of_single_runs_are_evaluations():
    made = plain(10, [0, 0.4])
    for row in standings(made).rows:
        (run,) = next(entry.counts for entry in made.entries if entry.name == row.name)
        whole = headline_scores(Sums.of_split(run))
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
    with pytest.raises(UsageError, match=r"Unknown metric 'iuo'. Did you mean .*'iou'"):
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
    assert found.verdict[0].startswith("On 4 test images these 5 models cannot be told apart (piece IoU 0.")
    assert len(found.verdict) == 2 and found.verdict == found.sentences[:2]
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
    best_low, best_high = found.best.intervals["iou"]
    score, around = f"{found.best.metrics['iou']:.3f}", f"95 % interval {best_low:.3f} to {best_high:.3f}"
    assert found.verdict[0] == f"On 200 test images {found.best.name} has the highest piece IoU, {score} ({around})."
    lost = f"entry2 is worse, by {-row.difference:.3f} ({-high:.3f} to {-low:.3f})"
    assert found.verdict[1] == f"{tied} cannot be told apart from it; {lost}."
    assert len(found.verdict) == 3


def test_several_worse_are_told_by_the_least_gap():
    found = standings(plain(200, [0, -0.5, -0.9]))
    least = -found.rows[1].difference
    assert found.verdict[1] == f"entry1 and entry2 are worse, by {least:.3f} or more."


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
    assert "alidation chose" not in told(found) and found.verdict == found.sentences[:1]


def test_no_entry():
    found = standings(Comparison("test", (), (), (), (), (Failure("unet", "it broke."),)))
    assert found.rows == () and found.best is None and found.chosen is None
    assert found.sentences == ("The only cell could not be scored; the reason is below.",)
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
    assert found.verdict[2] == (
        f"Validation chose entry1 (IoU 0.900 there), which is worse here by {-found.chosen.difference:.3f}; still, its "
        "score is the one to report: to pick entry0 by its test score would flatter it."
    )
    tied = standings(plain(4, [0.1, 0], vals=[0.80, 0.90]))
    assert tied.chosen.verdict == "tie" and tied.verdict[-1].startswith(
        "Validation chose entry1 (IoU 0.900 there), so that is the one to use: to pick entry0"
    )


def test_chosen_and_best_may_agree():
    found = standings(plain(200, [0.6, 0], vals=[0.90, 0.80]))
    assert found.best is found.chosen
    head = "Validation chose entry0 (IoU 0.900 there), so that is the one to use; "
    assert found.verdict[2] == f"{head}it has the highest score here too."
    tied = standings(plain(4, [0.1, 0], vals=[0.90, 0.80]))
    assert tied.best is tied.chosen and "cannot be told apart" in tied.verdict[0]
    assert tied.verdict[-1] == f"{head}that it comes first here too may be chance."


def test_a_loss_is_better_when_lower():
    found = standings(plain(20, [0, 0], vals=[0.3, 0.2], monitor="val_loss"))
    assert found.chosen.name == "entry1" and "Validation chose entry1 (loss 0.200 there)" in told(found)


def test_without_validation_nothing_is_chosen():
    found = standings(plain(20, [0, 0], vals=[math.nan, math.nan]))
    assert found.chosen is None and "Validation chose none, as no validation score was kept" in told(found)


def test_unlike_validation_images_choose_none():
    made = dataclasses.replace(plain(20, [0, 0], vals=[0.8, 0.9]), same_val=False)
    assert standings(made).chosen is None and "as the runs were validated on different images" in told(standings(made))


def test_what_the_runs_do_not_share_is_told():
    made = dataclasses.replace(plain(20, [0, 0]), notes=("The runs had different budgets.",))
    assert "The runs had different budgets." in standings(made).remarks and "different budgets" in told(standings(made))


def test_validation_images_cannot_judge():
    found = standings(plain(20, [0, 0], split="val"))
    assert "These are validation images, and the model is chosen on them" in told(found)


def test_words_about_seeds():
    rng = np.random.default_rng(0)
    once, thrice = simulated(rng, 10, [0, 0]), simulated(rng, 10, [0, 0], num_seeds=3)
    assert "trained once" in told(standings(comparison(once)))
    assert "means over 3 seeds" in told(standings(comparison(thrice)))
    mixed = standings(comparison([once[0], thrice[0]]))
    assert "1 to 3 seeds" in told(mixed) and "as the others do, which have up to 3" in told(mixed)


# ------------------------------------------------------------------ as a document, and cost


def test_the_document_reads_back():
    found = standings(plain(1, [0, 0.4], failures=[Failure("fpn", "it broke.")]))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["rows"][0]["metrics"]["iou"] == found.rows[0].metrics["iou"]
    assert document["rows"][1]["difference_interval"] == [None, None]
    assert document["failures"] == [{"name": "fpn", "reason": "it broke."}]
    assert document["sentences"] == list(found.sentences)


def test_the_front_is_of_multiply_adds_or_parameters_never_of_times():
    costs = [Cost(10, 3.0, 1.0, 9.0, 8.0, 10.0), Cost(11, 2.0, 1.0, 5.0, 5.0, 6.0), Cost(12, 1.0, 1.0, 7.0, 7.0, 7.0)]
    found = standings(plain(100, [1.0, 0.5, 0], costs=costs))
    assert found.front_cost == "multiply_adds" and all(row.on_front for row in found.rows)
    unknown = [dataclasses.replace(cost, multiply_adds=math.nan) for cost in costs]
    found = standings(plain(100, [1.0, 0.5, 0], costs=unknown))
    assert found.front_cost == "parameters"
    assert {row.name: row.on_front for row in found.rows} == {"entry0": True, "entry1": False, "entry2": False}


def test_a_class_without_truth_is_left_out_for_all_whoever_predicts_it() -> None:
    """Else one entry's mean would be over three classes, with a 0, and the other's over two."""
    careful = np.array([[[90, 10, 0], [10, 90, 0], [0, 0, 0]]] * 4)
    stray = np.array([[[90, 9, 1], [10, 90, 0], [0, 0, 0]]] * 4)
    names, none = tuple("abcd"), np.zeros((4, 3), np.int64)
    counts = [Counts(names, matrix, none, none) for matrix in (careful, stray)]
    cost = Cost(1, 1.0, 1.0, 1.0)
    entries = tuple(
        Entry(name, {}, (), (one,), (0.5,), cost) for name, one in zip(("careful", "stray"), counts, strict=True)
    )
    found = standings(Comparison("test", ("sky", "road", "fence"), names, (None,) * 4, entries))
    scores = {row.name: row.metrics["iou"] for row in found.rows}
    assert scores["careful"] == pytest.approx((90 / 110 + 90 / 110) / 2)
    assert scores["stray"] == pytest.approx((90 / 110 + 90 / 109) / 2)
    assert found.absent == ("fence",)
    assert found.subject.endswith("over 2 classes")
    assert any("fence is in none of the test images' masks" in sentence for sentence in found.sentences)


# ------------------------------------------------------------------ boundary F, and distances: better when lower


def test_boundary_f_and_distances_by_hand():
    """Two images: 60 and 80 of 100 edge pixels near, on either side; outlines 40 and 20 pixels apart for each wrong
    hundred.
    """
    run = counts([60, 80], [20, 10], [20, 10])
    (row,) = standings(comparison([(run,)])).rows
    assert row.metrics["boundary_f"] == pytest.approx((60 + 80) / 200)
    assert row.metrics["hd95"] == pytest.approx((0.4 + 0.2) / 2)


def test_the_nearest_outlines_are_the_best():
    """Far outlines by 20 pixels throughout: worse by 20, whatever images are drawn."""
    near = counts([8000] * 8, [500] * 8, [500] * 8)
    far = dataclasses.replace(near, hd95=near.hd95 + 20)
    found = standings(comparison([(far,), (near,)]), "hd95")
    assert [(row.name, row.verdict) for row in found.rows] == [("entry1", "best"), ("entry0", "worse")]
    assert found.rows[1].difference == pytest.approx(20) and found.rows[1].difference_interval == pytest.approx(
        (20, 20)
    )
    assert found.verdict[0].startswith("On 8 test images entry1 has the lowest piece HD95, 10.0 px")
    assert found.verdict[1] == "entry0 is worse, by 20.0 px (20.0 px to 20.0 px)."
    assert [row.on_front for row in standings(comparison([(near,), (far,)]), "hd95").rows] == [True, False]


def test_intervals_of_distances_may_exceed_one_and_agree_with_scipy():
    """The paired interval against scipy's bootstrap of the same mean difference, which knows nothing of ours."""
    rng = np.random.default_rng(0)
    base = counts([8000] * 60, [500] * 60, [500] * 60)
    distances = [np.stack([rng.gamma(4, 3, 60) + shift] * 2, -1) for shift in (0, 2)]
    first, second = (dataclasses.replace(base, hd95=one) for one in distances)
    found = standings(comparison([(first,), (second,)]), "hd95")
    low, high = found.rows[1].difference_interval
    apart = (distances[1] - distances[0])[:, 1] * (1 if found.rows[0].name == "entry0" else -1)
    oracle = stats.bootstrap((apart,), np.mean, n_resamples=5000, method="basic", random_state=0).confidence_interval
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=0.25)
    assert low < apart.mean() < high and found.rows[0].intervals["hd95"][1] > 1


def test_scores_that_were_not_counted_are_left_out_of_what_is_told():
    run = counts([60, 80], [20, 10], [20, 10])
    bare = Counts(run.images, run.matrix, run.boundary_overlap, run.boundary_union)
    found = standings(comparison([(bare,), (bare,)]))
    assert (
        "boundary_f" not in found.known_scores
        and "hd95" not in found.known_scores
        and "boundary_iou" in found.known_scores
    )
    assert math.isnan(found.rows[0].metrics["hd95"]) and json.loads(json.dumps(found.to_json(), allow_nan=False))
