"""What an audit knows when its rules begin: the facts of every pair, and what could be settled about all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from maskwright.config.data import DataConfig, is_colour, parse_value
from maskwright.data.checks.facts import PairFacts
from maskwright.data.dataset import ClassMap, Listing
from maskwright.data.masks import named_values, uses_colours
from maskwright.data.partial import Gap
from maskwright.errors import listed

BACKGROUND_NAMES = frozenset({"background", "bg", "back", "none", "nothing", "other", "rest", "outside"})
NEARLY_GREY = 40  # colours whose channels differ by less are greys that JPEG has tinted


@dataclass(frozen=True)
class Survey:
    """troubles: the sentence with which bands, classes or split cannot be settled, by that word.

    `root` is the folder files are told relative to. `facts` are in the splits the pairs were dealt.
    """

    config: DataConfig
    listing: Listing
    root: Path
    facts: tuple[PairFacts, ...]
    classes: ClassMap | None = None
    gaps: tuple[Gap, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)
    dealt: str = ""  # how the splits came about
    notes: tuple[str, ...] = ()

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
        total: Counter[int] = Counter()
        for facts in self.valued:
            total.update(facts.values)
        return total

    @cached_property
    def named(self) -> dict[str, int] | None:
        """Name → value of the classes, where the configuration or the folder tells them."""
        if self.config.classes is not None:
            return {name: parse_value(value) for name, value in named_values(self.config.classes).items()}
        return dict(self.listing.classes) if self.listing.classes is not None else None

    @cached_property
    def ignored(self) -> set[int]:
        """Values that mean nothing, as configured or by the format; a class of that value goes before."""
        index = self.config.ignore_index
        mine = {parse_value(index)} if index is not None and is_colour(index) == self.has_colours else set()
        return (mine | set(self.listing.ignore)) - set((self.named or {}).values())

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

    def told(self, value: int) -> str:
        """A mask value as a person writes it."""
        return f"#{value:06x}" if self.has_colours else str(value)

    def told_all(self, values: Iterable[int], limit: int = 6) -> str:
        """Several values for prose."""
        return listed([self.told(value) for value in values], "and", limit)

    def share(self, pixels: int) -> float:
        """Of all pixels of the masks."""
        return pixels / max(1, sum(self.totals.values()))


def is_coloured(facts: PairFacts) -> bool:
    """A mask read as a picture of values that turned out to hold colours."""
    return facts.mask_kind == "colour" and facts.record.form.kind == "picture" and facts.grey_spread >= NEARLY_GREY


def mask_files(facts: Iterable[PairFacts]) -> tuple[str, ...]:
    """Their mask files, each once."""
    return tuple(dict.fromkeys(one.mask_file for one in facts))


def image_files(facts: Iterable[PairFacts]) -> tuple[str, ...]:
    """Their image files, each once."""
    return tuple(dict.fromkeys(one.image_file for one in facts))
