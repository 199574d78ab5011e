"""Demo data sets made from nothing but a seed: photographs of jigsaw pieces, and aerial land cover tiles.

>>> sorted(GENERATORS)
['landcover', 'puzzle']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.data.synthetic import landcover, puzzle
from maskwright.data.synthetic.layouts import LAYOUTS, Style
from maskwright.data.synthetic.texture import Bytes
from maskwright.data.synthetic.writing import write_set
from maskwright.errors import UsageError, must, unknown

__all__ = ["GENERATORS", "Generator", "SyntheticSet", "make"]

SMALLEST = 32  # pixels; below that neither a piece nor a house can be told apart


@dataclass(frozen=True)
class Generator:
    """A kind of picture: `draw(rng, height, width)` gives image H W 3 and mask H W, both uint8."""

    draw: Callable[[np.random.Generator, int, int], tuple[Bytes, Bytes]]
    class_names: tuple[str, ...]  # in the order of the values in the mask
    count: int
    size: tuple[int, int]  # height, width
    style: Style


@dataclass(frozen=True)
class SyntheticSet:
    """What `make` wrote."""

    name: str
    root: Path
    num_images: int
    splits: dict[str, int]
    class_names: tuple[str, ...]


GENERATORS: dict[str, Generator] = {
    "puzzle": Generator(
        draw=puzzle.generate,
        class_names=("background", "piece"),
        count=18,
        size=(384, 512),
        style=Style("image-{}.png", "mask-{}.png"),
    ),
    "landcover": Generator(
        draw=landcover.generate,
        class_names=landcover.CLASSES,
        count=60,
        size=(256, 256),
        style=Style("tile-{:04d}.png", "tile-{:04d}.png", palette=landcover.COLOURS, classes_file=True),
    ),
}


def make(
    name: str,
    out: Path,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    layout: str = "folders",
) -> SyntheticSet:
    """Write a demo set below `out`, in one of LAYOUTS; `on_progress(done, count)` after each image.

    `make("puzzle", Path("demo"))` writes 18 photographs of 384 x 512 pixels, split 10/4/4.
    An image depends on the seed, its number and the size only, so a larger set begins with the smaller one's images.
    """
    if name not in GENERATORS:
        raise UsageError(unknown("name", name, GENERATORS))
    generator = GENERATORS[name]
    count = generator.count if count is None else count
    height, width = generator.size if size is None else size
    if count < 1:
        raise UsageError(must("count", "at least 1", count, f"Leave it out for the default of {generator.count}."))
    if min(height, width) < SMALLEST:
        fix = f"Leave it out for the default of {generator.size[0]} x {generator.size[1]}."
        raise UsageError(must("size", f"at least {SMALLEST} pixels each way", f"{height} x {width}", fix))
    if seed < 0:
        raise UsageError(must("seed", "0 or more", seed, "Pass a whole number that is not negative."))
    for key, value, most in (("count", count, 1_000_000), ("size", max(height, width), 8192), ("seed", seed, 2**32 - 1)):
        if value > most:
            raise UsageError(must(key, f"at most {most}", value))

    def picture(index: int) -> tuple[Bytes, Bytes]:
        return generator.draw(np.random.default_rng([seed, index]), height, width)

    if layout not in LAYOUTS:
        raise UsageError(unknown("layout", layout, LAYOUTS))
    written = LAYOUTS[layout]
    if written.classes not in (None, len(generator.class_names)):
        wish, got = f"one that can tell {len(generator.class_names)} classes", f"{layout}, which tells {written.classes}"
        raise UsageError(must("layout", wish, got, "Make puzzle, or choose another layout."))
    splits = write_set(Path(out), generator.style, written, generator.class_names, picture, count, seed, on_progress)
    if not written.val:
        splits = {"train": splits["train"] + splits["val"], "test": splits["test"]}
    return SyntheticSet(name, Path(out), count, splits, generator.class_names)
