"""The nouns of this layer: `Record`, `ClassMap`, `Dataset`.

A record is one image with its mask, split and group. Inside the program a mask holds class numbers
0 … num_classes-1 and `IGNORE`; what values the files use is the `ClassMap`'s business alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

IGNORE = 255  # in decoded masks, whatever the files use; so at most 255 classes
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """One image, its mask, and where it belongs. `id` is its path inside the data set, without suffix."""

    id: str
    image: Path
    mask: Path
    split: str | None = None
    group: str | None = None


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
        }

    @classmethod
    def from_json(cls, tree: dict[str, object]) -> ClassMap:
        names, values, ignored = (tuple(tree[key]) for key in ("names", "values", "ignore_values"))  # type: ignore[arg-type]
        return cls(names, values, ignored, tree["foreground_from"], str(tree["reason"]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Listing:
    """What a reader found: records, names of classes where the folder tells them, and remarks."""

    records: tuple[Record, ...]
    reader: str
    reason: str
    classes: dict[str, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """What one look at a record's files told: sizes, hashes, pixels of each class."""

    record: Record
    height: int
    width: int
    image_hash: str
    mask_hash: str
    class_pixels: tuple[int, ...]
    ignored_pixels: int


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
