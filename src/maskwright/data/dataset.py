"""The nouns of this layer: `Record`, `ClassMap`, `Bands`, `Dataset`.

A record is one image with its mask, split and group. Inside the program a mask holds class numbers
0 … num_classes-1 and `IGNORE`; what values the files use is the `ClassMap`'s business alone. An image
is uint8 inside the program; how its files' bands and tones become that is the business of `Bands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.errors import DataError

IGNORE = 255  # in decoded masks, whatever the files use; so at most 255 classes
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class MaskForm:
    """How a mask is kept in its file: `kind` is a name in `data.forms.FORMS`.

    key: which part of a file that holds many masks (an image's id in a COCO file)
    remap: value in the file → value meant, for masks whose values mean less than the record does (a breed's trimap)
    """

    kind: str = "picture"
    key: str = ""
    remap: tuple[tuple[int, int], ...] = ()


PICTURE = MaskForm()
Window = tuple[int, int, int, int]  # first row, first column, height, width: the part of a large scene a record is


@dataclass(frozen=True)
class Record:
    """One image, its mask, and where it belongs. `id` is its path inside the data set, without suffix.

    `mask` is the file (or folder) the mask is in; `form` says how. `window` is set for a part of a large raster.
    """

    id: str
    image: Path
    mask: Path
    split: str | None = None
    group: str | None = None
    form: MaskForm = PICTURE
    window: Window | None = None


@dataclass(frozen=True)
class ClassMap:
    """Class names, the mask values that stand for them, and how this was decided.

    >>> ClassMap(("background", "foreground"), (0, 255)).num_classes
    2
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    ignore_values: tuple[int, ...] = ()
    foreground_from: int | None = None
    reason: str = ""
    colours: bool = False  # values are colours, 0xRRGGBB

    @property
    def num_classes(self) -> int:
        return len(self.names)

    @property
    def is_binary(self) -> bool:
        return len(self.names) == 2

    def to_json(self) -> dict[str, object]:
        return {
            "names": list(self.names),
            "values": list(self.values),
            "ignore_values": list(self.ignore_values),
            "foreground_from": self.foreground_from,
            "reason": self.reason,
            "colours": self.colours,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> ClassMap:
        names, values, ignored = (tuple(tree[key]) for key in ("names", "values", "ignore_values"))
        return cls(names, values, ignored, tree["foreground_from"], tree["reason"], tree.get("colours", False))

    def format_value(self, value: int) -> str:
        """A mask value as a person writes it: a number, or a colour's hexadecimal form.

        >>> ClassMap(("a", "b"), (0, 0xFF0000), colours=True).format_value(0xFF0000)
        '#ff0000'
        """
        return f"#{value:06x}" if self.colours else str(value)


@dataclass(frozen=True)
class Bands:
    """Which bands of the files the network sees, and the tones that become 0 and 255 in each.

    Without `low` and `high` the files are 8 bits already and are taken as they are.
    """

    chosen: tuple[int, ...] = (0, 1, 2)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    reason: str = "8 bits, in colour"

    @property
    def num_channels(self) -> int:
        return len(self.chosen)

    def to_json(self) -> dict[str, object]:
        return {"chosen": list(self.chosen), "low": list(self.low), "high": list(self.high), "reason": self.reason}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Bands:
        return cls(tuple(tree["chosen"]), tuple(tree["low"]), tuple(tree["high"]), tree["reason"])


RGB = Bands()


@dataclass(frozen=True)
class Listing:
    """What a reader found: records, values (or colours, 0xRRGGBB) of classes where the folder tells them, and remarks.

    `ignore` are values the format itself says mean nothing, whatever `data.ignore_index` is. `classes_from` names
    the file the classes were read from, for messages. `usual_classes` are the format's own, which hold where the masks'
    values fit them.
    """

    records: tuple[Record, ...]
    reader: str
    reason: str
    classes: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    ignore: tuple[int, ...] = ()
    colours: bool = False
    classes_from: str = "classes.yaml"
    usual_classes: dict[str, int] | None = None


@dataclass(frozen=True)
class Item:
    """What one look at a record's files showed: sizes, hashes, pixels of each class."""

    record: Record
    height: int
    width: int
    image_hash: str
    mask_hash: str
    class_pixels: tuple[int, ...]
    ignored_pixels: int


@dataclass(frozen=True)
class SplitInfo:
    """How images were dealt into splits: what data.json keeps of it. A seed of None: the data set itself says."""

    reason: str = ""
    seed: int | None = None
    folds: int | None = None
    fold: int | None = None
    group: str | None = None  # the pattern that found groups in the names

    def to_json(self) -> dict[str, object]:
        return {"reason": self.reason, "seed": self.seed, "folds": self.folds, "fold": self.fold, "group": self.group}


@dataclass(frozen=True)
class Dataset:
    """Every record looked at once, dealt into splits. Pixels are in the `PixelStore`."""

    root: Path
    items: tuple[Item, ...]
    classes: ClassMap
    reader: str
    reason: str
    fingerprint: str
    notes: tuple[str, ...] = field(default=())
    bands: Bands = RGB
    split_info: SplitInfo = SplitInfo()

    def split(self, name: str) -> list[int]:
        """Indices of the items of one split, in order."""
        return [index for index, item in enumerate(self.items) if item.record.split == name]

    def sizes(self) -> dict[str, int]:
        """How many images each split has."""
        return {name: len(self.split(name)) for name in SPLITS}

    def class_shares(self, split: str | None = None) -> list[float]:
        """Share of the labelled pixels each class has."""
        chosen = [item for item in self.items if split is None or item.record.split == split]
        totals = [sum(item.class_pixels[index] for item in chosen) for index in range(self.classes.num_classes)]
        return [total / max(1, sum(totals)) for total in totals]


@dataclass(frozen=True)
class Gap:
    """One thing a listing lacks or holds too much of; `code` is a finding's, such as unpaired."""

    code: str
    files: tuple[Path, ...]
    message: str


class PartialListing(DataError):
    """Raised by a reader that is sure of some records and not of others; `listing` holds those it is sure of."""

    def __init__(self, message: str, listing: Listing, gaps: Sequence[Gap]) -> None:
        super().__init__(message)
        self.listing, self.gaps = listing, tuple(gaps)
