"""Fixtures any test may use: images as files, and tiny data sets in the layout most people have.

`write_image(path, array)` writes one file; `make_set(...)` a folder with images/ and masks/;
`tiny_set` is such a folder, made once a session, that nobody changes.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores; set before torch is imported
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="maskwright-state-")  # what code was named is remembered there

import numpy as np
import pytest
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], True)

# nothing here need outlive a power cut: a file that is written whole waits 4 ms for the disk, and a training writes 20
os.fsync = lambda file: None
# a shell without job control starts `make test &` with interrupts ignored, and children would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

WriteImage = Callable[..., Path]
MakeSet = Callable[..., Path]


# folders whose files take minutes: begun last, one worker would wait for the other
LONGEST = ("recipes", "comparison", "cli")


class FileByFile(LoadScopeScheduling):
    """A file's tests run in one worker, with those of all files of its `xdist_group`: what they share is made once.

    xdist's own loadgroup puts the group into the test's id, which pytest 9.2 does not let it do; so the file is read.
    Files are begun in the order they are collected in, not those of most tests first.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return _group(self.config.rootpath / nodeid.partition("::")[0])


@functools.cache
def _group(file: Path) -> str:
    named = re.search(r'xdist_group\("([^"]+)"\)', file.read_text(encoding="utf-8"))
    return named[1] if named else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileByFile:
    return FileByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((place for place, name in enumerate(LONGEST) if name in item.path.parts), len(LONGEST))
    )


def pytest_collection_finish() -> None:
    """Libraries and tests are a million objects that stay: collecting garbage among them took a quarter of the time."""
    gc.collect()
    gc.freeze()


def _write_image(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def _picture(rng: np.random.Generator, height: int, width: int, values: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a brighter rectangle for each value but the first; the mask holds the values."""
    image = rng.integers(0, 80, (height, width, 3), np.uint8)
    mask = np.full((height, width), values[0], np.uint8)
    for place, value in enumerate(values[1:], start=1):
        top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
        inside = np.s_[top : top + height // 3, left : left + width // 3]
        mask[inside] = value
        image[inside] += np.uint8(160 * place // len(values) + 20)
    for place, value in enumerate(values):  # each value is in each mask, whatever the rectangles hide
        mask[-1, place] = value
    return image, mask


@pytest.fixture(scope="session")
def write_image() -> WriteImage:
    """write_image(path, array, **options of Pillow's save): folders are made as needed."""
    return _write_image


@pytest.fixture(scope="session")
def make_set(tmp_path_factory: pytest.TempPathFactory) -> MakeSet:
    """make_set(count=6, size=(24, 32), values=(0, 1), seed=0) → a new folder with images/ and masks/."""

    def make(count: int = 6, size: tuple[int, int] = (24, 32), values: Sequence[int] = (0, 1), seed: int = 0) -> Path:
        root = tmp_path_factory.mktemp("set")
        for index in range(count):
            image, mask = _picture(np.random.default_rng((seed, index)), *size, values)
            _write_image(root / "images" / f"{index:03d}.png", image)
            _write_image(root / "masks" / f"{index:03d}.png", mask)
        return root

    return make


@pytest.fixture(scope="session")
def tiny_set(make_set: MakeSet) -> Path:
    """Ten images of 24 × 32 with masks of 0 and 1. Read only: all tests share it."""
    return make_set(10)
