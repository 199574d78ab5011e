"""Outlines against cases drawn by hand, MONAI and scipy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from maskwright import runtime
from maskwright.data.dataset import IGNORE
from maskwright.metrics import boundaries
from maskwright.metrics.boundaries import Outlines, compare_outlines, distances_to

runtime.ensure_torchvision()  # MONAI imports it
from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # noqa: E402
from monai.metrics.surface_dice import compute_surface_dice  # noqa: E402

# MONAI warns of an argument it passes itself: https://github.com/Project-MONAI/MONAI/blob/1.6.1/monai/metrics/utils.py
pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
NAN = float("nan")


def compared(truth: np.ndarray, labels: np.ndarray, width: int = 1, num_classes: int = 2) -> Outlines:
    kept = truth != IGNORE
    return compare_outlines(truth, labels, num_classes, np.union1d(truth[kept], labels[kept]), width)


def square(left: int, top: int = 3, side: int = 4, size: int = 12) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def scenes(
    seed: int, num_classes: int, side: tuple[int, int] = (61, 48), doubt: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and labels that look like predictions: smooth regions, the same but for a smooth doubt."""
    rng = np.random.default_rng((seed, num_classes))
    heights = [cv2.GaussianBlur(rng.normal(size=(*side, num_classes)).astype(np.float32), (0, 0), 5) for _ in range(2)]
    heights = [found.reshape(*side, num_classes) for found in heights]
    return heights[0].argmax(2).astype(np.uint8), (heights[0] + doubt * heights[1]).argmax(2).astype(np.uint8)


def one_hot(mask: np.ndarray, num_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(mask).long(), num_classes).permute(2, 0, 1)[None]


# ------------------------------------------------------------------ by hand


def test_two_squares_a_pixel_apart() -> None:
    """Each edge is a ring of 12 pixels; the rings share 3 + 3 pixels of their upper and lower sides.

    The left column of truth's ring (2; rows 3-6): 1 from the labels' column 3. Its right column (5): 1 from column 6 in
    rows 4 and 5, and on the labels' ring in rows 3 and 6. So no pixel is further than 1: width 1 finds all, and HD95 is
    1.
    """
    found = compared(square(2), square(3))
    assert found.edge[1].tolist() == found.near[1].tolist() == [12, 12]
    assert found.hd95[1] == 1.0


def test_the_width_is_a_distance_in_pixels() -> None:
    """Squares 3 apart, columns 2-5 and 5-8; their rings share rows 3-6 of column 5: truth's right side, the labels'
    left.

    Distance of truth's ring to the labels' column 5, by column: 2 (4 pixels): 3, 3 (2 pixels): 2, 4 (2): 1, 5 (4): 0.
    Width 1: 6 of 12, width 2: 8, width 3: 12. The labels' ring is its mirror image.
    Sorted: four 0, two 1, two 2, four 3; the 95th percentile (place 0.95 · 11 = 10.45) is 3.
    """
    for width, near in ((1, 6), (2, 8), (3, 12), (40, 12)):
        found = compared(square(2), square(5), width)
        assert found.near[1].tolist() == [near, near]
        assert found.hd95[1] == 3.0


def test_distances_are_euclidean() -> None:
    """Single pixels 3 columns and 4 rows apart: 5."""
    truth, labels = square(1, 1, side=1), square(4, 5, side=1)
    assert compared(truth, labels).hd95[1] == 5.0
    assert compared(truth, labels, 4).near[1].tolist() == [0, 0]
    assert compared(truth, labels, 5).near[1].tolist() == [1, 1]


def test_precision_and_recall_differ() -> None:
    """The labels find the square and add a single pixel far from it: truth's edge is met wholly, 12 of the labels'
    13.
    """
    labels = square(2)
    labels[11, 11] = 1
    found = compared(square(2), labels)
    assert found.edge[1].tolist() == [13, 12]
    assert found.near[1].tolist() == [12, 12]


def test_the_border_is_an_edge_and_corners_alone_do_not_open_a_region() -> None:
    """All of a 4 × 5 image: its outermost ring, 2 · 5 + 2 · 2 = 14 pixels. An edge needs one of four neighbours
    outside:

    of a plus of arms 1 about (2, 2), the middle has all four inside, so its edge is the 4 arms.
    """
    full = np.ones((4, 5), np.uint8)
    assert compared(full, full).edge[1].tolist() == [14, 14]
    plus = np.zeros((5, 5), np.uint8)
    plus[2, 1:4] = plus[1:4, 2] = 1
    assert compared(plus, plus).edge[1].tolist() == [4, 4]


