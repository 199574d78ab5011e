"""Pictures for the audit's page: a pair read as far as it can be, its mask laid over its image, values marked in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from maskwright.data.checks.facts import NEARLY_GREY, channels_of
from maskwright.data.checks.repair_operations import nearest
from maskwright.data.dataset import IGNORE, Bands, ClassMap, Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms import load_mask
from maskwright.data.images import decode_colours, decode_raw
from maskwright.data.masks import labels_of
from maskwright.data.pictures import IGNORED_COLOUR, css, overlay, palette, shown
from maskwright.data.raw import read_image, read_raw_image
from maskwright.errors import DataError

# pixels of a picture's longer side: larger ones are shrunk, the pixels of smaller ones enlarged
LONGEST, LEAST = 480, 240
MARK = (224, 0, 122)  # what a finding points at; no class has this colour
_FINE = 2  # outlines are drawn on a grid so much finer than the picture's
_HATCH = 12  # pixels of the fine grid between the lines over what is ignored
_SMALL = 150  # pixels: a marked spot that would be overlooked gets a ring
_RINGS = 12
_FEW_VALUES = 64  # more are no classes: they are shown as greys


@dataclass(frozen=True)
class Seen:
    """A pair as far as it can be read: image H W 3 uint8, raw H W, valid H W; `problem` says why one is None."""

    image: np.ndarray | None = field(default=None, repr=False)
    raw: np.ndarray | None = field(default=None, repr=False)
    valid: np.ndarray | None = field(default=None, repr=False)
    has_colours: bool = False
    problem: str = ""

    @property
    def fits(self) -> bool:
        """Whether there are both and they have one size."""
        return self.image is not None and self.raw is not None and self.image.shape[:2] == self.raw.shape


@dataclass(frozen=True)
class Meaning:
    """What raw values mean in pictures: their classes or, while nobody can say that, just themselves.

    `colours` are those of the classes.
    """

    classes: ClassMap | None = None
    colours: np.ndarray = field(default_factory=lambda: palette(IGNORE), repr=False)

    def read(
        self, raw: np.ndarray, valid: np.ndarray | None, has_colours: bool
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
        """Labels H W, a colour for each label (256 3), and the legend of those that occur."""
        values, places = np.unique(raw, return_inverse=True)
        if self.classes is not None and self.classes.colours == has_colours:
            labels, colours = labels_of(self.classes, values.tolist()), self.colours
            names = dict(enumerate(self.classes.names)) | {IGNORE: "ignored"}
        elif has_colours:
            labels, colours, names = _own_colours(values, np.bincount(places.ravel(), minlength=len(values)))
        elif len(values) > _FEW_VALUES:
            top = max(1, int(values.max()))
            labels = (values.astype(np.int64) * 254 // top).astype(np.uint8)
            colours, names = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1), {}
        else:
            labels = np.array([value if value < IGNORE else 1 + value % 253 for value in values.tolist()], np.uint8)
            labels[values == IGNORE] = IGNORE
            colours = palette(IGNORE)
            names = {int(label): f"value {value}" for label, value in zip(labels, values, strict=True)}
        found = labels[places].reshape(raw.shape)
        if valid is not None:
            found = np.where(valid, found, np.uint8(IGNORE))
        present = [label for label in np.unique(found).tolist() if label in names]
        return found, colours, [(css(colours[label]), names[label]) for label in present]


def read_pair(record: Record, bands: Bands) -> Seen:
    """Image and mask each as far as they can be read, in the bands and tones that were chosen."""
    image, valid, raw, has_colours = None, None, None, False
    problems: list[str] = []
    try:
        image, valid = _image(record, bands)
    except DataError as error:
        problems.append(str(error))
    if image is not None or record.form.kind in ("picture", "colour"):
        try:
            raw, own, has_colours = _mask(record, image.shape[:2] if image is not None else (0, 0))
            known = [one for one in (valid, own) if one is not None and one.shape == raw.shape]
            valid = np.logical_and.reduce(known) if known else None
        except DataError as error:
            problems.append(str(error))
    return Seen(image, raw, valid, has_colours, " ".join(problems))


def read_lone(path: Path) -> Seen:
    """A picture file that has no partner, whichever of the two it is."""
    try:
        pixels = decode_raw(read_bytes(path), path)
    except DataError as error:
        return Seen(problem=str(error))
    if (pixels == pixels[..., :1]).all() and len(np.unique(pixels)) <= _FEW_VALUES:  # a mask, by its look
        return Seen(raw=pixels[..., 0])
    return Seen(image=shown(_eight_bits(pixels)))


def plain(image: np.ndarray) -> np.ndarray:
    """An image at the size pictures have. H W 3 → h w 3"""
    return _resized(image, *_frame(*image.shape[:2]))


def overlaid(seen: Seen, meaning: Meaning) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The mask over its image, and the legend. → h w 3"""
    assert seen.image is not None and seen.raw is not None
    height, width = _frame(*seen.image.shape[:2])
    high, wide = _FINE * height, _FINE * width
    labels, colours, legend = meaning.read(*_sampled(seen, high, wide), seen.has_colours)
    drawn = _hatched(overlay(_resized(seen.image, high, wide), labels, colours), labels == IGNORE)
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), legend


