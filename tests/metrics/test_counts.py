"""Counts against scikit-learn, boundaries against cases drawn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from maskwright.data.dataset import IGNORE
from maskwright.metrics import counts as counts_module
from maskwright.metrics.counts import Counts, confusion, count_image
from maskwright.metrics.scores import summary


def masks(
    seed: int, num_classes: int, size: tuple[int, int] = (23, 31), ignored: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """A random truth with ignored pixels and a prediction that agrees with half of it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, size).astype(np.uint8)
    labels = np.where(rng.random(size) < 0.5, truth, rng.integers(0, num_classes, size)).astype(np.uint8)
    truth[rng.random(size) < ignored] = IGNORE
    return truth, labels


@pytest.mark.parametrize("num_classes", [2, 3, 7, 21, 255])
def test_confusion_is_that_of_scikit_learn(num_classes: int) -> None:
    truth, labels = masks(num_classes, num_classes)
    valid = truth != IGNORE
    expected = confusion_matrix(truth[valid], labels[valid], labels=range(num_classes))
    found = confusion(truth, labels, num_classes)
    assert found.dtype == np.int64
    assert (found == expected).all()


def test_views_that_do_not_lie_in_a_row_count_alike() -> None:
    truth, labels = masks(0, 3)
    assert (
        confusion(truth[:, ::2], labels[:, ::2], 3) == confusion(truth[:, ::2].copy(), labels[:, ::2].copy(), 3)
    ).all()
    assert (confusion(truth.T, labels.T, 3) == confusion(truth, labels, 3)).all()


def test_pieces_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images are counted in pieces; here the pieces are of 100 pixels, so that a small one is large."""
    truth, labels = masks(1, 4)
    whole = confusion(truth, labels, 4)
    monkeypatch.setattr(counts_module, "_EXACT", 100)
    assert (confusion(truth, labels, 4) == whole).all()


def test_all_ignored_and_empty() -> None:
    nothing = np.full((3, 3), IGNORE, np.uint8)
    assert confusion(nothing, np.zeros((3, 3), np.uint8), 2).tolist() == [[0, 0], [0, 0]]
    assert count_image("a", nothing, np.zeros((3, 3), np.uint8), 2).boundary_union.tolist() == [[0, 0]]


def square(left: int, top: int = 3, side: int = 4, size: int = 10) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_a_perfect_boundary_overlaps_wholly() -> None:
    for mask in (square(2), masks(2, 2, ignored=0)[0], np.ones((5, 4), np.uint8)):
        counts = count_image("a", mask, mask.copy(), 2)
        assert (counts.boundary_overlap == counts.boundary_union).all()
        assert counts.boundary_union[0, 1] > 0


def test_two_squares_a_pixel_apart() -> None:
    """Distance 1 (10 × 10: 0.02 · 14.1 rounds to 0, at least 1), so each band is the ring of a 4 × 4 square: 12 pixels.

        truth     columns 2-5, labels columns 3-6, rows 3-6
        rows 3, 6     TTTT.  and .LLLL    overlap in columns 3, 4, 5: 3 pixels a row
        rows 4, 5     T..T.  and .L..L    overlap nowhere
    overlap 6, union 12 + 12 - 6 = 18
    """
    counts = count_image("a", square(2), square(3), 2)
    assert counts.boundary_overlap[0, 1] == 6
    assert counts.boundary_union[0, 1] == 18


def test_the_border_of_the_image_is_an_edge() -> None:
    """A 4 × 4 image all of class 1: its band is its outermost ring, 12 of 16 pixels; class 0 has none."""
    full = np.ones((4, 4), np.uint8)
    counts = count_image("a", full, full, 2)
    assert counts.boundary_union.tolist() == [[0, 12]]


def test_ignored_pixels_belong_to_no_band_and_make_no_edge() -> None:
    """As the two squares, with truth's rows 3 and 4 ignored, where it is taken to be as predicted.

    truth then has columns 3-6 in rows 3 and 4 and columns 2-5 in rows 5 and 6; rows 3 and 4 aren't counted.
    A pixel is in the band (distance 1, chessboard) when one of its eight neighbours is outside.
        row 5   truth: 2 (beside 1), 3 (below-right of (4, 2)) and 5 (beside 6); 4 is inside.   labels: 3 and 6
        row 6   truth: 2, 3, 4, 5.   labels: 3, 4, 5, 6
    row 5: overlap 1 (column 3), union 4;   row 6: overlap 3, union 5
    """
    truth = square(2)
    truth[3:5] = IGNORE
    counts = count_image("a", truth, square(3), 2)
    assert counts.boundary_overlap[0, 1] == 1 + 3
    assert counts.boundary_union[0, 1] == 4 + 5


def test_wider_bands_on_larger_images() -> None:
    """120 × 160: the diagonal is 200, so the distance is 4. A 20 × 20 square's band is 20² - 12² = 256 pixels."""
    mask = np.zeros((120, 160), np.uint8)
    mask[40:60, 40:60] = 1
    assert count_image("a", mask, mask, 2).boundary_union[0, 1] == 256