# ------------------------------------------------------------------ the undefined


def test_a_class_in_only_one_of_truth_and_prediction_is_the_diagonal_away() -> None:
    """9 × 12 pixels: the diagonal is 15. Neither has class 2, which has no distance."""
    one, none = np.zeros((9, 12), np.uint8), np.zeros((9, 12), np.uint8)
    one[4, 4] = 1
    for truth, labels, edge in ((one, none, [0, 1]), (none, one, [1, 0])):
        found = compared(truth, labels, num_classes=3)
        assert found.hd95[1:].tolist() == pytest.approx([15.0, NAN], nan_ok=True)
        assert found.edge[1].tolist() == edge and found.near[1].tolist() == [0, 0]
        assert (found.overlap[1], found.union[1]) == (0, 1)


def test_nothing_known_has_no_outlines() -> None:
    found = compared(np.full((5, 5), IGNORE, np.uint8), square(1, 1, 2, 5))
    assert not (found.edge.any() or found.near.any() or found.union.any())
    assert np.isnan(found.hd95).all()


# ------------------------------------------------------------------ ignored pixels


def test_what_lies_in_ignored_pixels_is_no_error_and_no_edge() -> None:
    """Truth is a square with a ring of ignored pixels about it; the prediction errs inside the ring alone."""
    truth, labels = square(3, 3, 6, 14), square(2, 2, 8, 14)
    known = truth.copy()
    known[2:10, 2:10][truth[2:10, 2:10] == 0] = IGNORE
    assert compared(truth, labels).hd95[1] > 0
    found = compared(known, labels)
    assert (found.near == found.edge).all() and (found.overlap == found.union).all()
    # the prediction's edge lies in the ring, so nothing of the foreground's is scored; the background's is, and is
    # right
    assert found.edge[1].tolist() == [0, 0] and np.isnan(found.hd95[1])
    assert found.edge[0].min() > 0 and found.hd95[0] == 0


def test_an_edge_beyond_the_ignored_pixels_is_as_far_as_it_must_be() -> None:
    """One row. Truth 1 1 1 x x 0 0 0, labels 1 1 1 1 1 1 0 0: truth ends somewhere in columns 2 to 4, the labels in
    column 5.

    With truth as predicted where it is ignored it ends in column 4, 1 away. The image's border ends both in column 0;
    in one row every pixel has the border above it, so all are edges: the labels' columns 0-2 and 5, of which 5 is 1
    away.
    """
    truth = np.array([[1, 1, 1, IGNORE, IGNORE, 0, 0, 0]], np.uint8)
    labels = np.array([[1, 1, 1, 1, 1, 1, 0, 0]], np.uint8)
    found = compared(truth, labels)
    assert found.edge[1].tolist() == [4, 3]
    assert found.near[1].tolist() == [4, 3]
    assert found.hd95[1] == pytest.approx(0.85)  # 0, 0, 0, 1 at place 0.95 · 3 = 2.85


@pytest.mark.parametrize("seed", range(4))
def test_ignoring_where_the_prediction_is_right_changes_no_distance_elsewhere(seed: int) -> None:
    truth, labels = scenes(seed, 3)
    right = truth == labels
    known = np.where(right & (np.random.default_rng(seed).random(truth.shape) < 0.3), IGNORE, truth).astype(np.uint8)
    found, whole = compared(known, labels, 2, 3), compared(truth, labels, 2, 3)
    assert (found.edge <= whole.edge).all()
    assert (whole.edge - found.edge >= whole.near - found.near).all()  # only edges that agree can go


# ------------------------------------------------------------------ independent oracles


@pytest.mark.parametrize("num_classes", [2, 3, 7])
@pytest.mark.parametrize("doubt", [0.05, 0.4, 2.0])
def test_hd95_is_that_of_monai(num_classes: int, doubt: float) -> None:
    """Both take the greater of the two directed percentiles. It is given no empty masks here: see the next test."""
    for seed in range(4):
        truth, labels = scenes(seed, num_classes, doubt=doubt)
        both = np.intersect1d(truth, labels).astype(int)
        expected = compute_hausdorff_distance(
            one_hot(labels, num_classes)[:, both],
            one_hot(truth, num_classes)[:, both],
            include_background=True,
            percentile=95,
        )
        assert compared(truth, labels, num_classes=num_classes).hd95[both] == pytest.approx(
            expected[0].numpy(), rel=1e-5
        )