def mask_alone(seen: Seen, meaning: Meaning) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The mask by itself, in the colours its values have, and the legend. → h w 3"""
    assert seen.raw is not None
    height, width = _frame(*seen.raw.shape)
    labels, colours, legend = meaning.read(*_sampled(seen, height, width), seen.has_colours)
    return _hatched(colours[labels], labels == IGNORE), legend


def greys(raw: np.ndarray) -> np.ndarray:
    """A mask's values as the greys they are. H W → h w 3"""
    height, width = _frame(*raw.shape)
    small = raw[np.ix_(nearest(raw.shape[0], height), nearest(raw.shape[1], width))]
    return np.repeat(np.clip(small, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def marked(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The image gone pale, and on it what a finding points at; small spots are ringed. H W 3, H W bool → h w 3"""
    height, width = _frame(*image.shape[:2])
    grey = _resized(image, height, width).mean(2, keepdims=True)
    pale = np.repeat((0.45 * grey + 0.55 * 255).astype(np.uint8), 3, axis=2)
    if where.shape[0] < height:  # enlarged
        spots = where[np.ix_(nearest(where.shape[0], height), nearest(where.shape[1], width))].astype(np.uint8)
    else:  # a pixel shows whether any of those under it is marked, so that a single one is not lost
        spots = np.zeros((height, width), np.uint8)
        rows, columns = np.nonzero(where)
        spots[rows * height // where.shape[0], columns * width // where.shape[1]] = 1
    drawn = np.where(spots[..., None] > 0, np.array(MARK, np.uint8), pale)
    number, _, facts, middles = cv2.connectedComponentsWithStats(spots, connectivity=8)
    small = [place for place in range(1, number) if facts[place, cv2.CC_STAT_AREA] < _SMALL]
    radius = max(10, max(height, width) // 30)
    if len(small) == number - 1:  # where something large is marked nobody looks for specks
        for place in sorted(small, key=lambda place: -facts[place, cv2.CC_STAT_AREA])[:_RINGS]:
            x, y = (round(float(part)) for part in middles[place])
            cv2.circle(drawn, (x, y), radius, MARK, 2, cv2.LINE_AA)
    return drawn


def at_one_scale(image: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image and coloured mask as large as they are to each other, what the smaller one lacks hatched.

    image: in its own size; mask: as shown; size: rows and columns of the mask itself
    """
    high, wide = max(image.shape[0], size[0]), max(image.shape[1], size[1])
    height, width = _frame(high, wide)
    found: list[np.ndarray] = []
    for pixels, (rows, columns) in ((image, (image.shape[0], image.shape[1])), (mask, size)):
        rows, columns = max(1, round(rows * height / high)), max(1, round(columns * width / wide))
        canvas = nothing(height, width)
        canvas[:rows, :columns] = _resized(pixels, rows, columns)
        found.append(canvas)
    return found[0], found[1]


def corner(seen: Seen, meaning: Meaning, side: int = 12) -> np.ndarray:
    """The bottom right corners of image and mask, enlarged; the row or column that one lacks is marked. → h w 3"""
    assert seen.image is not None and seen.raw is not None
    (height, width), (rows, columns) = seen.image.shape[:2], seen.raw.shape
    high, wide = max(height, rows), max(width, columns)
    top, left = max(0, high - side), max(0, wide - side)
    labels, colours, _ = meaning.read(seen.raw[top:, left:], None, seen.has_colours)
    parts: list[np.ndarray] = []
    for pixels in (seen.image[top:, left:], colours[labels]):
        part = np.full((high - top, wide - left, 3), MARK, np.uint8)
        part[: pixels.shape[0], : pixels.shape[1]] = pixels
        parts += [part, np.full((high - top, 1, 3), 255, np.uint8)]
    both = np.concatenate(parts[:3], axis=1)
    factor = max(1, LONGEST // max(both.shape[:2]))
    return cv2.resize(both, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def nothing(height: int, width: int) -> np.ndarray:
    """Where no picture is: grey with slanted lines. → H W 3"""
    step = max(8, max(height, width) // 40)
    y, x = np.indices((height, width))
    lines = ((x + y) % step < max(1, step // 8))[..., None]
    return np.where(lines, np.uint8(140), np.uint8(158)).repeat(3, axis=2)


def _image(record: Record, bands: Bands) -> tuple[np.ndarray, np.ndarray | None]:
    """As training would see it; where bands or tones could not be chosen, stretched for itself."""
    try:
        image, valid, _ = read_image(record, bands)
    except DataError:
        raw, valid = read_raw_image(record)
        image = _eight_bits(raw)
    return shown(image), valid


def _eight_bits(raw: np.ndarray) -> np.ndarray:
    """Deep tones between an image's own darkest and brightest. H W C → H W C uint8"""
    if raw.dtype == np.uint8:
        return raw
    numbers = np.nan_to_num(raw.astype(np.float32))
    low, high = (float(np.percentile(numbers, share)) for share in (0.1, 99.9))
    return np.clip((numbers - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)


def _mask(record: Record, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Raw values, where they are valid, and whether they are colours."""
    try:
        loaded = load_mask(record, size)
        return loaded.raw, loaded.valid, record.form.kind == "colour"
    except DataError:
        if record.form.kind != "picture":
            raise
    colours = decode_colours(read_bytes(record.mask), record.mask)
    channels = channels_of(colours)
    if int((channels.max(0) - channels.min(0)).max(initial=0)) < NEARLY_GREY:  # greys that JPEG has tinted
        return np.rint(channels.mean(0)).astype(np.uint8), None, False
    return colours, None, True


def _own_colours(values: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Colours as themselves, the most frequent 253; black stays untinted."""
    frequent = np.argsort(-pixels, kind="stable")[:253].tolist()
    labels, colours, names = np.zeros(len(values), np.uint8), palette(0).copy(), {}
    colours[0] = 0
    for label, place in enumerate(sorted(frequent), start=1):
        value = int(values[place])
        labels[place] = 0 if value == 0 else label
        colours[labels[place]] = (value >> 16, value >> 8 & 255, value & 255)
        names[int(labels[place])] = f"#{value:06x}"
    shown_names = [int(labels[place]) for place in frequent[:12]]
    return labels, colours, {label: names[label] for label in shown_names if label in names}


def _sampled(seen: Seen, height: int, width: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Raw values, and where they are valid, at so many rows and columns."""
    assert seen.raw is not None
    places = np.ix_(nearest(seen.raw.shape[0], height), nearest(seen.raw.shape[1], width))
    return seen.raw[places], seen.valid[
        places
    ] if seen.valid is not None and seen.valid.shape == seen.raw.shape else None


def _frame(height: int, width: int) -> tuple[int, int]:
    """Rows and columns at which a picture is shown."""
    longest = max(height, width)
    if longest < LEAST:
        factor = -(-LEAST // longest)
        return height * factor, width * factor
    scale = min(1.0, LONGEST / longest)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means of areas when shrinking; small pictures as the pixels they are. H W 3 → height width 3"""
    if image.shape[0] >= height and image.shape[1] >= width:
        way = cv2.INTER_AREA
    else:
        way = cv2.INTER_NEAREST if max(image.shape[:2]) < LEAST else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way)


def _hatched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Slanted lines over what is neither learned nor scored. H W 3, H W bool → H W 3"""
    y, x = np.indices(where.shape)
    lines = where & ((x + y) % _HATCH < 2)
    light = np.minimum(np.array(IGNORED_COLOUR) + 90, 255).astype(np.uint8)
    return np.where(lines[..., None], light, picture)
