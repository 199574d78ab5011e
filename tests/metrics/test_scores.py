"""Scores against scikit-learn and torchmetrics, neither of them bent.

They call an undefined score 0 (or leave it out of means by rules of their own); ours is NaN. So
classes are compared where a score is defined, and elsewhere ours must be NaN.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from maskwright import runtime
from maskwright.data.dataset import IGNORE
from maskwright.metrics import METRICS, POLICY, Counts, averages, per_class, summary
from maskwright.metrics.counts import count_image
from maskwright.metrics.scores import accuracy, class_accuracy, headline_iou, iou, nanmean

runtime.ensure_torchvision()  # torchmetrics imports it
from torchmetrics.functional import classification as oracle  # noqa: E402

SKLEARN = {"precision": precision_score, "recall": recall_score, "f1": f1_score, "dice": f1_score, "iou": jaccard_score}
TORCHMETRICS = {
    "precision": oracle.multiclass_precision, "recall": oracle.multiclass_recall, "f1": oracle.multiclass_f1_score,
    "dice": oracle.multiclass_f1_score, "iou": oracle.multiclass_jaccard_index,
}  # fmt: skip
CASES = [(seed, num_classes, lacking) for seed in range(3) for num_classes in (2, 3, 6) for lacking in (False, True)]


def masks(seed: int, num_classes: int, lacking: bool) -> tuple[np.ndarray, np.ndarray]:
    """Truth and labels with ignored pixels; `lacking`: the last class occurs in neither, the first not in truth."""
    rng = np.random.default_rng((seed, num_classes))
    classes = np.arange(num_classes - 1) if lacking else np.arange(num_classes)
    truth = rng.choice(classes[1:] if lacking and len(classes) > 1 else classes, (19, 27)).astype(np.uint8)
    labels = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice(classes, truth.shape)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.15] = IGNORE
    return truth, labels


def defined(name: str, truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Which classes the metric has a denominator for."""
    in_truth, in_labels = (np.bincount(found, minlength=num_classes) > 0 for found in (truth, labels))
    return {"precision": in_labels, "recall": in_truth}.get(name, in_truth | in_labels)


@pytest.mark.parametrize("name", SKLEARN)
@pytest.mark.parametrize(("seed", "num_classes", "lacking"), CASES)
def test_each_class_scores_as_in_scikit_learn_and_torchmetrics(name: str, seed: int, num_classes: int, lacking: bool) -> None:
    truth, labels = masks(seed, num_classes, lacking)
    found = METRICS[name](count_image("a", truth, labels, num_classes).total())
    valid = truth != IGNORE
    known = defined(name, truth[valid], labels[valid], num_classes)
    assert np.isnan(found[~known]).all()
    ours = SKLEARN[name](truth[valid], labels[valid], labels=range(num_classes), average=None, zero_division=0)
    theirs = TORCHMETRICS[name](
        torch.from_numpy(labels).long(), torch.from_numpy(truth).long(), num_classes, average="none", ignore_index=IGNORE
    ).numpy()
    assert found[known] == pytest.approx(ours[known])
    assert found[known] == pytest.approx(theirs[known], abs=1e-6)


@pytest.mark.parametrize("name", SKLEARN)
@pytest.mark.parametrize(("seed", "num_classes"), [(0, 3), (1, 6)])
def test_averages_are_those_of_both(name: str, seed: int, num_classes: int) -> None:
    """Every class is in truth and labels here, so no rule for undefined scores comes in."""
    truth, labels = masks(seed, num_classes, lacking=False)
    found = averages(count_image("a", truth, labels, num_classes))
    valid = truth != IGNORE
    for average in ("micro", "macro"):
        ours = SKLEARN[name](truth[valid], labels[valid], labels=range(num_classes), average=average)
        theirs = TORCHMETRICS[name](
            torch.from_numpy(labels).long(), torch.from_numpy(truth).long(), num_classes, average=average, ignore_index=IGNORE
        )
        assert found[average][name] == pytest.approx(ours)
        assert found[average][name] == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("name", SKLEARN)