@pytest.mark.filterwarnings("ignore:.*(all 0|all zero).*:UserWarning")  # what MONAI says of an empty mask
def test_where_monai_finds_infinity_ours_is_the_diagonal() -> None:
    """The convention that differs: a distance to nothing is infinite or NaN there, so that means break; ours is
    finite.
    """
    full, empty = one_hot(square(2), 2)[:, 1:], one_hot(np.zeros((12, 12), np.uint8), 2)[:, 1:]
    theirs = [
        float(compute_hausdorff_distance(*pair, include_background=True, percentile=95))
        for pair in ((full, empty), (empty, full))
    ]
    assert not np.isfinite(theirs).any()
    nothing = np.zeros((12, 12), np.uint8)
    for pair in ((square(2), nothing), (nothing, square(2))):
        assert compared(*pair).hd95[1] == pytest.approx(12 * 2**0.5)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_edges_within_the_width_are_those_of_monai(num_classes: int, width: int) -> None:
    """MONAI's normalised surface Dice pools both edges, where boundary F is the harmonic mean of their two shares.

    So the counts are compared: (near of both) / (edge of both).
    """
    for seed in range(3):
        truth, labels = scenes(seed, num_classes)
        found = compared(truth, labels, width, num_classes)
        both = np.intersect1d(truth, labels).astype(int)
        expected = compute_surface_dice(
            one_hot(labels, num_classes)[:, both],
            one_hot(truth, num_classes)[:, both],
            [float(width)] * len(both),
            True,
        )
        assert found.near.sum(1)[both] / found.edge.sum(1)[both] == pytest.approx(expected[0].numpy(), rel=1e-5)


@pytest.mark.parametrize("side", [(1, 1), (1, 40), (40, 1), (90, 120), (33, 70)])
@pytest.mark.parametrize("num_edges", [1, 3, 200])
def test_distances_are_those_of_scipy(side: tuple[int, int], num_edges: int) -> None:
    """Near ones, and ones beyond the reach of the search; all of them, since the share is 1."""
    rng = np.random.default_rng(num_edges)
    edge = np.zeros(side, np.uint8)
    edge.ravel()[rng.integers(0, edge.size, num_edges)] = 1
    points = np.unique(rng.integers(0, edge.size, 300))
    expected = distance_transform_edt(edge == 0).ravel()[points]
    assert distances_to(edge, points, share=1) == pytest.approx(expected, rel=1e-6)


def test_distances_come_out_the_same_every_time_and_exact() -> None:
    """OpenCV's differ in their last bits from call to call; beyond the reach of our search they are what is used."""
    edge = np.zeros((300, 400), np.uint8)
    edge[0, 0] = 1
    y, x = np.divmod(np.arange(edge.size), 400)
    for _ in range(5):
        assert (distances_to(edge, np.arange(edge.size)) == np.sqrt(y * y + x * x)).all()


@pytest.mark.parametrize("far", [10, 100])
def test_points_left_out_of_the_search_change_neither_percentile_nor_width(far: int) -> None:
    """One in thirty points is far away: the search ends before it is reached, within its reach or beyond it."""
    edge = np.zeros((150, 150), np.uint8)
    edge[3, :] = 1
    points = np.ravel_multi_index(
        (np.r_[np.repeat([3, 4, 5], 29), [far + 3] * 3], np.r_[np.arange(87), [0, 70, 149]]), edge.shape
    )
    found = distances_to(edge, points, width=4)
    expected = distance_transform_edt(edge == 0).ravel()[points]
    assert np.isinf(found).sum() == 3
    assert np.percentile(found, 95) == np.percentile(expected, 95)
    assert np.count_nonzero(found <= 4) == np.count_nonzero(expected <= 4)


@pytest.mark.parametrize("distance", [1, 5, 31, 32, 40])
def test_bands_of_any_width_are_the_same_by_erosion_and_by_sums(monkeypatch: pytest.MonkeyPatch, distance: int) -> None:
    region = scenes(1, 2, (130, 151))[0]
    found = []
    for wide in (1000, 1):
        monkeypatch.setattr(boundaries, "_WIDE", wide)
        found.append(boundaries._core(region, distance))
    assert (found[0] == found[1]).all()


def test_regions_are_looked_at_where_they_are_only() -> None:
    """A class in a far corner of a large image scores as in a small one with the same band width."""
    small = [square(left, 3, 6, 16) for left in (3, 4)]
    large = [np.pad(mask, ((40, 0), (40, 0))) for mask in small]
    few, many = (compared(*pair, 2) for pair in (small, large))
    for name in ("near", "edge", "hd95"):
        assert (getattr(few, name)[1] == getattr(many, name)[1]).all()