def some_counts() -> Counts:
    return Counts.join([count_image(name, *masks(seed, 3), 3) for seed, name in enumerate(["a/1", "b ü", "c"])])


def test_joining_keeps_every_image() -> None:
    parts = [count_image(name, *masks(seed, 3), 3) for seed, name in enumerate(["a/1", "b ü", "c"])]
    joined = Counts.join([Counts.join(parts[:2]), parts[2]])
    assert joined.images == ("a/1", "b ü", "c")
    assert joined.num_classes == 3
    assert (joined.matrix == np.concatenate([part.matrix for part in parts])).all()
    assert (joined.total() == sum(part.matrix[0] for part in parts)).all()


ARRAYS = {
    "matrix": np.int64, "boundary_overlap": np.int64, "boundary_union": np.int64, "boundary_near": np.int64,
    "boundary_edge": np.int64, "objects": np.int64, "hd95": np.float64,
}  # fmt: skip


def test_counts_survive_a_file(tmp_path: Path) -> None:
    counts = some_counts()
    counts.save(tmp_path / "counts.npz")
    back = Counts.load(tmp_path / "counts.npz")
    assert (back.images, back.boundary_width) == (counts.images, counts.boundary_width) == (("a/1", "b ü", "c"), 3)
    for name, kind in ARRAYS.items():
        assert getattr(back, name).dtype == getattr(counts, name).dtype == kind
        assert np.array_equal(getattr(back, name), getattr(counts, name), equal_nan=kind is np.float64)


def test_a_file_from_before_outlines_and_objects_were_counted_is_read(tmp_path: Path) -> None:
    counts = some_counts()
    np.savez_compressed(tmp_path / "old.npz", images=np.array(counts.images), matrix=counts.matrix,
                        boundary_overlap=counts.boundary_overlap, boundary_union=counts.boundary_union)  # fmt: skip
    old = Counts.load(tmp_path / "old.npz")
    assert (old.matrix == counts.matrix).all() and old.boundary_width == 0
    told, now = summary(old, ("a", "b", "c")), summary(counts, ("a", "b", "c"))
    for name, score in now.metrics.items():
        unknown = name in ("boundary_precision", "boundary_recall", "boundary_f", "hd95")
        assert np.isnan(told.metrics[name]) if unknown else told.metrics[name] == score, name
    assert not old.objects.any() and old.objects.shape == counts.objects.shape
    old.save(tmp_path / "again.npz")
    assert np.isnan(Counts.load(tmp_path / "again.npz").hd95).all()


def test_counts_of_two_widths_are_not_joined() -> None:
    truth, labels = masks(0, 3)
    with pytest.raises(AssertionError, match="one width"):
        Counts.join([count_image("a", truth, labels, 3, 2), count_image("b", truth, labels, 3, 3)])


def test_the_diagonal_of_each_image_is_kept_and_unknown_in_files_from_before(tmp_path: Path) -> None:
    wide = count_image("a", np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8), 2)
    both = Counts.join([wide, count_image("b", np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint8), 2)])
    both.save(tmp_path / "counts.npz")
    assert Counts.load(tmp_path / "counts.npz").diagonal.tolist() == [5.0, 10.0]
    assert (
        np.isnan(Counts(both.images, both.matrix, both.boundary_overlap, both.boundary_union).diagonal).tolist()
        == [True] * 2
    )
