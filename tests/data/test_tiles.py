"""Tiles: what agrees is put together to the bit, what is cut gives what is whole, and memory is a band's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.data.geometry import Tiling, View
from maskwright.data.tiles import predict_bands, predict_blocks


def identity(images: np.ndarray) -> np.ndarray:
    """A network whose probabilities are its pixels. N h w C → N C h w"""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)


def reader(image: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """Rows of an image, which must be there."""

    def read(top: int, bottom: int) -> np.ndarray:
        assert 0 <= top < bottom <= len(image)
        return image[top:bottom]

    return read


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng((height, width)).integers(0, 256, (height, width, channels), np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    field = np.random.default_rng(3).standard_normal((height, width, 3))
    field = cv2.GaussianBlur(field, (0, 0), 9)
    return np.clip(128 + 900 * field, 0, 255).astype(np.uint8)


def predicted(
    image: np.ndarray, view: View, network: Callable[[np.ndarray], np.ndarray] = identity, batch: int = 1
) -> np.ndarray:
    """All bands, which must follow one another. → K H W"""
    height, width = image.shape[:2]
    bands: list[np.ndarray] = []
    done = 0
    for top, band in predict_bands(reader(image), height, width, view, network, batch):
        assert top == done and band.shape[2] == width
        bands.append(band.copy())
        done += band.shape[1]
    assert done == height
    return np.concatenate(bands, axis=1)


@given(
    height=st.integers(1, 150), width=st.integers(1, 150), side=st.integers(1, 70), share=st.floats(0, 0.5),
    channels=st.integers(1, 6), batch=st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_an_identity_network_is_put_together_to_the_bit(
    height: int, width: int, side: int, share: float, channels: int, batch: int
) -> None:
    image = noise(height, width, channels)
    view = View("crop", 32, tiling=Tiling(side, int(side * share), whole=0))
    assert (predicted(image, view, batch=batch) == image.transpose(2, 0, 1)).all()


@given(
    height=st.integers(40, 200), width=st.integers(40, 200), scale=st.floats(0.2, 3), side=st.integers(16, 64),
    share=st.floats(0, 0.5),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_scaled_image_in_tiles_is_the_scaled_image_in_one_piece(
    height: int, width: int, scale: float, side: int, share: float
) -> None:
    """Rounded to 8 bits once by OpenCV's rule and once by ours: one level of 255."""
    image = noise(height, width)
    tiled = View("crop", 32, scale, tiling=Tiling(side, int(side * share), whole=0))
    one = View("crop", 32, scale, tiling=Tiling(whole=1 << 30))
    assert np.abs(predicted(image, tiled) - predicted(image, one)).max() <= 1.001


@pytest.mark.parametrize("scale", [1.0, 0.37, 1.6])
def test_a_network_with_a_field_of_view_sees_the_same_in_tiles_but_near_their_borders(scale: float) -> None:
    """A blur that reaches 12 pixels, in tiles that share 32: beyond its reach nothing can differ, and in it little
    may.
    """

    def blurred(images: np.ndarray) -> np.ndarray:
        return np.stack([cv2.GaussianBlur(image, (25, 25), 4).transpose(2, 0, 1) for image in images]).astype(
            np.float32
        )

    image = smooth(400, 500)
    tiled = predicted(image, View("crop", 32, scale, tiling=Tiling(96, 32, whole=0)), blurred)
    one = predicted(image, View("crop", 32, scale, tiling=Tiling(whole=1 << 30)), blurred)
    edge = round(12 / scale) + 1  # where a blur, too, sees beyond the image
    apart = np.abs(tiled - one)[:, edge:-edge, edge:-edge] / 255
    assert np.median(apart) <= 1.001 / 255 and apart.max() < 0.05


@pytest.mark.parametrize(("kind", "letterbox"), [("whole", False), ("whole", True), ("crop", False)])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (333, 77)])
def test_every_size_and_view_gives_the_images_own_size(size: tuple[int, int], kind: str, letterbox: bool) -> None:
    view = View(kind, 32, 0.5 if kind == "crop" else 1.0, letterbox, tiling=Tiling(32, 8, whole=1))
    assert predicted(np.full((*size, 3), 7, np.uint8), view).round(3).tolist() == np.full((3, *size), 7.0).tolist()


def test_whole_view_of_a_large_image_is_read_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    image, view = noise(900, 400), View("whole", 64)
    one = predicted(image, view)
    monkeypatch.setattr("maskwright.data.tiles._AT_ONCE", 4096)
    assert np.abs(predicted(image, view) - one).max() <= 1.001


def test_memory_is_a_band() -> None:
    """Of 40,000 rows no more are ever asked for, or given, than a tile's or the chunk they are resized in."""
    asked: list[int] = []

    def read(top: int, bottom: int) -> np.ndarray:
        asked.append(bottom - top)
        return np.zeros((bottom - top, 30, 3), np.uint8)

    for scale, most in ((1.0, 64), (0.25, 260)):
        asked.clear()
        view = View("crop", 32, scale, tiling=Tiling(64, 16, whole=1000))
        bands = [band.shape[1] for _, band in predict_bands(read, 40_000, 30, view, identity)]
        assert max(asked) <= most and sum(asked) < 1.2 * 40_000
        assert max(bands) <= 65 / scale and sum(bands) == 40_000


def test_labels_need_no_band_of_probabilities() -> None:
    image, view = noise(200, 300, 4), View("crop", 32, tiling=Tiling(64, 16, whole=0))
    bands = predict_bands(
        reader(image), 200, 300, view, identity, reduce=lambda block: block.argmax(axis=0).astype(np.uint8)
    )
    labels = np.concatenate([band for _, band in bands])
    assert labels.dtype == np.uint8 and (labels == image.argmax(axis=2)).all()


def test_tiles_of_a_stride_lie_on_its_grid() -> None:
    """What a network of stride 32 pools together in the whole image it pools together in a tile, in the last one
    too.
    """
    for length in range(513, 3000, 7):
        starts = Tiling(512, 64).starts(length)
        assert all(start % 32 == 0 for start in starts) and length - 512 <= starts[-1] < length - 512 + 32


def test_all_tiles_of_an_image_have_one_shape() -> None:
    shapes: set[tuple[int, ...]] = set()

    def network(images: np.ndarray) -> np.ndarray:
        shapes.add(images.shape[1:])
        return identity(images)

    list(
        predict_blocks(
            reader(noise(1000, 700)), 1000, 700, View("crop", 32, tiling=Tiling(256, 64, whole=0)), network, 3
        )
    )
    assert shapes == {(256, 256, 3)}


def test_no_torch_is_needed() -> None:
    found = "import sys, maskwright.data.tiles; print({name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True).stdout
    assert "cv2" in said and not {"'torch'", "'PIL'", "'pydantic'", "'rasterio'"} & set(said.strip("{}\n").split(", "))
