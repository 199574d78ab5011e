"""Data sets with one thing wrong, or nearly so: each maker writes into an empty folder.

A maker returns the `data:` keys to read the set with, besides its root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image

Keys = dict[str, Any]
Maker = Callable[[Path], Keys]
NAMES = ("apple", "birch", "cedar", "daisy", "elder", "fig", "grape", "hazel", "iris", "juniper")
HEIGHT, WIDTH = 40, 56


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture unlike that of any other seed, at every scale. → H W 3 uint8"""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(
        rng.integers(0, 200, (7, 9, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    return (coarse.clip(0, 215) + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)


def mask(seed: int, values: Sequence[int] = (0, 1), height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The first value all around, the others as blocks side by side that each mask has. → H W uint8"""
    shift = seed % 3
    found = np.full((height, width), values[0], np.uint8)
    blocks = np.array_split(np.arange(8, width - 8), max(1, len(values) - 1))
    for value, columns in zip(values[1:], blocks, strict=True):
        found[8 + shift : height - 10 + shift, columns[0] : columns[-1] + 1] = value
    return found


def write(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def plain(root: Path, values: Sequence[int] = (0, 1), count: int = 8, names: Sequence[str] = NAMES) -> Keys:
    """A sound data set: images/NAME.png beside masks/NAME.png."""
    for index, name in enumerate(names[:count]):
        write(root / "images" / f"{name}.png", image(index))
        write(root / "masks" / f"{name}.png", mask(index, values))
    return {}


def edited(change: Callable[[Path], Keys | None], values: Sequence[int] = (0, 1), **keys: Any) -> Maker:
    """A sound data set, changed."""

    def make(root: Path) -> Keys:
        plain(root, values)
        return {**keys, **(change(root) or {})}

    return make


def sound(values: Sequence[int] = (0, 1), classes: dict[str, Any] | None = None, **keys: Any) -> Maker:
    """A sound data set with these values, and classes.yaml where they have names."""

    def make(root: Path) -> Keys:
        plain(root, values)
        if classes:
            (root / "classes.yaml").write_text(yaml.safe_dump(classes))
        return keys

    return make


def masks_by(
    draw: Callable[[int], np.ndarray | Image.Image], suffix: str = ".png", classes: Keys | None = None, **options: Any
) -> Maker:
    """A sound data set whose masks are drawn by a function of their number."""

    def make(root: Path) -> Keys:
        for index, name in enumerate(NAMES[:8]):
            write(root / "images" / f"{name}.png", image(index))
            write(root / "masks" / f"{name}{suffix}", draw(index), **options)
        return {"classes": classes} if classes else {}

    return make


def listed(rows: Sequence[str], header: str = "image,mask,split") -> Callable[[Path], None]:
    """pairs.csv with these rows; NAME stands for its two files."""

    def change(root: Path) -> None:
        full = [f"images/{row.split(',')[0]}.png,masks/{row.split(',')[0]}.png,{row.split(',')[1]}" for row in rows]
        (root / "pairs.csv").write_text("\n".join([header, *full]) + "\n")

    return change


SPLIT = [f"{name},{split}" for name, split in zip(NAMES[:8], ["train"] * 4 + ["val"] * 2 + ["test"] * 2, strict=True)]


# ------------------------------------------------------------------ files


def as_they_are(root: Path) -> None:
    pass


def all_grey(root: Path) -> None:
    for index, name in enumerate(NAMES[:8]):
        write(root / "images" / f"{name}.png", image(index)[..., 0])


def of_few_tones(root: Path) -> None:
    for index, name in enumerate(NAMES[:8]):
        write(root / "images" / f"{name}.png", image(index) // 64 * 64)


def columns_exchanged(root: Path) -> None:
    listed(SPLIT, "mask,image,split")(root)


def truncated(root: Path) -> None:
    path = root / "images" / "cedar.png"
    path.write_bytes(path.read_bytes()[:-200])


def with_bytes_after(root: Path) -> None:
    path = root / "images" / "cedar.png"
    path.write_bytes(path.read_bytes() + b"written by a camera")


def without_a_mask(root: Path) -> None:
    (root / "masks" / "birch.png").unlink()


def masks_renamed(root: Path) -> None:
    for path in sorted((root / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def resized_mask(height: int, width: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        write(root / "masks" / "daisy.png", cv2.resize(mask(3), (width, height), interpolation=cv2.INTER_NEAREST))

    return change


def turned_picture(orientation: int, turn_mask: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """An image whose EXIF says how to turn it upright; its mask, as drawn on the stored pixels, may be turned, too."""

    def change(root: Path) -> None:
        stored, drawn = image(99), mask(0)
        drawn[:12, :20] = 1  # a shape that no turn leaves as it is
        stored[drawn == 1] //= 8
        exif = Image.Exif()
        exif[0x0112] = orientation
        (root / "images" / "elder.png").unlink()
        write(root / "images" / "elder.jpg", stored, exif=exif, quality=95)
        write(root / "masks" / "elder.png", np.ascontiguousarray(turn_mask(drawn)))

    return change


# ------------------------------------------------------------------ masks


def with_value(value: int, pixels: int = 5, **keys: Any) -> Callable[[Path], Keys]:
    """A few pixels of one mask have another value."""

    def change(root: Path) -> Keys:
        path = root / "masks" / "fig.png"
        found = np.array(Image.open(path))
        found[0, :pixels] = value
        write(path, found)
        return keys

    return change


def banded(index: int) -> np.ndarray:
    """A trimap: 0 the background, 1 the pet, 2 a thin band between them."""
    found = mask(index)
    return np.where(
        cv2.dilate(found, np.ones((3, 3), np.uint8)) > cv2.erode(found, np.ones((3, 3), np.uint8)), 2, found
    ).astype(np.uint8)


def stacked(index: int) -> np.ndarray:
    """0, 1 and 2 as rows one below the other: 2 touches 1 alone."""
    return np.repeat([0, 0, 1, 2], HEIGHT // 4)[:, None].repeat(WIDTH, 1).astype(np.uint8)


def edged(values: Sequence[int], grey: int) -> Callable[[int], np.ndarray]:
    """A grey on the background, around the second value, as a soft border leaves it."""

    def draw(index: int) -> np.ndarray:
        found = mask(index, values)
        around = cv2.dilate((found == values[1]).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return np.where(around & (found == values[0]), grey, found).astype(np.uint8)

    return draw


def upsampled(values: Sequence[int]) -> Callable[[int], np.ndarray]:
    """Drawn at half the size and resized with interpolation, which rounds what lies between."""

    def draw(index: int) -> np.ndarray:
        found = np.full((HEIGHT // 2, WIDTH // 2), values[0], np.uint8)
        for value, columns in zip(
            values[1:], np.array_split(np.arange(3, WIDTH // 2 - 3), len(values) - 1), strict=True
        ):
            found[2 + index % 3 : HEIGHT // 2 - 4 + index % 3, columns[0] : columns[-1] + 1] = value
        return cv2.resize(found, (WIDTH, HEIGHT))

    return draw


def nested(index: int) -> np.ndarray:
    """1 all around 2, which never touches 0."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(found, (28, 20), 18, 1, -1)
    cv2.circle(found, (24 + index, 20), 6, 2, -1)
    return found


def coloured(index: int) -> np.ndarray:
    return np.array([(0, 0, 0), (220, 20, 60), (0, 128, 0)], np.uint8)[mask(index, (0, 1, 2))]


def with_palette(colours: Sequence[tuple[int, int, int]]) -> Callable[[int], Image.Image]:
    def draw(index: int) -> Image.Image:
        found = Image.fromarray(mask(index, (0, 1, 2)))
        found.putpalette([part for colour in colours for part in colour])
        return found

    return draw


def either_palette(index: int) -> Image.Image:
    """Half of the masks have red for 1, the others green."""
    one, two = (200, 0, 0), (0, 200, 0)
    return with_palette([(0, 0, 0), one, two] if index % 2 else [(0, 0, 0), two, one])(index)


def some_empty(index: int) -> np.ndarray:
    return mask(index) * np.uint8(index != 2)


def two_writings(both: bool) -> Callable[[int], np.ndarray]:
    """Some masks of 0 and 1, some of 0 and 255; with `both` one that holds 1 and 255 shows that 255 is something
    else.
    """

    def draw(index: int) -> np.ndarray:
        found = mask(index) * np.uint8(255 if index >= 6 else 1)
        if both:
            found[0] = 255
        return found

    return draw


# ------------------------------------------------------------------ images


def one_grey(root: Path) -> None:
    write(root / "images" / "grape.png", image(6)[..., 0])


def grey_as_rgb(root: Path) -> None:
    write(root / "images" / "grape.png", np.repeat(image(6)[..., :1], 3, axis=2))


def one_deep(**keys: Any) -> Callable[[Path], Keys]:
    def change(root: Path) -> Keys:
        for name in NAMES[:8]:
            write(root / "images" / f"{name}.png", image(NAMES.index(name))[..., 0])
        write(root / "images" / "grape.png", image(6)[..., 0].astype(np.uint16) * 257)
        return keys

    return change


def one_colour(odd_pixels: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        found = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        found[5, 5 : 5 + odd_pixels] = 91
        write(root / "images" / "hazel.png", found)

    return change


# ------------------------------------------------------------------ the set


def floating(odd_pixels: int) -> Callable[[Path], None]:
    """Floating-point images, one of them with so many pixels that are no numbers."""

    def change(root: Path) -> None:
        for name in NAMES[:8]:
            found = image(NAMES.index(name))[..., 0].astype(np.float32) / 255
            if name == "hazel":
                found[5, 5 : 5 + odd_pixels] = [np.nan, np.inf, -np.inf][:odd_pixels]
            (root / "images" / f"{name}.png").unlink()
            write(root / "images" / f"{name}.tif", found)

    return change


def few(count: int) -> Maker:
    return lambda root: plain(root, count=count)


def only_in_train(root: Path) -> None:
    listed(SPLIT)(root)
    for name in NAMES[:4]:
        write(root / "masks" / f"{name}.png", mask(0, (0, 1, 2)))


def speck(rows: int) -> Callable[[int], np.ndarray]:
    """Class 2 holds some rows of ten pixels, out of 2,240 pixels."""

    def draw(index: int) -> np.ndarray:
        found = mask(index)
        found[10 : 10 + rows, 12:22] = 2
        return found

    return draw


def named_like(names: Sequence[str], splits: Sequence[str] | None = None) -> Maker:
    def make(root: Path) -> Keys:
        plain(root, names=names, count=len(names))
        if splits:
            listed([f"{name},{split}" for name, split in zip(names, splits, strict=True)])(root)
        return {}

    return make


VIDEOS = [f"video{film}_frame{frame:04d}" for film in (1, 2, 3) for frame in (5, 10, 15, 20)]


def copied(
    to: str, change: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels, own_mask: bool = True
) -> Callable[[Path], None]:
    """One image again under the name `to`, changed; its mask too, unless the other one's own is to stay."""

    def make(root: Path) -> None:
        listed(SPLIT)(root)
        write(root / "images" / f"{to}.png", np.ascontiguousarray(change(image(0))))
        if own_mask:
            write(root / "masks" / f"{to}.png", np.ascontiguousarray(change(mask(0))))

    return make


def brighter(pixels: np.ndarray) -> np.ndarray:
    """A little brighter, as another export makes it; masks stay."""
    return pixels if pixels.ndim == 2 else np.clip(pixels.astype(np.int16) + 3, 0, 255).astype(np.uint8)


def as_it_is(root: Path) -> None:
    listed(SPLIT)(root)


def large(change: Callable[[Path], None]) -> Maker:
    """Images large enough for likeness to mean something."""

    def make(root: Path) -> Keys:
        for index, name in enumerate(NAMES[:8]):
            write(root / "images" / f"{name}.png", image(index, 120, 160))
            write(root / "masks" / f"{name}.png", mask(index, (0, 1), 120, 160))
        change(root)
        return {}

    return make


def nearly(to: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        listed(SPLIT)(root)
        write(root / "images" / f"{to}.jpg", np.fliplr(image(0, 120, 160)), quality=90)
        (root / "images" / f"{to}.png").unlink()
        text = (root / "pairs.csv").read_text()
        (root / "pairs.csv").write_text(text.replace(f"images/{to}.png", f"images/{to}.jpg"))

    return change
