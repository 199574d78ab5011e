"""Numbers as a reader wants to see them; what is undefined is a dash everywhere."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence

DASH = "–"
PERCENT = "\u00a0%"  # the number and its sign stay on one line
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}


# what a computer may have named: a UUID, or sixteen letters and digits and more, mixed as no person mixes them
_HASH = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Za-z]{16,})(?![0-9A-Za-z])")
_HEX = re.compile(r"(?=.*[0-9])(?=.*[A-Fa-f])[0-9A-Fa-f-]+")
MIXED = 4  # times that a letter follows a digit


def elide_hashes(text: str) -> str:
    """Text with the middle of long hashes left out.

    >>> elide_hashes("scan_3f2a9c1e77d04b5a8e6f.png and 20260102T101112")
    'scan_3f2a9c…8e6f.png and 20260102T101112'
    """

    def short(found: re.Match[str]) -> str:
        name = found[0]
        is_hash = _HEX.fullmatch(name) or len(re.findall(r"\d[A-Za-z]", name)) >= MIXED
        return f"{name[:6]}…{name[-4:]}" if is_hash else name

    return _HASH.sub(short, text)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name without the folders all of them are in, and with the middle of hashes left out where that keeps them apart.

    >>> short_names(["a/b/one", "a/b/two"])
    {'a/b/one': 'one', 'a/b/two': 'two'}
    """
    parents = {name.rpartition("/")[0] for name in names}
    shared = os.path.commonpath(parents) if parents and "" not in parents else ""
    bare = {name: name.removeprefix(f"{shared}/") if shared else name for name in names}
    short = {name: elide_hashes(told) for name, told in bare.items()}
    return short if len(set(short.values())) == len(short) else bare


def score(value: float | None, digits: int = 3) -> str:
    """A score, or a dash when it is undefined.

    >>> score(0.80499), score(None)
    ('0.805', '–')
    """
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def brief(value: float | None) -> str:
    """A score in prose: two digits, more where two would claim a perfect 1.

    >>> brief(0.80499), brief(0.9987), brief(1.0)
    ('0.80', '0.9987', '1.00')
    """
    return score(value, 4 if value is not None and 0.995 <= value < 1 else 2)


def share(value: float | None) -> str:
    """A share as per cent; a small one never reads as none, a large one never as all.

    >>> share(0.2428), share(0.0003), share(0.0)
    ('24.3\\xa0%', '<\\xa00.1\\xa0%', '0\\xa0%')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if value in (0, 1):
        return f"{100 * value:.0f}{PERCENT}"
    edge = "<\u00a00.1" if value < 0.001 else ">\u00a099.9" if 0.9995 <= value < 1 else ""
    return f"{edge or format(100 * value, '.1f')}{PERCENT}"


def counted(num: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(233.8), duration(7.2)
    ('3 min 54 s', '7.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def large(value: float) -> str:
    """A large number with the digits that matter.

    >>> large(950), large(7_762_465), large(1.234e10)
    ('950', '7.76 million', '12.3 billion')
    """
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:,.3g} {word}" if value < 1000 * size else f"{value / size:,.0f} {word}"
    return f"{value:,.0f}"
