"""Diagnosis: each kind of curve is told as what it is, near ones are not, and real runs made to go wrong are seen
through.

Curves are drawn by formula with noise; every claim is made over several seeds of it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.cli.train import train
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from maskwright.training.diagnose import Diagnosis, diagnose, diagnose_evidence, shared_findings
from maskwright.training.diagnose_evidence import Evidence, Settings, gather, shared_contents
from maskwright.training.diagnose_trend import end_of, smooth, swing, trend
from support import TINY, copy_of, data, disc_data, finished, maskwright, picture

SEEDS = range(20)
EPOCHS = 40


def cosine(num: int = EPOCHS, highest: float = 2e-3) -> np.ndarray:
    return highest * (1 + np.cos(np.pi * np.arange(num) / num)) / 2


def noise(seed: int, num: int, scale: float, likeness: float = 0.0) -> np.ndarray:
    """Noise whose neighbours are alike by `likeness`, of standard deviation `scale`."""
    draws = np.random.default_rng(seed).normal(0, scale * math.sqrt(1 - likeness**2), num + 30)
    for place in range(1, len(draws)):
        draws[place] += likeness * draws[place - 1]
    return draws[30:]


def healthy(seed: int = 0, num: int = EPOCHS, **changes: Any) -> Evidence:
    """Loss from 0.8 to 0.15 along an exponential, val a little above it; IoU to 0.88 and 0.85."""
    fallen = np.exp(-np.arange(num) / (num / 7))
    given = {
        "train_loss": 0.15 + 0.65 * fallen + noise(seed, num, 0.008),
        "val_loss": 0.18 + 0.65 * fallen + noise(seed + 1000, num, 0.012, 0.5),
        "train_iou": 0.88 - 0.6 * fallen + noise(seed + 2000, num, 0.006),
        "val_iou": 0.85 - 0.6 * fallen + noise(seed + 3000, num, 0.008, 0.5),
        "lr": cosine(num),
        "settings": Settings(epochs=num, lr=2e-3),
        "num_train": 100, "num_val": 60, "class_shares": (0.7, 0.3),
    }  # fmt: skip
    return Evidence(**{**given, **changes})


def told(evidence: Evidence) -> dict[str, Diagnosis]:
    found = diagnose_evidence(evidence)
    assert found
    gravity = [{"warning": 0, "note": 1, "fine": 2}[one.severity] for one in found]
    assert gravity == sorted(gravity)
    return {one.code: one for one in found}


def share(code: str, make: Callable[[int], Evidence]) -> float:
    """The share of seeds for which a finding is told."""
    return float(np.mean([code in told(make(seed)) for seed in SEEDS]))


def overfitted(seed: int, steep: float = 0.008, iou_fall: float = 0.06, **changes: Any) -> Evidence:
    """As healthy, but from epoch 15 on the val loss rises and the val IoU falls, while training goes on falling."""
    base = healthy(seed)
    after = np.maximum(0, np.arange(EPOCHS) - 15)
    return dataclasses.replace(
        base, val_loss=base.val_loss + steep * after, val_iou=base.val_iou - iou_fall * after / after.max(),
        train_loss=base.train_loss - 0.1 * after / after.max(), train_iou=base.train_iou + 0.08 * after / after.max(),
        **changes,
    )  # fmt: skip


# ------------------------------------------------------------------ trend, smoothing, swing


@pytest.mark.parametrize(
    ("likeness", "num", "least"), [(0.0, 8, 0.93), (0.0, 40, 0.93), (0.6, 40, 0.84), (0.6, 100, 0.9)]
)
def test_the_interval_of_a_trend_covers_the_true_slope_though_neighbours_are_alike(
    likeness: float, num: int, least: float
) -> None:
    """400 curves of a known slope; a plain least-squares interval covers 67 % of those whose noise is alike by 0.6."""
    found = [trend(0.1 * np.arange(num) + noise(seed, num, 1.0, likeness)) for seed in range(400)]
    assert least < np.mean([one.low <= 0.1 <= one.high for one in found]) < 0.995


def test_a_trend_by_hand() -> None:
    """1, 3, 2, 5, 4 over 0 … 4: slope (−2·1 −1·3 + 1·5 + 2·4) / 10 = 0.8."""
    found = trend(np.array([1.0, 3.0, 2.0, 5.0, 4.0]))
    assert found.slope == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    straight = trend(np.array([4.0, 3.0, math.nan, 1.0, 0.0]))
    assert straight.slope == pytest.approx(-1) and straight.falls and not straight.rises
    assert math.isnan(trend(np.array([1.0, 2.0, 3.0])).slope)


def test_smooth_end_and_swing_by_hand() -> None:
    assert smooth(np.array([1.0, 9.0, 2.0, 3.0]), 1).tolist() == [5.0, 2.0, 3.0, 2.5]
    assert end_of(np.array([9.0, 1.0, 2.0, math.nan])) == 1.5
    assert swing(np.array([0.0, 1.0, 0.0, 1.0])) == pytest.approx(math.sqrt(4 / 6))  # second differences −2 and 2
    independent = np.random.default_rng(0).normal(0, 0.3, 4000)
    assert swing(independent + np.arange(4000)) == pytest.approx(0.3, rel=0.05)


# ------------------------------------------------------------------ curves


@pytest.mark.parametrize("num", [12, 20, EPOCHS, 200])
def test_healthy_curves_are_called_healthy(num: int) -> None:
    for seed in SEEDS:
        found = told(healthy(seed, num))
        assert list(found) == ["healthy"], (seed, found)
        assert found["healthy"].severity == "fine" and "0.8" in found["healthy"].evidence


def test_other_noise_makes_healthy_curves_a_note_now_and_then_and_never_a_warning() -> None:
    """300 curves the thresholds were not settled by: at most one in thirty is told anything else."""
    found = [told(healthy(seed, num)) for seed in range(500, 600) for num in (16, 30, 90)]
    assert sum(list(one) != ["healthy"] for one in found) <= 10
    assert not any(diagnosis.severity == "warning" for one in found for diagnosis in one.values())


def test_overfitting_is_told_from_when_and_by_how_much() -> None:
    assert share("overfitting", overfitted) == 1
    for seed in SEEDS:
        one = told(overfitted(seed))["overfitting"]
        # the loss still falls by its exponential when the rise sets in: its lowest lies a little after epoch 16
        assert one.severity == "warning" and 12 <= one.figures["from_epoch"] <= 24
        # without noise: 0.234 at its lowest in epoch 18, 0.353 over the last four epochs
        lowest, ends = one.figures["lowest"], one.figures["ends"]
        assert lowest == pytest.approx(0.234, abs=0.04) and ends == pytest.approx(0.353, abs=0.03)
        assert one.figures["rise"] == pytest.approx(ends / lowest - 1)
        assert one.figures["slope_low"] < 0.008 < one.figures["slope_high"] + 0.002
        assert one.figures["iou_fall"] == pytest.approx(0.05, abs=0.03)
        assert (
            f"Overfitting from epoch {one.figures['from_epoch']} on" == one.title and "95 % interval +" in one.evidence
        )
        assert "--augment heavy" in one.advice and "--train.early_stop" in one.advice


def test_where_all_is_tried_no_way_is_advised():
    tried = Settings(epochs=EPOCHS, lr=2e-3, augment="heavy", model="unet/resnet34", weight_decay=0.1, patience=5)
    advice = told(overfitted(0, settings=tried))["overfitting"].advice
    assert advice.startswith("More training images help most (there are 100).") and "none" not in advice


def test_a_validation_iou_that_is_none_throughout_held_nothing():
    unknown = np.full(EPOCHS, np.nan)
    found = told(dataclasses.replace(overfitted(0), val_iou=unknown, lr=unknown))
    assert "overconfident" not in found and "nan" not in str(list(found.values()))


def test_a_loss_that_rises_while_the_iou_holds_is_overconfidence_and_a_note() -> None:
    def gentle(seed: int) -> Evidence:
        return dataclasses.replace(overfitted(seed, iou_fall=0.0), train_iou=healthy(seed).train_iou)

    for seed in SEEDS:
        found = told(gentle(seed))
        assert "overfitting" not in found and found.get("overconfident", found.get("healthy")).severity != "warning"
    assert share("overconfident", gentle) > 0.9
    one = told(gentle(0))["overconfident"]
    assert one.title.startswith(f"Overconfident from epoch {one.figures['from_epoch']} on")
    assert "the validation loss rose by" in one.evidence and "IoU held (0.8" in one.evidence
    assert "--train.monitor val_loss" in one.advice and "maskwright evaluate" in one.advice
    # with a gap beside it, it is overfitting
    apart = dataclasses.replace(overfitted(0, iou_fall=0.0), train_iou=overfitted(0).train_iou + 0.04)
    assert told(apart)["overfitting"].figures["gap"] > 0.1 and "overconfident" not in told(apart)


def short(seed: int, rise: tuple[float, ...], scatter: float = 0.006) -> Evidence:
    """Twelve epochs: the val loss is lowest at the eighth, then rises by these; train falls on, the IoU holds."""
    fallen = 0.25 + 0.5 * np.exp(-np.arange(12) / 1.6)
    val = fallen + np.concatenate([np.zeros(12 - len(rise)), rise]) + noise(seed, 12, scatter)
    base = healthy(seed, 12)
    return dataclasses.replace(base, val_loss=val, settings=Settings(epochs=12, lr=2e-3))


def test_a_steep_rise_over_the_last_four_of_twelve_epochs_is_told() -> None:
    """By 53 % at the end: too few epochs for a trend of their own, and too much to be called healthy."""
    steep = (0.03, 0.065, 0.10, 0.135)
    assert share("overconfident", lambda seed: short(seed, steep)) > 0.9
    one = told(short(0, steep))["overconfident"]
    assert one.severity == "note" and 7 <= one.figures["from_epoch"] <= 9 and 0.25 < one.figures["rise"] < 0.6
    assert "healthy" not in told(short(0, steep))
    fallen = dataclasses.replace(
        short(0, steep), val_iou=healthy(0, 12).val_iou - np.r_[np.zeros(8), 0.02, 0.04, 0.06, 0.08]
    )
    assert told(fallen)["overfitting"].severity == "warning"
    for seed in SEEDS:  # a small rise, and none
        assert "overconfident" not in told(short(seed, (0.005, 0.01, 0.02, 0.025)))
        assert "overconfident" not in told(short(seed, (0.0,), scatter=0.03))


@pytest.mark.parametrize("after", [(0.36, 0.40, 0.45, 0.49), (0.34, 0.38, 0.43, 0.49), (0.35, 0.42, 0.44, 0.49)])
@pytest.mark.parametrize("num_small", [0, 6, 9])
def test_a_val_loss_up_by_half_at_the_end_of_twelve_epochs_is_told_by_hand(
    after: tuple[float, ...], num_small: int
) -> None:
    """From 0.32 in the eighth epoch to 0.49, by 53 %, whichever way it bends; the IoU stands at 0.80."""
    val = np.array([0.80, 0.62, 0.50, 0.43, 0.38, 0.35, 0.33, 0.32, *after])
    scores = np.array([0.40, 0.48, 0.56, 0.64, 0.72, 0.80, 0.80, 0.81, 0.80, 0.81, 0.805, 0.80])
    curves = {"train_loss": np.linspace(0.7, 0.2, 12), "val_loss": val, "train_iou": scores, "val_iou": scores}
    one = told(healthy(0, 12, num_small=num_small, **curves))["overconfident"]
    assert one.figures["ends"] == pytest.approx(np.mean(after[1:])) and one.figures["lowest"] == pytest.approx(
        0.33, abs=0.011
    )
    assert (
        "validation loss rose by 3" in one.evidence and "IoU held (0.81 at its best, 0.81 at the end)" in one.evidence
    )


def test_a_diagnosis_of_overconfidence_knows_the_calibration_and_the_monitor() -> None:
    evidence = short(0, (0.03, 0.065, 0.10, 0.135))
    watched = dataclasses.replace(evidence, sure_and_wrong=0.034, settings=Settings(monitor="val_loss", epochs=12))
    one = told(watched)["overconfident"]
    assert "with 90 % confidence or more, 3.4 % contradict the masks" in one.evidence
    assert "the weights kept are those of the lowest loss (epoch" in one.advice and "--train.monitor" not in one.advice


@pytest.mark.parametrize("likeness", [0.0, 0.5, 0.8])
def test_a_noisy_plateau_is_not_overfitting(likeness: float) -> None:
    def plateau(seed: int) -> Evidence:
        base = healthy(seed)
        return dataclasses.replace(base, val_loss=base.val_loss + noise(seed + 5, EPOCHS, 0.02, likeness))

    assert share("overfitting", plateau) <= 0.1


def test_val_and_train_loss_rising_together_is_not_overfitting() -> None:
    for seed in SEEDS:
        base = overfitted(seed)
        assert "overfitting" not in told(dataclasses.replace(base, train_loss=base.val_loss, train_iou=base.val_iou))


def test_a_gap_alone_is_told_unless_training_was_on_smaller_inputs() -> None:
    """Train IoU 0.88, val IoU 0.60; over epochs at half the size nothing can be said of a gap."""
    apart = [dataclasses.replace(healthy(seed), val_iou=healthy(seed).val_iou - 0.25) for seed in SEEDS]
    for evidence in apart:
        one = told(evidence)["overfitting"]
        assert one.severity == "warning" and one.figures["gap"] == pytest.approx(0.28, abs=0.03)
        small = dataclasses.replace(evidence, num_small=EPOCHS)
        assert math.isnan(small.gap()) and "overfitting" not in told(small)
        chance = dataclasses.replace(evidence, val_interval=(0.2, 0.95))
        assert told(chance)["overfitting"].severity == "note" and "chance" in told(chance)["overfitting"].evidence


def test_val_better_than_train_is_no_gap() -> None:
    """Augmented, smaller inputs and raw weights keep training scores down."""
    for seed in SEEDS:
        assert told(dataclasses.replace(healthy(seed), train_iou=healthy(seed).train_iou - 0.12)).keys() == {"healthy"}


def test_evaluations_of_both_splits_decide_about_a_gap() -> None:
    counts = {"train": of_two([(90, 5)] * 12), "val": of_two([(60, 20)] * 12)}
    evidence = healthy(counts=counts)
    assert evidence.gap() == pytest.approx(90 / 100 - 60 / 100)  # IoU 90 / (90 + 5 + 5) and 60 / (60 + 20 + 20)
    one = told(evidence)["overfitting"]
    assert "0.90" in one.evidence and "0.60" in one.evidence


def test_the_switch_to_the_full_size_is_no_spike_and_no_overfitting() -> None:
    """Both losses jump up when inputs become whole; val falls again after."""
    for seed in SEEDS:
        base = healthy(seed)
        jump = np.where(np.arange(EPOCHS) >= 30, 0.1 * np.exp(-(np.arange(EPOCHS) - 30) / 3), 0)
        grown = dataclasses.replace(
            base, train_loss=base.train_loss + jump, val_loss=base.val_loss + jump, num_small=30
        )
        assert told(grown).keys() == {"healthy"}


def test_underfitting() -> None:
    for seed in SEEDS:
        base = healthy(seed)
        poor = dataclasses.replace(
            base, train_iou=base.train_iou - 0.45, val_iou=base.val_iou - 0.43, train_loss=base.train_loss + 0.5
        )
        found = told(poor)
        assert found["underfitting"].severity == "note" and "IoU (validation 0.4" in found["underfitting"].evidence
        assert "--model unet/resnet34" in found["underfitting"].advice
        poorer = dataclasses.replace(poor, train_iou=poor.train_iou - 0.1, val_iou=poor.val_iou - 0.1)
        assert told(poorer)["underfitting"].severity == "warning"
        # training images are fitted well: that is the other illness
        assert "underfitting" not in told(dataclasses.replace(poor, train_iou=base.train_iou))


def straight(seed: int, scatter: float = 0.004, highest: float = 1e-5) -> Evidence:
    """The loss falls from 0.8 by the same amount for the same rate spent."""
    rates = cosine(EPOCHS, highest)
    spent = np.cumsum(rates) / rates.sum()
    return healthy(
        seed, train_loss=0.8 - 0.2 * spent + noise(seed, EPOCHS, scatter),
        val_loss=0.82 - 0.2 * spent + noise(seed + 1, EPOCHS, scatter),
        train_iou=0.3 + 0.2 * spent, val_iou=0.29 + 0.2 * spent, lr=rates, settings=Settings(epochs=EPOCHS, lr=highest),
    )  # fmt: skip


def test_a_rate_too_low() -> None:
    assert share("lr-low", straight) == 1
    one = told(straight(0))["lr-low"]
    assert "--lr 5e-05 (it was 1e-05)" in one.advice and one.figures["share"] == pytest.approx(0.5, abs=0.1)
    assert told(straight(0)).keys() & {"underfitting", "not-converged"} == set()  # its consequences
    assert share("lr-low", lambda seed: straight(seed, scatter=0.05)) == 0  # that is no even fall


def test_a_rate_too_high_spikes_saws_or_ends_above_its_start() -> None:
    for seed in SEEDS:
        base = healthy(seed)
        spiked = base.train_loss.copy()
        spiked[[8, 14, 19]] += 0.5
        one = told(dataclasses.replace(base, train_loss=spiked))["lr-high"]
        assert (
            one.figures["spikes"] == 3
            and "leapt up 3 times" in one.evidence
            and "--lr 0.00067 (it was 0.002)" in one.advice
        )
        saw = 0.12 * (-1.0) ** np.arange(EPOCHS) * (cosine() > 5e-4)
        assert told(dataclasses.replace(base, train_loss=base.train_loss + saw))["lr-high"].figures["how"] == "saws"
        up = told(dataclasses.replace(base, train_loss=0.8 + 0.02 * np.arange(EPOCHS)))["lr-high"]
        assert up.figures["how"] == "rose" and up.severity == "warning"
        one_leap = base.train_loss.copy()
        one_leap[12] += 0.3
        assert "lr-high" not in told(dataclasses.replace(base, train_loss=one_leap))
        rough = dataclasses.replace(base, train_loss=base.train_loss + noise(seed, EPOCHS, 0.03))
        assert "lr-high" not in told(rough)


def test_learning_that_set_in_when_the_rate_had_dropped_is_a_note() -> None:
    for seed in SEEDS:
        base = healthy(seed)
        late = 0.8 - 0.6 / (1 + np.exp(-(np.arange(EPOCHS) - 30) / 1.5)) + noise(seed, EPOCHS, 0.008)
        one = told(dataclasses.replace(base, train_loss=late))["lr-high"]
        assert one.severity == "note" and one.figures["how"] == "late" and one.figures["share"] > 0.8


def test_training_that_ended_while_validation_still_rose() -> None:
    for seed in SEEDS:
        base = healthy(seed)
        rising = 0.4 + 0.012 * np.arange(EPOCHS) + noise(seed, EPOCHS, 0.005)
        one = told(dataclasses.replace(base, val_iou=rising))["not-converged"]
        assert one.severity == "warning" and one.figures["gained"] == pytest.approx(0.012 * 9, abs=0.03)
        assert "--epochs 80" in one.advice
        stopped = dataclasses.replace(base, val_iou=rising, settings=Settings(epochs=100, patience=3))
        assert "--train.early_stop 6" in told(stopped)["not-converged"].advice
        falling = dataclasses.replace(
            base, val_loss=2 - 0.03 * np.arange(EPOCHS), settings=Settings(monitor="val_loss", epochs=EPOCHS)
        )
        assert "the validation loss fell by 0.27" in told(falling)["not-converged"].evidence
        by_dice = dataclasses.replace(base, val_dice=rising, settings=Settings(monitor="val_dice", epochs=EPOCHS))
        assert "the validation Dice rose by 0." in told(by_dice)["not-converged"].evidence


def test_collapse_from_the_curve_alone() -> None:
    nothing = np.zeros(EPOCHS)
    one = told(healthy(val_iou=nothing, train_iou=nothing))["collapse"]
    assert one.figures["class"] == "background" and one.severity == "warning" and "--loss lovasz" in one.advice
    everything = np.full(EPOCHS, 0.301)
    assert told(healthy(val_iou=everything, train_iou=everything))["collapse"].figures["class"] == "foreground"
    three = healthy(
        classes=("sky", "road", "tree"), class_shares=(0.6, 0.3, 0.1), val_iou=np.full(EPOCHS, 0.2), train_iou=nothing
    )
    assert told(three)["collapse"].figures["class"] == "sky"  # 0.6 of all pixels over three classes
    for seed in SEEDS:  # an IoU near the foreground's share that still moves, and one that stands elsewhere
        moving = np.full(EPOCHS, 0.3) + noise(seed, EPOCHS, 0.01)
        assert "collapse" not in told(healthy(val_iou=moving, train_iou=moving))
    assert "collapse" not in told(healthy(val_iou=np.full(EPOCHS, 0.34), train_iou=np.full(EPOCHS, 0.34)))


def test_short_and_empty_histories() -> None:
    assert told(healthy(num=3)).keys() == {"few-epochs"}
    barely = told(healthy(num=1, num_train=40, steps=(3, 24)))["few-epochs"]
    assert barely.severity == "warning" and "3 steps, with 24 inputs of 40 training images" in barely.evidence
    assert told(healthy(num=1, num_train=40, steps=(5, 40)))["few-epochs"].severity == "note"
    cut = dataclasses.replace(healthy(num=9), is_finished=False, settings=Settings(epochs=40))
    assert "9 epochs of 40" in told(cut)["unfinished"].evidence and "--resume" in told(cut)["unfinished"].advice
    assert told(Evidence(is_finished=False)).keys() == {"unfinished"}
    nans = np.full(EPOCHS, math.nan)
    assert told(healthy(train_loss=nans, val_loss=nans, train_iou=nans, val_iou=nans))


# ------------------------------------------------------------------ images


def of_two(images: list[tuple[int, int]]) -> Counts:
    """Images with 1000 pixels of two classes: (hits, missed), and as many added as missed."""
    return of([[[1000 - hits - 2 * wrong, wrong], [wrong, hits]] for hits, wrong in images])


def of(matrices: Any) -> Counts:
    matrix = np.array(matrices, np.int64)
    nothing = np.zeros(matrix.shape[:2], np.int64)
    return Counts(tuple(f"i{index}" for index in range(len(matrix))), matrix, nothing, nothing)


GOOD = [[680, 10], [10, 300]]
SWAPPED = [[10, 300], [680, 10]]  # the mask's classes the wrong way round
UNLABELLED = [[700, 300], [0, 0]]


def test_masks_the_wrong_way_round_or_empty_are_suspected() -> None:
    one = told(healthy(counts={"val": of([GOOD] * 11 + [SWAPPED])}))["label-noise"]
    assert (
        one.severity == "note"
        and one.figures["images"] == ["i11"]
        and "i11: 99 % of foreground predicted as background" in str(one)
    )
    learned = told(healthy(counts={"train": of([GOOD] * 10 + [SWAPPED, UNLABELLED]), "val": of([GOOD] * 12)}))[
        "label-noise"
    ]
    assert learned.severity == "warning" and learned.figures["images"] == ["i10", "i11"]
    assert "2 of them were trained on" in learned.evidence


def test_a_network_that_is_bad_everywhere_suspects_no_mask() -> None:
    bad = [[500, 190], [200, 110]]
    assert "label-noise" not in told(healthy(counts={"val": of([bad] * 11 + [SWAPPED])}))
    assert "label-noise" not in told(healthy(counts={"val": of([GOOD] * 12)}))
    hard = [[640, 50], [160, 150]]  # half the foreground is missed: hard, not opposite
    found = told(healthy(counts={"val": of([GOOD] * 11 + [hard])}))
    assert "label-noise" not in found and found["weak-images"].figures["images"] == ["i11"]


def test_collapse_and_missed_classes_by_counts() -> None:
    collapsed = told(healthy(counts={"val": of([[[700, 0], [300, 0]]] * 12)}))
    assert (
        "100 % of the validation pixels are predicted as background, which has 70 %" in collapsed["collapse"].evidence
    )
    assert "class-missed" not in collapsed
    three = [[500, 10, 0], [10, 400, 0], [40, 40, 0]]
    missed = told(
        healthy(classes=("sky", "road", "tree"), class_shares=(0.5, 0.4, 0.1), counts={"val": of([three] * 12)})
    )
    assert (
        missed["class-missed"].figures["classes"] == ["tree"] and "8 % of the pixels" in missed["class-missed"].evidence
    )
    rare = [[995, 2], [0, 3]]  # a class of 0.3 % that is found is no collapse
    assert "collapse" not in told(healthy(counts={"val": of([rare] * 12)}))


def test_a_validation_set_too_small_to_tell() -> None:
    four = told(healthy(num_val=4))["val-small"]
    assert four.severity == "warning" and "--folds 5" in four.advice and "4 validation images" in four.evidence
    assert told(healthy(num_val=8))["val-small"].severity == "note"
    wide = told(healthy(num_val=25, val_interval=(0.6, 0.75)))["val-small"]
    assert wide.severity == "note" and "0.60 to 0.75, 0.15 wide" in wide.evidence
    assert told(healthy(num_val=25, val_interval=(0.5, 0.75)))["val-small"].severity == "warning"
    swinging = healthy(num_val=20, val_iou=healthy().val_iou + noise(1, EPOCHS, 0.08))
    assert told(swinging)["val-small"].severity == "warning"
    assert told(healthy(num_val=20, val_interval=(0.8, 0.86))).keys() == {"healthy"}


# ------------------------------------------------------------------ leakage


def test_the_same_image_or_group_in_two_splits_is_leakage() -> None:
    entry = {"id": "a", "image_sha256": "1", "group": None, "window": None}
    splits = {"train": [entry, {**entry, "id": "b", "image_sha256": "2", "group": "g"}],
              "val": [{**entry, "id": "c"}, {**entry, "id": "d", "image_sha256": "3", "group": "g"}],
              "test": []}  # fmt: skip
    shared = shared_contents(splits)
    assert shared == ("a (train) and c (val) are the same image", "group g is in train and val")
    one = told(healthy(shared=shared))["leakage"]
    assert one.severity == "warning" and "A (train) and c (val) are the same image." in one.evidence
    assert "--data.split.group auto" in one.advice
    named = told(healthy(shared=shared, is_assigned=False))["leakage"]  # by the data set, which no flag deals anew
    assert "--data.split" not in named.advice and "the same split in the list" in named.advice
    windows = {"train": [{**entry, "window": [0, 0, 8, 8]}], "val": [{**entry, "id": "e", "window": [0, 8, 8, 8]}]}
    assert shared_contents(windows) == ()


def test_what_opening_and_the_gate_said_of_leaks_is_evidence(tmp_path: Path) -> None:
    root = copy_of(finished(), tmp_path / "run")
    for name, key, value in (
        (
            "environment.json",
            "allowed",
            [{"code": "near-leak", "files": [], "evidence": "2 pictures are nearly the same"}],
        ),
        ("environment.json", "findings", [{"code": "imbalance", "evidence": "no leak"}]),
        ("data.json", "notes", ["3 images are nearly the same as one in another split (a, b): …", "something else"]),
    ):
        document = json.loads((root / name).read_text())
        (root / name).write_text(json.dumps({**document, key: value}))
    parted = gather(Run.open(root)).parted
    assert parted == (
        "2 pictures are nearly the same",
        "3 images are nearly the same as one in another split (a, b): …",
    )
    assert "2 pictures are nearly the same." in told(healthy(parted=parted))["leakage"].evidence


def test_val_better_than_train_beyond_augmentation_is_suspected_only_then() -> None:
    for seed in SEEDS:
        base = healthy(seed)
        ahead = dataclasses.replace(base, train_iou=base.train_iou - 0.15)
        assert "leakage" not in told(ahead)  # standard augmentation explains it
        plain = dataclasses.replace(ahead, settings=Settings(epochs=EPOCHS, augment="none"))
        assert told(plain)["leakage"].severity == "note" and "augmentation none" in told(plain)["leakage"].evidence
        assert "leakage" not in told(dataclasses.replace(plain, num_val=6))  # which may be chance
        assert "leakage" not in told(dataclasses.replace(plain, num_small=EPOCHS))


# ------------------------------------------------------------------ words and folders


def every_kind() -> list[Evidence]:
    base = healthy()
    return [
        base, overfitted(0), straight(0), healthy(num=3), healthy(num_val=3),
        healthy(num_val=25, val_interval=(0.6, 0.75), is_assigned=False),
        dataclasses.replace(base, train_iou=base.train_iou - 0.6, val_iou=base.val_iou - 0.6),
        dataclasses.replace(base, train_loss=0.8 + 0.02 * np.arange(EPOCHS)),
        dataclasses.replace(base, val_iou=0.4 + 0.012 * np.arange(EPOCHS)),
        healthy(val_iou=np.zeros(EPOCHS), train_iou=np.zeros(EPOCHS)),
        healthy(shared=("a (train) and c (val) are the same image",)),
        healthy(counts={"val": of([GOOD] * 11 + [SWAPPED])}),
        healthy(counts={"val": of([GOOD] * 11 + [[[640, 50], [160, 150]]])}),
        Evidence(is_finished=False, failure="the loss must stay a finite number; got nan at step 3."),
    ]  # fmt: skip


def test_every_flag_advised_is_one_that_training_takes() -> None:
    own = (
        "--resume",
        "--fix",
        "--html",
        "--seed",
        "--size",
        "--model",
        "--lr",
    )  # told without a value, or of another command
    num_flags = 0
    for one in (one for evidence in every_kind() for one in diagnose_evidence(evidence)):
        assert one.title and one.evidence and one.advice and one.title[0].isupper()
        assert "nan" not in one.evidence.replace("got nan", "") and "{" not in str(one)
        words = one.advice.replace(",", " ").replace(";", " ").split()
        for flag, value in zip(words, [*words[1:], ""], strict=True):
            if flag == "--folds":  # of the command itself, not of a configuration
                assert "folds" in inspect.signature(train).parameters and int(value) > 1
            elif flag.startswith("--") and not (flag in own and not value[:1].isdigit()):
                load_config(None, parse_overrides([flag, value.rstrip(".")]))
                num_flags += 1
    assert num_flags > 10


def test_gathered_evidence_is_what_the_folder_holds(tmp_path: Path) -> None:
    run = Run.open(copy_of(finished(), tmp_path / "run"))
    evidence = gather(run)
    assert evidence.num_epochs == 4 and evidence.num_train == 4 and evidence.num_val == 2 and evidence.is_finished
    assert evidence.val_iou.tolist() == [row["val_iou"] for row in run.history]
    assert evidence.settings.lr == 0.01 and evidence.settings.width == 2 and evidence.counts == {}
    assert maskwright("evaluate", run.root, "--split", "val").code == 0
    assert gather(run).counts["val"].matrix.sum() == 2 * 32 * 40
    low, high = json.loads((run.root / "evaluation" / "val.json").read_text())["intervals"]["iou"]
    assert gather(run).val_interval == (low, high)


def test_scores_of_the_test_images_are_never_read(tmp_path: Path) -> None:
    run = Run.open(copy_of(finished(), tmp_path / "run"))
    before = [one.to_json() for one in diagnose(run)]
    folder = run.root / "evaluation"
    folder.mkdir()
    (folder / "test.json").write_text("spoilt")
    (folder / "test-counts.npz").write_bytes(b"spoilt")
    assert [one.to_json() for one in diagnose(run)] == before


def test_the_command_tells_and_prints_json(tmp_path: Path) -> None:
    told_ = maskwright("diagnose", finished())
    assert (
        told_.code == 0
        and "Validation is too small" in told_.out
        and "Next: " in told_.out
        and "--split val" in told_.out
    )
    (one,) = [
        one for one in maskwright("diagnose", finished(), "--json").json["diagnosis"] if one["code"] == "val-small"
    ]
    assert one["severity"] == "warning" and one["figures"]["images"] == 2
    wrong = maskwright("diagnose", tmp_path)
    assert wrong.code == 2 and "must be a run folder" in wrong.sentence


def test_what_several_runs_share_of_their_data_is_told_once() -> None:
    calm = diagnose_evidence(healthy(num_val=5, val_iou=np.full(EPOCHS, 0.8)))
    swinging = diagnose_evidence(healthy(num_val=5, val_iou=0.8 + 0.1 * (np.arange(EPOCHS) % 2)))
    fine = diagnose_evidence(healthy())
    (one,), left = shared_findings({"a": calm, "b": swinging, "c": fine})
    assert one.runs == ("a", "b") and one.diagnosis.code == "val-small" and one.diagnosis.severity == "warning"
    assert one.diagnosis.evidence == "There are 5 validation images."
    assert list(one.own) == ["b"] and one.own["b"].startswith("From epoch to epoch")
    assert all("val-small" not in {found.code for found in of_run} and of_run for of_run in left.values())
    assert shared_findings({"a": calm, "c": fine}) == ((), {"a": calm, "c": fine})


def test_a_run_of_older_days_without_most_files_is_read(tmp_path: Path) -> None:
    root = copy_of(finished(), tmp_path / "run")
    for name in ("data.json", "environment.json", "history.csv"):
        (root / name).unlink()
    assert diagnose(Run.open(root))


# ------------------------------------------------------------------ real runs made to go wrong


def run_of(tmp_path: Path, root: Path, *words: object) -> tuple[Any, Path]:
    tiny = [word for word in TINY if word not in ("--lr", "0.01")] if "--lr" in words else list(TINY)
    outcome = maskwright("train", "--data", root, *tiny, *words, "--log", "csv", "--out", tmp_path / "run")
    return outcome, tmp_path / "run"


def codes(run: Path) -> dict[str, Diagnosis]:
    return {one.code: one for one in diagnose(Run.open(run))}


def test_a_real_run_made_to_overfit(tmp_path: Path) -> None:
    """Masks that have nothing to do with their images can only be learned by heart."""
    rng = np.random.default_rng(0)
    rows = ["image,mask,split"]
    for index in range(16):
        picture(tmp_path / "set" / "images" / f"{index}.png", rng.integers(0, 255, (16, 16, 3)).astype(np.uint8))
        mask = np.kron(rng.integers(0, 2, (2, 2)), np.full((8, 8), 255)).astype(np.uint8)
        mask[0, :2] = 0, 255
        picture(tmp_path / "set" / "masks" / f"{index}.png", mask)
        rows.append(f"images/{index}.png,masks/{index}.png,{'train' if index < 4 else 'val'}")
    (tmp_path / "set" / "pairs.csv").write_text("\n".join(rows) + "\n")
    outcome, run = run_of(tmp_path, tmp_path / "set", "--augment", "none", "--epochs", 40, "--model.width", 8,
                          "--data.size", 16, "--train.repeats", 4, "--train.average", "none", "--weight-decay",
                          0)  # fmt: skip
    assert outcome.code == 0, outcome.err
    one = codes(run)["overfitting"]
    assert one.severity == "warning" and one.figures["rise"] > 0.2
    assert "warning: Overfitting from epoch" in outcome.out


def test_a_real_run_that_diverges(tmp_path: Path) -> None:
    outcome, run = run_of(tmp_path, data(), "--epochs", 4, "--lr", 1e30, "--optim.warmup", 0, "--optim.clip", "null")
    assert outcome.code == 2 and "finite" in outcome.sentence
    found = codes(run)
    assert found["lr-high"].figures["how"] == "not finite" and found["lr-high"].severity == "warning"
    assert "--lr 1e+29" in found["lr-high"].advice and "--optim.clip 1" in found["lr-high"].advice
    assert "unfinished" not in found


def test_a_real_run_that_collapses(tmp_path: Path) -> None:
    """Foreground of 1 % in noise, with a loss that weighs every pixel alike: background everywhere is soon best."""
    rng = np.random.default_rng(0)
    for index in range(12):
        picture(tmp_path / "set" / "images" / f"{index}.png", rng.integers(0, 255, (32, 32, 3)).astype(np.uint8))
        mask = np.zeros((32, 32), np.uint8)
        mask[tuple(rng.integers(0, 28, 2))] = 255
        mask[4:6, 4:7] = 255 * rng.integers(0, 2)
        picture(tmp_path / "set" / "masks" / f"{index}.png", mask)
    outcome, run = run_of(tmp_path, tmp_path / "set", "--loss", "ce", "--epochs", 8, "--train.monitor", "val_loss")
    assert outcome.code == 0, outcome.err
    assert codes(run)["collapse"].figures["class"] == "background"
    assert maskwright("evaluate", run, "--split", "val").code == 0
    assert "collapse" in {one["code"] for one in maskwright("diagnose", run, "--json").json["diagnosis"]}


def test_a_real_run_with_too_low_a_rate_and_one_that_is_well(tmp_path: Path) -> None:
    root = disc_data(tmp_path / "set", [(32, 32)] * 24, ["train"] * 12 + ["val"] * 12)
    low, run = run_of(tmp_path / "low", root, "--lr", 1e-5, "--epochs", 12, "--loss", "ce", "--train.grow", 0)
    assert low.code == 0, low.err
    assert "lr-low" in codes(run)
    well, run = run_of(
        tmp_path / "well", root, "--lr", 0.02, "--epochs", 14, "--loss", "ce", "--train.grow", 0, "--model.width", 4
    )
    assert well.code == 0, well.err
    assert not codes(run).keys() & {"lr-low", "lr-high", "overfitting", "collapse", "underfitting"}, codes(run)


def test_a_leak_in_a_real_run_is_seen_by_its_hashes(tmp_path: Path) -> None:
    root = disc_data(tmp_path / "set", [(32, 32)] * 6, ["train"] * 4 + ["val"] * 2)
    for kind in ("images", "masks"):
        shutil.copyfile(root / kind / "0.png", root / kind / "5.png")
    outcome, run = run_of(tmp_path, root, "--epochs", 1, "--allow", "exact-leak")
    assert outcome.code == 0, outcome.err
    assert codes(run)["leakage"].figures["shared"] == ["images/0 (train) and images/5 (val) are the same image"]


def test_a_network_worse_than_an_answer_without_looking_is_warned_of_on_counts() -> None:
    bad = [[[400, 300], [150, 150]]] * 12
    found = told(healthy(counts={"val": of(bad)}))
    assert found["unlooked"].severity == "warning" and "healthy" not in found
    assert found["unlooked"].evidence == (
        "55 % of the validation pixels are right; always answering background would get 70 % right."
    )
    learned = told(healthy(counts={"train": of(bad)}))
    assert "of the training pixels" in learned["unlooked"].evidence
    assert "unlooked" not in told(healthy(counts={"val": of([GOOD] * 12)}))
    # predicted as one class: said so
    assert "unlooked" not in told(healthy(counts={"val": of([[[690, 10], [300, 0]]] * 12)}))
