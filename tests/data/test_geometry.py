"""Geometry: exact where it can be exact, aligned everywhere, and no mask value is ever invented."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from maskwright.config.augment import AugmentOp
from maskwright.data.augment import augment, resolve
from maskwright.data.dataset import IGNORE
from maskwright.data.geometry import View, about_centre, corners_of, perspective, rotation, shrink_to, warp_pair

SIZE = 32
RNG = np.random.default_rng


def picture(height: int = SIZE, width: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 5, (height, width), np.uint8)


def blobs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth regions of 0 and 1, and an image made of the mask itself: 0 and 200."""
    field = cv2.GaussianBlur(RNG(4).standard_normal((height, width)), (0, 0), min(height, width) / 5)
    mask = (field > 0).astype(np.uint8)
    return np.repeat((mask * 200)[..., None], 3, axis=2), mask


@pytest.mark.parametrize(
    "view",
    [
        View("crop", (24, 40)),
        View("crop", (24, 40), 0.5),
        View("whole", (24, 40)),
        View("whole", (24, 40), letterbox=True),
    ],
    ids=lambda view: f"{view.kind} {view.scale} {view.letterbox}",
)
def test_an_input_higher_than_wide_or_wider_than_high_is_aligned(view: View) -> None:
    """Turned, zoomed, bent and moved, image and mask of 24 × 40 show the same places."""
    image, mask = blobs(120, 160)
    plan = resolve([AugmentOp(name=name) for name in ("hflip", "rotate", "scale", "shift", "perspective")])
    for seed in range(10):
        found, labels = augment(image, mask, view, plan, RNG(seed))
        assert found.shape == (24, 40, 3) and labels.shape == (24, 40)
        assert ((found[..., 0] > 100) != (labels == 1))[labels != IGNORE].mean() < 0.08
    assert view.halved().shape == (12, 20)
    corners = corners_of(view.base_matrix(120, 160, RNG(1)), view.size)
    half = corners_of(view.halved().base_matrix(120, 160, RNG(1)), view.halved().size)
    assert half == pytest.approx(corners)


def test_a_window_of_two_sides_stays_inside_and_a_letterbox_holds_all() -> None:
    for seed in range(20):
        (left, top), _, (right, bottom), _ = corners_of(View("crop", (24, 40)).base_matrix(60, 50, RNG(seed)), (24, 40))
        assert left >= 0 and right <= 50 and top >= 0 and bottom <= 60
        assert (right - left, bottom - top) == pytest.approx((40, 24))
    boxed = View("whole", (24, 40), letterbox=True)
    assert boxed.inner_size(48, 160) == (12, 40) and boxed.inner_size(160, 48) == (24, 7)
    assert View("whole", (24, 40)).inner_size(48, 160) == (24, 40)


def flip_x() -> np.ndarray:
    return np.diag([-1.0, 1, 1])


EXACT: dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
    "identity": (np.eye(3), lambda a: a),
    "left-right": (np.diag([-1.0, 1, 1]), np.fliplr),
    "up-down": (np.diag([1.0, -1, 1]), np.flipud),
    "quarter turn": (rotation(90), np.rot90),
    "half turn": (rotation(180), lambda a: np.rot90(a, 2)),
    "three quarters": (rotation(270), lambda a: np.rot90(a, 3)),
}


@pytest.mark.parametrize("size", [31, 32])
@pytest.mark.parametrize("outside", ["reflect", "ignore"])
@pytest.mark.parametrize("name", EXACT)
def test_flips_and_quarter_turns_move_pixels_exactly(name: str, outside: str, size: int) -> None:
    matrix, expected = EXACT[name]
    image, mask = picture(size, size)
    found_image, found_mask = warp_pair(image, mask, about_centre(matrix, size), size, outside)
    assert (found_image == expected(image)).all()
    assert (found_mask == expected(mask)).all()


def test_a_whole_shift_moves_pixels_exactly() -> None:
    image, mask = picture()
    matrix = np.array([[1, 0, 3], [0, 1, -2], [0, 0, 1.0]])  # output (x, y) shows source (x + 3, y - 2)
    found_image, found_mask = warp_pair(image, mask, matrix, SIZE, "ignore")
    assert (found_image[2:, :-3] == image[:-2, 3:]).all()
    assert (found_mask[2:, :-3] == mask[:-2, 3:]).all()
    assert (found_mask[:2] == IGNORE).all() and (found_mask[:, -3:] == IGNORE).all()


def random_matrix(rng: np.random.Generator, size: int, bent: bool) -> np.ndarray:
    zoom = float(np.exp(rng.uniform(-0.3, 0.3)))
    parts = [
        rotation(float(rng.uniform(-180, 180))),
        np.diag([zoom, zoom, 1]),
        flip_x() if rng.random() < 0.5 else np.eye(3),
    ]
    matrix = np.linalg.multi_dot([about_centre(part, size) for part in parts])
    return matrix @ perspective(size, rng.uniform(-0.08, 0.08, (4, 2))) if bent else matrix


