"""Write a generated set to disk: pictures, masks, the files of its layout, and nothing at all if it cannot be finished."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.synthetic.layouts import Layout, Row, Style
from maskwright.data.synthetic.texture import Bytes
from maskwright.folders import whole_folder
from maskwright.runs import refuse_used

SPLITS = ("train", "val", "test")


def split_sizes(count: int) -> dict[str, int]:
    """How many of `count` images go to train, val and test: 5/9, 2/9, 2/9, none empty from three images on.

    >>> split_sizes(18)
    {'train': 10, 'val': 4, 'test': 4}
    """
    held_out = max(round(count * 2 / 9), 1) if count >= 3 else 0
    return {"train": count - 2 * held_out, "val": held_out, "test": held_out}


def write_set(
    out: Path,
    style: Style,
    layout: Layout,
    class_names: tuple[str, ...],
    pictures: Callable[[int], tuple[Bytes, Bytes]],
    count: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write pictures 0..count-1 below `out`; returns the size of each split."""
    sizes = split_sizes(count)
    out = out.expanduser()
    with whole_folder(out, partial(refuse_used, out, "OUT"), "OUT") as folder:
        rows: list[Row] = []
        for index, split in enumerate(_assign(sizes, seed)):
            image, mask = pictures(index)
            image_path, mask_path = layout.place(style, index, split)
            _save(folder / image_path, image)
            _save(folder / mask_path, layout.mask(mask), style.palette if layout.palette else None)
            rows.append((image_path, mask_path, split))
            if on_progress is not None:
                on_progress(index + 1, count)
        layout.finish(folder, style, class_names, rows)
    return sizes


def _assign(sizes: dict[str, int], seed: int) -> list[str]:
    """A split for each image, shuffled by the seed."""
    names = [split for split in SPLITS for _ in range(sizes[split])]
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    return [names[position] for position in order]


def _save(path: Path, pixels: Bytes, palette: tuple[tuple[int, int, int], ...] | None = None) -> None:
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette([value for rgb in palette for value in rgb])  # turns mode L into P, values unchanged
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        picture.save(path, quality=95)
    else:
        picture.save(path, compress_level=3)  # noise does not shrink any further, it only takes longer
