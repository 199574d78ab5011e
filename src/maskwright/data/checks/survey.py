"""What an audit knows when its rules begin: the facts of every pair, and what could be decided about all of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase

from maskwright.config.data import DataConfig, MaskValue
from maskwright.data.checks.facts import NEARLY_GREY, PairFacts
from maskwright.data.checks.smoothing import Sorted, sort_values
from maskwright.data.dataset import ClassMap, Gap, Listing
from maskwright.data.grouping import Near
from maskwright.data.masks import known_values, named_classes, summed, uses_colours
from maskwright.data.near_duplicates import nearly_the_same
from maskwright.errors import listed

BACKGROUND_NAMES = frozenset({"background", "bg", "back", "none", "nothing", "other", "rest", "outside"})


@dataclass(frozen=True)
class Survey:
    """troubles: the sentence with which bands, classes or split cannot be decided, by that word.

    `root` is the folder files are named relative to. `facts` are in the splits the pairs were assigned. groups: of
    records by their id, the group that splitting keeps them in and the data set does not name; pattern: what found them
    in the names. near: sets of pictures that are nearly the same, where they were looked for.
    """

    config: DataConfig
    listing: Listing
    root: Path
    facts: tuple[PairFacts, ...]
    classes: ClassMap | None = None
    gaps: tuple[Gap, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)
    assignment: str = ""  # how the splits came about
    notes: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None
    near: Near | None = None

    @cached_property
    def alike(self) -> Near:
        """Sets of facts whose pictures are nearly the same."""
        return nearly_the_same([one.signature for one in self.facts]) if self.near is None else self.near

    @cached_property
    def readable(self) -> list[PairFacts]:
        """Pairs whose files could be read."""
        return [facts for facts in self.facts if not facts.problem]

    @cached_property
    def coloured(self) -> list[PairFacts]:
        """Pairs whose mask is a picture of colours nobody has given a meaning."""
        return [facts for facts in self.readable if is_coloured(facts)]

    @cached_property
    def valued(self) -> list[PairFacts]:
        """Pairs whose mask holds values that can be looked up: numbers, or colours where classes are colours."""
        return [facts for facts in self.readable if not is_coloured(facts)]

    @cached_property
    def totals(self) -> Counter[int]:
        """Pixels of each value over all those masks."""
        return summed(facts.values for facts in self.valued)

    @cached_property
    def named(self) -> dict[str, int] | None:
        """Name → value of the classes, where the configuration or the folder tells them."""
        return named_classes(self.config, self.listing)

    @cached_property
    def ignored(self) -> set[int]:
        """Values that mean nothing, as configured or by the format; a class of that value goes before."""
        return known_values(self.config, self.listing) - set((self.named or {}).values())

    @cached_property
    def ignored_shares(self) -> dict[str, float]:
        """The share of pixels of each ignored value, and of what a raster knows nothing of, once classes are known."""
        if self.classes is None:
            return {}
        area = sum(facts.mask_size[0] * facts.mask_size[1] for facts in self.valued if facts.mask_size)
        found = {
            self.classes.format_value(value): self.totals[value]
            for value in self.classes.ignore_values
            if self.totals[value]
        }
        nodata = area - sum(self.totals.values())
        found |= (
            {"nodata": nodata} if nodata > 0 and all(len(one.values) == one.num_values for one in self.valued) else {}
        )
        return {value: pixels / max(1, area) for value, pixels in found.items()}

    @cached_property
    def sorted_values(self) -> Sorted:
        """Which of the values are classes, which mixtures that smoothing or JPEG made, and which neither."""
        known = (
            None
            if self.named is None
            else {value for value in self.totals if value in {*self.named.values(), *self.ignored}}
        )
        return sort_values(self.totals, self.between, self.has_colours, self.lossy, known)

    @cached_property
    def lossy(self) -> bool:
        """Whether JPEG has been at any of the masks."""
        return any(is_lossy(facts) for facts in self.valued)

    @cached_property
    def between(self) -> Counter[int]:
        """Pixels of each value that lie between others."""
        return summed(facts.between for facts in self.valued)

    @cached_property
    def has_colours(self) -> bool:
        """Whether classes are told apart by colours."""
        return uses_colours(self.config, self.listing)

    @cached_property
    def labels(self) -> list[int]:
        """Values that occur and are not ignored, in order."""
        if self.classes is not None and self.classes.foreground_from is None:
            return sorted(set(self.totals) - set(self.classes.ignore_values))
        return sorted(set(self.totals) - self.ignored)

    @cached_property
    def background(self) -> int | None:
        """The value of background: the class of that name, else 0 where classes have no names."""
        if self.config.foreground_from is not None:
            return None
        if self.named is not None:
            return next((value for name, value in self.named.items() if name.lower() in BACKGROUND_NAMES), None)
        return 0

    @cached_property
    def touching(self) -> Counter[tuple[int, int]]:
        """How often unequal values lie side by side, smaller first."""
        return summed(facts.touching for facts in self.valued)

    def named_with(self, values: Iterable[int]) -> dict[str, MaskValue]:
        """The named classes and one for each of these values, to be named; as `data.classes` takes them."""
        return {**{name: self.written(value) for name, value in (self.named or {}).items()},
                **name_values([self.written(value) for value in values], self.named or ())}  # fmt: skip

    def ignoring(self, *values: int) -> MaskValue | tuple[MaskValue, ...]:
        """These values beside those that are ignored and occur; as `data.ignore_index` takes them."""
        kept = [value for value in sorted(self.ignored) if value in self.totals and value not in values]
        written = tuple(self.written(value) for value in (*kept, *values))
        return written[0] if len(written) == 1 else written

    def written(self, value: int) -> MaskValue:
        """A mask value as a configuration has it."""
        return self.format_value(value) if self.has_colours else value

    def format_value(self, value: int) -> str:
        """A mask value as a person writes it."""
        return f"#{value:06x}" if self.has_colours else str(value)

    def format_values(self, values: Iterable[int], limit: int = 6) -> str:
        """Several values for prose."""
        return listed([self.format_value(value) for value in values], "and", limit)

    def share(self, pixels: int) -> float:
        """Of all pixels of the masks."""
        return pixels / max(1, sum(self.totals.values()))


def name_values(values: Sequence[MaskValue], taken: Collection[str] = ()) -> dict[str, MaskValue]:
    """Names to be filled in, no two alike.

    >>> name_values([0, 32]), name_values([7], ["road"])
    ({'class_a': 0, 'class_b': 32}, {'class_a': 7})
    """
    places = itertools.chain(ascii_lowercase, map("".join, itertools.product(ascii_lowercase, repeat=2)))
    free = (name for place in places if (name := f"class_{place}") not in taken)
    return dict(zip(free, values, strict=False))


def is_coloured(facts: PairFacts) -> bool:
    """A mask read as a picture of values that turned out to hold colours."""
    return facts.mask_kind == "colour" and facts.record.form.kind == "picture" and facts.grey_spread >= NEARLY_GREY


def is_lossy(facts: PairFacts) -> bool:
    """A mask with more values than two that is JPEG, or was: its greys are tinted."""
    return facts.grey_spread > 0 or (facts.num_values > 2 and facts.mask_file.lower().endswith((".jpg", ".jpeg")))


def mask_files(facts: Iterable[PairFacts]) -> tuple[str, ...]:
    """Their mask files, each once."""
    return tuple(dict.fromkeys(one.mask_file for one in facts))


def image_files(facts: Iterable[PairFacts]) -> tuple[str, ...]:
    """Their image files, each once."""
    return tuple(dict.fromkeys(one.image_file for one in facts))
