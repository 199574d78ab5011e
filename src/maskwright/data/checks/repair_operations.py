"""The operations of a repair: each changes one pair, in the copy, and counts the pixels it changed.

To add one: a function of (pair, values) and a line in `OPERATIONS`, whose order is the order they are applied in:
how the mask lies, its size, and last what its values mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maskwright.config.data import parse_value
from maskwright.data.checks.facts import channels_of
from maskwright.data.checks.smoothing import snapped
from maskwright.data.dataset import IGNORE, Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms import LoadedMask, load_mask
from maskwright.data.images import decode_colours, turn
from maskwright.data.raw import compact, read_head
from maskwright.errors import DataError

Values = Mapping[str, Any]
# pixels: how many an operation changed; between: of them, neither plainly black nor plainly white
Counts = dict[str, int]
Operation = Callable[["Pair", Values], Counts]
NEARLY_BLACK, NEARLY_WHITE = 16, 239


@dataclass
class Pair:
    """One pair on its way into the copy.

    raw H W: the mask as its file has it; valid H W: where it says something (None: everywhere). After `count`, codes
    H W are places in `values`, and `labels` holds the class numbers the repairs gave to values.
    """

    record: Record
    raw: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    valid: np.ndarray | None = None
    digest: str = ""
    codes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    counts: dict[int, int] = field(default_factory=dict)
    values: tuple[int, ...] = ()
    labels: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the upright image."""
        head = read_head(self.record)
        return head.height, head.width

    def read(self, colours: bool = False, greys: bool = False) -> None:
        """Read the mask: as its form says, as colours, or as greys whatever channels it has."""
        record = self.record
        if colours and record.form.kind == "picture":
            record = replace(record, form=replace(record.form, kind="colour"))
        size = (0, 0) if record.form.kind in ("picture", "colour") else self.size
        loaded = _load_greys(record) if greys and record.form.kind == "picture" else load_mask(record, size)
        self.raw, self.valid, self.digest = loaded.raw, loaded.valid, loaded.digest

    def move(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Do the same to the mask and to what says where it is valid."""
        self.raw = change(self.raw)
        self.valid = None if self.valid is None else change(self.valid)

    def count(self) -> None:
        """Decide which values the mask holds; what lies outside its file has none."""
        self.codes, self.values, pixels = compact(self.raw, self.valid, self.record)
        found = zip(self.values, pixels, strict=True)
        self.counts = {value: number for value, number in found if number and value >= 0}

    def relabelled(self, table: Mapping[int, int]) -> np.ndarray:
        """The mask as class numbers, each value by the table. → H W uint8"""
        labels = np.full(256, IGNORE, np.uint8)
        for code, value in enumerate(self.values):
            labels[code] = table.get(value, IGNORE)
        return labels[self.codes]


def turn_mask(pair: Pair, values: Values) -> Counts:
    """Turn the mask as an EXIF orientation says, so that it lies on its upright image."""
    orientation = int(values["orientation"])
    pair.move(lambda plane: turn(plane, orientation))
    return {"pixels": pair.raw.size if orientation != 1 else 0}


def resize_mask(pair: Pair, values: Values) -> Counts:
    """Bring the mask to its image's size: each pixel takes the value that lies nearest to its middle."""
    (height, width), (rows, columns) = pair.size, pair.raw.shape
    if not same_aspect((height, width), (rows, columns)):
        sizes = f"{width}x{height} and {columns}x{rows}"
        raise DataError(
            f"`{pair.record.mask}` must have its image's aspect to be resized; image and mask are {sizes}. Make it "
            "anew."
        )
    if (height, width) == (rows, columns):
        return {"pixels": 0}
    places = np.ix_(nearest(rows, height), nearest(columns, width))
    pair.move(lambda plane: plane[places])
    return {"pixels": pair.raw.size}


def fit_mask(pair: Pair, values: Values) -> Counts:
    """Add rows at the bottom and columns at the right as ignored pixels; negative numbers cut them off."""
    rows, columns = int(values.get("rows", 0)), int(values.get("columns", 0))
    height, width = pair.raw.shape[0] + rows, pair.raw.shape[1] + columns
    if (height, width) != pair.size:
        sizes = f"{pair.size[1]}x{pair.size[0]} and {pair.raw.shape[1]}x{pair.raw.shape[0]}"
        fix = "Check the data set again, or make the mask anew."
        raise DataError(
            f"`{pair.record.mask}` must be {rows} rows and {columns} columns from its image; they are {sizes}. {fix}"
        )
    before, kept = pair.raw.size, min(height, height - rows) * min(width, width - columns)
    if kept < height * width and pair.valid is None:
        pair.valid = np.ones(pair.raw.shape, bool)
    pair.move(lambda plane: np.pad(plane, ((0, max(0, rows)), (0, max(0, columns))))[:height, :width])
    return {"pixels": before - kept + height * width - kept}


def nearest_class(pair: Pair, values: Values) -> Counts:
    """Values between those of the classes become the nearest of the classes around them."""
    before = pair.raw
    targets = [value if isinstance(value, int) else parse_value(value) for value in values["values"]]
    pair.raw = snapped(before, targets, any(not isinstance(value, int) for value in values["values"]))
    return {"pixels": int((pair.raw != before).sum())}


def remap(pair: Pair, values: Values) -> Counts:
    """Values (or colours) that become class numbers, or 255 for ignored."""
    table = numbers(values["table"])
    return {"pixels": _give_labels(pair, {value: label for value, label in table.items() if value in pair.counts})}


def threshold(pair: Pair, values: Values) -> Counts:
    """Foreground from a value up: for masks of two classes whose borders were smoothed."""
    changed = _give_labels(pair, {value: cut_at(values, value) for value in pair.counts})
    return {"pixels": changed, "between": sum(n for v, n in pair.counts.items() if NEARLY_BLACK < v < NEARLY_WHITE)}


# the order is the order in which the repairs of one pair are applied
OPERATIONS: dict[str, Operation] = {
    "turn-mask": turn_mask,
    "resize-mask": resize_mask,
    "fit-mask": fit_mask,
    "nearest": nearest_class,
    "colours": remap,
    "remap": remap,
    "threshold": threshold,
}
OF_VALUES = ("colours", "remap", "threshold")
OF_PAIRS = ("leave-out", "regroup")  # which pairs the copy holds and in which groups: no mask is changed


def cut_at(values: Values, value: int) -> int:
    """The class number of a value by a threshold: 1 from `at` up and 0 below, where classes have no other numbers."""
    return int(values.get("high", 1)) if value >= int(values["at"]) else int(values.get("low", 0))


def numbers(table: Mapping[Any, Any]) -> dict[int, int]:
    """A table from values or colours to class numbers, as JSON or a rule may write it.

    >>> numbers({"255": 1, "#ff0000": 2, 7: 0})
    {255: 1, 16711680: 2, 7: 0}
    """
    keys = [key if isinstance(key, int) else int(key) if str(key).isdigit() else parse_value(key) for key in table]
    return {key: int(label) for key, label in zip(keys, table.values(), strict=True)}


def same_aspect(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether one size is the other one scaled, rounding to whole pixels aside. (rows, columns)

    >>> same_aspect((1055, 1280), (454, 551)), same_aspect((480, 640), (640, 480))
    (True, False)
    """
    small, large = sorted([image, mask], key=lambda size: size[0] * size[1])
    if min(small) < 1:
        return False
    # both sides were rounded, or both cut down, or both up: is there one scale?
    for less, more in ((0.5, 0.5), (0, 1), (1, 0)):
        lowest = max((small[side] - less) / large[side] for side in (0, 1))
        highest = min((small[side] + more) / large[side] for side in (0, 1))
        if lowest < highest or small == large:
            return True
    return False


def nearest(length: int, wanted: int) -> np.ndarray:
    """For each new pixel the old one under its middle."""
    return (2 * np.arange(wanted) + 1) * length // (2 * wanted)  # in whole numbers: no rounding decides a tie


def _give_labels(pair: Pair, table: Mapping[int, int]) -> int:
    """Give values their class numbers; two repairs that differ are a question the plan should have seen."""
    for value, label in table.items():
        if pair.labels.get(value, label) != label:
            two = f"{pair.labels[value]} by one repair and {label} by another"
            fix = "Leave one of the findings unrepaired: --leave CODE."
            raise DataError(f"`{pair.record.mask}` must have one meaning for each value; {value} becomes {two}. {fix}")
        pair.labels[value] = label
    return sum(pair.counts[value] for value, label in table.items() if value != label)


def _load_greys(record: Record) -> LoadedMask:
    """A picture's greys where its channels differ a little, as JPEG leaves them; else as any mask."""
    try:
        return load_mask(record, (0, 0))
    except DataError:  # a colour picture, or a broken one
        data = read_bytes(record.mask)
        greys = np.rint(channels_of(decode_colours(data, record.mask)).mean(0)).astype(np.uint8)
        return LoadedMask(greys, hashlib.sha256(data).hexdigest)