def near_an_edge(mask: np.ndarray) -> np.ndarray:
    """Pixels within two of another value: there image and mask are rounded differently."""
    kernel = np.ones((5, 5), np.uint8)
    return cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)


@pytest.mark.parametrize("outside", ["reflect", "ignore"])
@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("source", [(48, 48), (40, 60), (160, 120)])
def test_image_and_mask_stay_aligned(source: tuple[int, int], bent: bool, outside: str) -> None:
    image, mask = blobs(*source)
    height, width = source
    for seed in range(8):
        matrix = np.diag([width / SIZE, height / SIZE, 1.0]) @ random_matrix(RNG(seed), SIZE, bent)
        found_image, found_mask = warp_pair(image, mask, matrix, SIZE, outside)
        sure = ~near_an_edge(found_mask) & (found_mask != IGNORE)
        assert sure.mean() > 0.05
        assert ((found_image[sure][:, 0] > 100) == (found_mask[sure] == 1)).all()


def test_reflected_parts_stay_aligned_when_shrinking() -> None:
    """Stripes of 24 source pixels at a quarter of the size: what lies beyond the border mirrors in both alike."""
    stripes = (np.arange(192) // 24 % 2).astype(np.uint8)
    mask = np.repeat(stripes[None], 192, axis=0)
    image = np.repeat((mask * 200)[..., None], 3, axis=2)
    matrix = np.array([[4.0, 0, -60], [0, 4, 0], [0, 0, 1]])  # 15 of the output's 48 columns lie left of the source
    found_image, found_mask = warp_pair(image, mask, matrix, 48, "reflect")
    wrong = (found_image[..., 0] > 100) != (found_mask == 1)
    assert wrong.mean() < 0.01


def test_one_warp_of_the_product_is_one_after_the_other() -> None:
    """Coordinates as pixels: the image holds its own x and y, so the warp can be read off and computed."""
    ys, xs = np.mgrid[0:SIZE, 0:SIZE]
    image = np.stack([xs * 8, ys * 8, np.zeros_like(xs)], axis=2).astype(np.uint8)
    moves = [
        about_centre(rotation(20), SIZE),
        about_centre(np.diag([0.8, 0.8, 1]), SIZE),
        np.array([[1, 0, 2.5], [0, 1, -1.5], [0, 0, 1]]),
    ]
    product = moves[0] @ moves[1] @ moves[2]
    found, _ = warp_pair(image, np.zeros((SIZE, SIZE), np.uint8), product, SIZE, "ignore")
    places = np.stack([xs + 0.5, ys + 0.5, np.ones_like(xs)]).reshape(3, -1).astype(float)
    for move in reversed(moves):  # a place in the output goes through the last operation first
        places = move @ places
    expected = ((places[:2] / places[2] - 0.5) * 8).T.reshape(SIZE, SIZE, 2)
    inside = ((expected > 0) & (expected < 8 * (SIZE - 1))).all(axis=2)
    assert inside.mean() > 0.5
    assert np.abs(found[..., :2].astype(float) - expected)[inside].max() < 1.01  # rounding, and OpenCV's 1/32 pixel


def test_shrinking_averages_and_makes_no_moire() -> None:
    board = ((np.indices((192, 192)).sum(0) % 2) * 255).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=2)
    for turn in (0, 90, 30):
        for step in (2.0, 3.0, 5.9):
            matrix = np.diag([step, step, 1]) @ about_centre(rotation(turn), SIZE)
            small, _ = warp_pair(image, board // 255, matrix, SIZE, "reflect")
            assert np.abs(small.astype(float) - 127.5).max() < 30, (turn, step)
            assert abs(small.mean() - 127.5) < 2


def test_shrinking_follows_each_side_of_a_turned_oblong() -> None:
    """Fine stripes across the long side, shown turned by 90°: the long side shrinks 8 times, the short one 2 times."""
    stripes = (np.arange(256) // 2 % 2 * 255).astype(np.uint8)
    image = np.repeat(np.repeat(stripes[None], 64, axis=0)[..., None], 3, axis=2)
    matrix = np.diag([256 / SIZE, 64 / SIZE, 1.0]) @ about_centre(rotation(90), SIZE)
    small, _ = warp_pair(image, np.zeros((64, 256), np.uint8), matrix, SIZE, "reflect")
    assert np.abs(small.astype(float) - 127.5).max() < 40


@pytest.mark.parametrize("bent", [False, True])
def test_no_mask_value_is_invented(bent: bool) -> None:
    mask = RNG(1).choice(np.array([0, 3, 7, IGNORE], np.uint8), (40, 52), p=[0.4, 0.3, 0.2, 0.1])
    image = np.zeros((40, 52, 3), np.uint8)
    for seed in range(10):
        matrix = np.diag([52 / SIZE, 40 / SIZE, 1.0]) @ random_matrix(RNG(seed), SIZE, bent)
        for outside in ("reflect", "ignore"):
            assert set(np.unique(warp_pair(image, mask, matrix, SIZE, outside)[1])) <= {0, 3, 7, IGNORE}


def test_what_lies_outside_is_reflected_or_ignored() -> None:
    image, mask = picture()
    away = about_centre(np.diag([2.0, 2, 1]), SIZE)
    reflected_image, reflected = warp_pair(image + 1, mask, away, SIZE, "reflect")
    assert IGNORE not in reflected
    ignored_image, ignored = warp_pair(np.full_like(image, 90), mask, away, SIZE, "ignore")
    assert (ignored[: SIZE // 4] == IGNORE).all() and IGNORE not in ignored[
        SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4
    ]
    assert (ignored_image[: SIZE // 4 - 1] == 0).all()
    assert reflected_image.mean() > 100


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 200), (64, 5)])
def test_any_source_size_goes(height: int, width: int) -> None:
    image, mask = picture(height, width)
    for view in (
        View("whole", SIZE),
        View("whole", SIZE, letterbox=True),
        View("crop", SIZE),
        View("crop", SIZE, 0.25),
    ):
        for outside in ("reflect", "ignore"):
            found_image, found_mask = warp_pair(image, mask, view.base_matrix(height, width, RNG(0)), SIZE, outside)
            assert found_image.shape == (SIZE, SIZE, 3) and found_mask.shape == (SIZE, SIZE)
            assert found_image.dtype == found_mask.dtype == np.uint8


def corners(matrix: np.ndarray, size: int) -> np.ndarray:
    """Where the output's upper left and lower right corner lie in the source."""
    return (matrix @ np.array([[0, size], [0, size], [1, 1.0]]))[:2].T


def test_whole_views_show_the_whole_image() -> None:
    assert corners(View("whole", 64).base_matrix(100, 200, RNG(0)), 64).tolist() == [[0, 0], [200, 100]]
    boxed = corners(View("whole", 64, letterbox=True).base_matrix(100, 200, RNG(0)), 64)
    assert boxed.tolist() == [[0, -50], [200, 150]]


def test_crops_lie_inside_and_everywhere() -> None:
    view = View("crop", 32, 0.5)  # a window of 64 source pixels
    starts = np.array([corners(view.base_matrix(100, 200, RNG(seed)), 32) for seed in range(300)])
    assert (starts[:, 0] >= 0).all() and (starts[:, 1] <= [200, 100]).all()
    assert starts[:, 1] - starts[:, 0] == pytest.approx(64)
    assert starts[:, 0].min(0).max() < 4 and starts[:, 0, 0].max() > 130 and starts[:, 0, 1].max() > 32
    small = corners(view.base_matrix(40, 200, RNG(0)), 32)
    assert small[:, 1].tolist() == [-12, 52]  # centred where it does not fit


def test_sizes_seen_when_predicting() -> None:
    assert View("whole", 64).inner_size(100, 200) == (64, 64)
    assert View("whole", 64, letterbox=True).inner_size(100, 200) == (32, 64)
    assert View("whole", 64, letterbox=True).inner_size(1, 2000) == (1, 64)
    assert View("crop", 64, 0.5).inner_size(101, 200) == (50, 100)
    assert View("crop", 64, 0.1).inner_size(1, 2) == (1, 1)


def test_windows_cover_an_image_about_once() -> None:
    assert View("whole", 64).windows(1000, 1000) == 1
    assert View("crop", 64).windows(128, 192) == 6
    assert View("crop", 64, 0.5).windows(128, 192) == math.ceil(1.5)
    assert View("crop", 64).windows(10, 10) == 1


def test_shrink_to() -> None:
    board = np.repeat(((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert shrink_to(board, 64, 64) is board
    assert np.abs(shrink_to(board, 16, 32).astype(int) - 127).max() <= 1
    assert shrink_to(board, 100, 90).shape == (100, 90, 3)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 9])
def test_any_number_of_bands_shrinks_as_its_bands_do_alone(channels: int) -> None:
    """OpenCV averages at most four channels at a time; each band must come out as if it were the only one."""
    image = np.random.default_rng(0).integers(0, 256, (60, 80, channels), np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    together = shrink_to(image, 24, 32)
    matrix = np.diag([2.5, 2.5, 1.0])
    warped, _ = warp_pair(image, mask, matrix, 24, "reflect")
    assert together.shape == (24, 32, channels) and warped.shape == (24, 24, channels)
    for band in range(channels):
        alone = image[..., band : band + 1]
        assert (together[..., band : band + 1] == shrink_to(alone, 24, 32)).all()
        assert (warped[..., band : band + 1] == warp_pair(alone, mask, matrix, 24, "reflect")[0]).all()
