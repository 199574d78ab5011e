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
from maskwright.metrics.scores import (
    Sums,
    Unlooked,
    accuracy,
    beaten_unlooked,
    headline_iou,
    headline_scores,
    iou,
    nanmean,
)

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
def test_each_class_scores_as_in_scikit_learn_and_torchmetrics(
    name: str, seed: int, num_classes: int, lacking: bool
) -> None:
    truth, labels = masks(seed, num_classes, lacking)
    found = METRICS[name](count_image("a", truth, labels, num_classes).total())
    valid = truth != IGNORE
    known = defined(name, truth[valid], labels[valid], num_classes)
    assert np.isnan(found[~known]).all()
    ours = SKLEARN[name](truth[valid], labels[valid], labels=range(num_classes), average=None, zero_division=0)
    theirs = TORCHMETRICS[name](
        torch.from_numpy(labels).long(),
        torch.from_numpy(truth).long(),
        num_classes,
        average="none",
        ignore_index=IGNORE,
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
            torch.from_numpy(labels).long(),
            torch.from_numpy(truth).long(),
            num_classes,
            average=average,
            ignore_index=IGNORE,
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
    for index, found in enumerate(METRICS["accuracy"](matrix)):
        assert found == pytest.approx(accuracy_score(truth[valid] == index, labels[valid] == index))
    theirs = oracle.multiclass_accuracy(
        torch.from_numpy(labels).long(),
        torch.from_numpy(truth).long(),
        num_classes,
        average="micro",
        ignore_index=IGNORE,
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
    for name, row in per_class(one, names).items():
        assert row == pytest.approx(per_class(two, names)[name], rel=1e-12)
    assert averages(one)["micro"] == pytest.approx(averages(two)["micro"], rel=1e-12, nan_ok=True)


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
    assert set(told.metrics) == {
        *METRICS,
        "boundary_iou",
        "boundary_precision",
        "boundary_recall",
        "boundary_f",
        "hd95",
    }


def test_metrics_take_a_stack_of_images() -> None:
    stack = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    for metric in METRICS.values():
        assert np.allclose(metric(stack), np.stack([metric(matrix) for matrix in stack]), equal_nan=True)


def test_nothing_left_has_no_mean() -> None:
    assert np.isnan(nanmean(np.array([np.nan, np.nan])))
    assert np.isnan(nanmean(iou(np.zeros((3, 3)))))
    assert "null" in POLICY


@pytest.mark.parametrize(("seed", "num_classes"), [(0, 2), (1, 3), (2, 6)])
def test_the_four_ways_of_averaging_are_those_of_smp(seed: int, num_classes: int) -> None:
    """SMP's reductions, with counts of each class by image.

    Named differently: its micro-imagewise is our imagewise_micro, its macro-imagewise (a mean over images and classes
    at once) our imagewise, which is the same where every class has a score in every image, as here.
    Another convention: SMP calls 0/0 a score of 1 (`zero_division`), which we call none; the next test is about that.
    Of two classes SMP is given the foreground alone, as we score it.
    """
    import segmentation_models_pytorch.metrics as smp

    images = [masks(seed + 100 * image, num_classes, lacking=False) for image in range(5)]
    counts = Counts.join([count_image(str(index), *pair, num_classes) for index, pair in enumerate(images)])
    parts = smp_parts(images, num_classes)
    found = averages(counts)
    names = {"micro": "micro", "macro": "macro", "imagewise": "macro-imagewise", "imagewise_micro": "micro-imagewise"}
    theirs = {"iou": smp.iou_score, "f1": smp.f1_score, "precision": smp.precision, "recall": smp.recall}
    for ours, reduction in names.items():
        for name, metric in theirs.items():
            assert found[ours][name] == pytest.approx(float(metric(*parts, reduction=reduction)), abs=1e-6), (
                ours,
                name,
            )


def test_a_class_absent_from_an_image_has_no_score_where_smp_gives_one() -> None:
    """The convention that differs: SMP's mean over images takes 0/0 as 1, ours leaves it out.

    Foreground IoU of two images: 2 / 4, and none (no foreground in truth or prediction): SMP (0.5 + 1) / 2, ours 0.5.
    """
    import segmentation_models_pytorch.metrics as smp

    some, none = np.array([[1, 1, 1, 0]], np.uint8), np.zeros((1, 4), np.uint8)
    images = [(some, np.array([[0, 1, 1, 1]], np.uint8)), (none, none)]
    counts = Counts.join([count_image(str(index), *pair, 2) for index, pair in enumerate(images)])
    assert averages(counts)["imagewise"]["iou"] == pytest.approx(0.5)
    assert float(smp.iou_score(*smp_parts(images, 2), reduction="macro-imagewise")) == pytest.approx(0.75)


def smp_parts(images: list[tuple[np.ndarray, np.ndarray]], num_classes: int) -> list[torch.Tensor]:
    """SMP's true and false positives and negatives, N K, ignored pixels taken out beforehand as it takes no 255."""
    import segmentation_models_pytorch.metrics as smp

    truth, labels = (torch.from_numpy(np.stack([pair[side] for pair in images])).long() for side in (0, 1))
    parts = smp.get_stats(
        labels, torch.where(truth == IGNORE, -1, truth), "multiclass", ignore_index=-1, num_classes=num_classes
    )
    return [part[:, 1:] if num_classes == 2 else part for part in parts]


def test_dice_is_that_of_monai() -> None:
    """MONAI scores each image and class by itself; where a class is absent from the truth it says NaN, as for recall.

    The convention that differs: for a class that is only predicted ours is 0.
    """
    from monai.metrics.meandice import compute_dice
    from monai.metrics.meaniou import compute_iou

    for lacking in (False, True):
        truth, labels = masks(3, 4, lacking)
        truth[truth == IGNORE] = 1
        ours = count_image("a", truth, labels, 4).total()
        hot = [
            torch.nn.functional.one_hot(torch.from_numpy(found).long(), 4).permute(2, 0, 1)[None]
            for found in (labels, truth)
        ]
        for theirs, name in ((compute_dice, "dice"), (compute_iou, "iou")):
            expected = theirs(hot[0], hot[1], ignore_empty=True)[0].numpy()
            in_truth = ours.sum(1) > 0
            assert METRICS[name](ours)[in_truth] == pytest.approx(expected[in_truth], abs=1e-6)
            assert np.isnan(expected[~in_truth]).all()
            if lacking:
                assert METRICS[name](ours)[0] == 0 and np.isnan(METRICS[name](ours)[3])


def one_class(near: tuple[int, int], edge: tuple[int, int], hd95: float) -> Counts:
    """Counts of an image whose foreground outline fared so."""
    zero = np.zeros((1, 2), np.int64)
    rows = [np.array([[[0, 0], pair]], np.int64) for pair in (near, edge)]
    return Counts(
        ("a",), np.zeros((1, 2, 2), np.int64), zero, zero, *rows, hd95=np.array([[np.nan, hd95]]), boundary_width=2
    )


def test_boundary_f_pools_pixels_and_distances_are_a_mean_over_images() -> None:
    """Precision (3 + 1) / (4 + 4) = 1/2, recall (4 + 2) / (4 + 4) = 3/4, F = 2 · 1/2 · 3/4 / (5/4) = 3/5; HD95 (1 + 4)
    / 2.
    """
    both = Counts.join([one_class((3, 4), (4, 4), 1.0), one_class((1, 2), (4, 4), 4.0)])
    row = per_class(both, ("bg", "fg"))["fg"]
    assert (row["boundary_precision"], row["boundary_recall"], row["boundary_f"]) == pytest.approx(
        (1 / 2, 3 / 4, 3 / 5)
    )
    assert row["hd95"] == 2.5
    found = averages(both)
    assert found["imagewise"]["boundary_f"] == pytest.approx((2 * 3 / 4 / (7 / 4) + 2 * 1 / 4 * 1 / 2 / (3 / 4)) / 2)
    assert found["macro"]["hd95"] == found["imagewise"]["hd95"] == 2.5
    assert np.isnan(found["micro"]["hd95"])


@pytest.mark.parametrize(("edge", "expected"), [((0, 0), np.nan), ((5, 0), 0.0), ((0, 5), 0.0)])
def test_boundary_f_of_an_outline_that_is_only_on_one_side_is_zero(edge: tuple[int, int], expected: float) -> None:
    row = per_class(one_class((0, 0), edge, np.nan), ("bg", "fg"))["fg"]
    assert row["boundary_f"] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(row["hd95"])


@pytest.mark.parametrize("num_classes", [2, 4])
def test_scores_of_pooled_sums_are_those_of_pooled_matrices(num_classes: int) -> None:
    images = [count_image(str(seed), *masks(seed, num_classes, lacking=seed == 1), num_classes) for seed in range(4)]
    counts, draws = Counts.join(images), np.random.default_rng(0).integers(0, 3, (6, 4)).astype(float) + np.eye(6, 4)
    found = headline_scores(Sums.of_images(counts).pooled(draws))
    for index, drawn in enumerate(draws):
        chosen = [image for image, times in zip(images, drawn.astype(int), strict=True) for _ in range(times)]
        expected = summary(Counts.join(chosen), tuple("abcd"[:num_classes])).metrics
        assert {name: values[index] for name, values in found.items()} == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_what_an_answer_without_looking_beats() -> None:
    # 65 of 100, background has 60
    assert beaten_unlooked(np.array([[40, 20], [15, 25]]), ("background", "cat")) is None
    worse = beaten_unlooked(np.array([[30, 30], [15, 25]]), ("background", "cat"))
    assert worse == Unlooked("background", 0.6, 0.55)
    assert beaten_unlooked(np.array([[60, 0], [40, 0]]), ("background", "cat")) is None  # as good as, not worse
    assert beaten_unlooked(np.zeros((2, 2)), ("background", "cat")) is None
    # 11 of 20, the commonest 10
    assert beaten_unlooked(np.array([[1, 9, 0], [0, 2, 0], [0, 0, 8]]), ("a", "b", "c")) is None
