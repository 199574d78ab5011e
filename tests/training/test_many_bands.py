"""Images of more bands than OpenCV has pictures for (128, or 512): every step takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskwright.data.augment import AFTER
from maskwright.data.geometry import View, warp_pair
from maskwright.data.signatures import signature
from support import TINY, discs, maskwright, picture


def many_bands(root: Path, count: int, bands: int) -> Path:
    """A data set of discs in images of many bands."""
    for index in range(count):
        image, mask = discs(20, 24, index)
        many = np.repeat(image[..., :1], bands, axis=2) + np.arange(bands, dtype=np.uint8) % 40
        (root / "images").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / "images" / f"{index}.tif", many, photometric="minisblack", planarconfig="contig")
        picture(root / "masks" / f"{index}.png", mask)
    return root


def test_every_command_takes_130_bands(tmp_path: Path) -> None:
    root, run = many_bands(tmp_path / "set", 6, 130), tmp_path / "run"
    words = [*TINY, "--size", 16, "--augment", "heavy", "--epochs", 1, "--out", run]
    for command in (
        ("check", root, "--html", tmp_path / "check.html"), ("train", "--data", root, *words), ("evaluate", run),
        ("predict", run, root / "images", "--out", tmp_path / "out"), ("report", run),
        ("data", "preview", "--data", root, "--size", 16, "--augment", "heavy", "--out", tmp_path / "sheet.png"),
    ):  # fmt: skip
        outcome = maskwright(*command)
        assert outcome.code == 0, (command, outcome.err)
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


@pytest.mark.parametrize("bands", [5, 129, 600])
@pytest.mark.parametrize("view", [View("whole", 16), View("crop", 16), View("whole", 64, letterbox=True)], ids=str)
def test_each_band_is_warped_as_if_it_were_alone(bands: int, view: View) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (30, 41, bands)).astype(np.uint8), rng.integers(0, 2, (30, 41)).astype(np.uint8)
    matrix = view.base_matrix(30, 41, np.random.default_rng(1))
    found, _ = warp_pair(image, mask, matrix, view.size, view.outside)
    for band in (0, 4, bands - 1):
        alone, _ = warp_pair(np.ascontiguousarray(image[..., band : band + 1]), mask, matrix, view.size, view.outside)
        assert (found[..., band] == alone[..., 0]).all()
    assert signature(image).small.shape == (44, 44)


def test_blur_and_noise_take_many_bands() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 200)).astype(np.uint8)
    for apply, amount, _ in AFTER.values():
        changed = apply(image, amount, np.random.default_rng(3))
        assert changed.shape == image.shape and changed.dtype == np.uint8 and (changed != image).any()