def test_binary_averages_are_of_the_foreground(name: str) -> None:
    truth, labels = masks(0, 2, lacking=False)
    found = averages(count_image("a", truth, labels, 2))
    valid = truth != IGNORE
    expected = SKLEARN[name](truth[valid], labels[valid])
    assert found["micro"][name] == found["macro"][name] == found["imagewise"][name] == pytest.approx(expected)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_accuracy(num_classes: int) -> None:
    truth, labels = masks(0, num_classes, lacking=False)
    valid = truth != IGNORE
    matrix = count_image("a", truth, labels, num_classes).total()
    assert float(accuracy(matrix)) == pytest.approx(accuracy_score(truth[valid], labels[valid]))
    for index, found in enumerate(class_accuracy(matrix)):
        assert found == pytest.approx(accuracy_score(truth[valid] == index, labels[valid] == index))
    theirs = oracle.multiclass_accuracy(
        torch.from_numpy(labels).long(), torch.from_numpy(truth).long(), num_classes, average="micro", ignore_index=IGNORE
    )
    assert float(accuracy(matrix)) == pytest.approx(float(theirs), abs=1e-6)


def counts_of(*matrices: list[list[int]]) -> Counts:
    matrix = np.array(matrices, np.int64)
    nothing = np.zeros(matrix.shape[:2], np.int64)
    return Counts(tuple(f"i{n}" for n in range(len(matrix))), matrix, nothing, nothing)


def test_imagewise_is_a_mean_of_images_and_leaves_out_those_without_a_score() -> None:
    """Foreground IoU of three images: 2/4, 1/1, and none at all (all background)."""
    counts = counts_of([[5, 1], [1, 2]], [[9, 0], [0, 1]], [[10, 0], [0, 0]])
    assert averages(counts)["imagewise"]["iou"] == pytest.approx((0.5 + 1.0) / 2)
    assert averages(counts)["macro"]["iou"] == pytest.approx(3 / 5)  # pooled: 3 hits of 3 + 1 + 1


def test_scores_do_not_depend_on_how_images_are_joined() -> None:
    images = [count_image(str(seed), *masks(seed, 3, lacking=False), 3) for seed in range(4)]
    names = ("a", "b", "c")
    one, two = Counts.join(images), Counts.join([images[3], Counts.join(images[:3])])
    assert per_class(one, names) == per_class(two, names)
    assert averages(one)["micro"] == averages(two)["micro"]


def test_the_headline_of_two_classes_is_the_foreground() -> None:
    counts = count_image("a", *masks(2, 2, lacking=False), 2)
    told = summary(counts, ("bg", "piece"))
    row = dict(told.per_class["piece"])
    assert told.metrics.pop("accuracy") == pytest.approx(float(accuracy(counts.total())))
    row.pop("accuracy")
    assert told.metrics == row
    assert headline_iou(counts.total()) == row["iou"]


def test_the_headline_of_more_classes_is_the_macro_mean() -> None:
    counts = count_image("a", *masks(2, 4, lacking=True), 4)
    told = summary(counts, ("a", "b", "c", "d"))
    scores = [row["iou"] for row in told.per_class.values()]
    assert np.isnan(scores[3])
    assert told.metrics["iou"] == pytest.approx(np.mean(scores[:3]))
    assert told.metrics["boundary_iou"] == pytest.approx(
        nanmean(np.array([row["boundary_iou"] for row in told.per_class.values()]))
    )
    assert headline_iou(counts.total()) == pytest.approx(told.metrics["iou"])
    assert set(told.metrics) == {*METRICS, "boundary_iou"}


def test_metrics_take_a_stack_of_images() -> None:
    stack = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    for metric in METRICS.values():
        assert np.allclose(metric(stack), np.stack([metric(matrix) for matrix in stack]), equal_nan=True)


def test_nothing_left_has_no_mean() -> None:
    assert np.isnan(nanmean(np.array([np.nan, np.nan])))
    assert np.isnan(nanmean(iou(np.zeros((3, 3)))))
    assert "null" in POLICY
