"""What a likeness of two pictures is, in words: turned, saved again, resized, cropped, overlapping, or the same scene."""

from __future__ import annotations

from typing import Literal

from maskwright.data.checks.likeness import Likeness
from maskwright.data.checks.signatures import Signature
from maskwright.errors import counted

Kind = Literal["equal", "turned", "copy", "crop", "overlap", "scene"]

# by turn: bit 0 mirrors columns, bit 1 mirrors rows, then bit 2 swaps both
TURNS = (
    "", "mirrored left to right", "mirrored top to bottom", "turned by 180°",
    "mirrored along its diagonal", "turned by 90° to the left", "turned by 90° to the right", "mirrored along its other diagonal",
)  # fmt: skip
_ALL, _SAME_SCALE, _STILL = 0.93, 0.025, 0.02  # share of the overlap; change of scale; shift as share of a side
_COPY, _RESIZED, _CROP = 0.99, 0.93, 0.8  # correlation of fine details: below, it is a scene a moment later
_TONE = 0.05  # share by which the mean must differ for a picture to be brighter or darker


def kind_of(likeness: Likeness, signatures: tuple[Signature, Signature]) -> Kind:
    """Which kind of likeness it is."""
    moved = max(map(abs, likeness.shift)) > _STILL
    if likeness.overlap < _ALL and moved:
        return "overlap"
    if abs(likeness.scale - 1) > _SAME_SCALE or not likeness.same_view or moved:
        return "crop" if likeness.score >= _CROP else "scene"
    if likeness.turn:
        return "turned"
    resized = signatures[0].size != signatures[1].size
    return "copy" if likeness.score >= (_RESIZED if resized else _COPY) else "scene"


def told(likeness: Likeness, names: tuple[str, str], signatures: tuple[Signature, Signature]) -> str:
    """One sentence without its full stop, such as "b.png is a.png turned by 180°"."""
    (first, second), kind, turned = names, kind_of(likeness, signatures), TURNS[likeness.turn]
    with_turn = f" {turned}" if turned else ""
    if kind == "scene":
        return f"{second} shows nearly what {first} shows"
    if kind == "overlap":
        moved = _moved(likeness, signatures[1].size)
        after = f" ({first} {turned})" if turned else ""
        return f"{second} overlaps {first} by about {5 * round(20 * likeness.overlap)} %{moved}{after}"
    if kind == "crop":
        return _cropped(likeness, names, signatures, turned)
    changes = _changes(likeness, signatures)
    return f"{second} is {first}{with_turn}{', ' if with_turn and changes else ' ' if changes else ''}{changes}" + (
        "" if with_turn or changes else " saved again"
    )


def _cropped(likeness: Likeness, names: tuple[str, str], signatures: tuple[Signature, Signature], turned: str) -> str:
    first, second = names
    after = f" ({first} {turned})" if turned else ""
    if not likeness.same_view:
        sizes = [signature.size[0] * signature.size[1] for signature in signatures]
        small, large = (second, first) if sizes[1] <= sizes[0] else (first, second)
        return f"{small} is cut out of {large}{after}"
    if abs(likeness.scale - 1) <= _SAME_SCALE:
        moved = _moved(likeness, signatures[1].size)
        return f"{second} shows what {first}{' ' + turned if turned else ''} shows{moved}"
    small, large, scale = (second, first, 1 / likeness.scale) if likeness.scale > 1 else (first, second, likeness.scale)
    return f"{small} shows what {large} shows, cropped to about {100 * scale:.0f} % of its sides{after}"


def _moved(likeness: Likeness, size: tuple[int, int]) -> str:
    """The shift in pixels of the second picture; nothing for less than a hundredth."""
    pixels = [round(abs(share) * side) for share, side in zip(likeness.shift, size, strict=True)]
    parts = [(number, word) for number, word in zip(pixels, ("row", "column"), strict=True) if number > 0.01 * max(size)]
    told = " and ".join(counted(number, word) for number, word in parts)
    return f", shifted by {told}" if told else ""


def _changes(likeness: Likeness, signatures: tuple[Signature, Signature]) -> str:
    """Another size, another brightness."""
    one, two = signatures
    upright = one.size if likeness.turn < 4 else (one.size[1], one.size[0])
    changes = [f"resized from {_size(upright)} to {_size(two.size)}"] if upright != two.size else []
    before, after = float(one.small.mean()), float(two.small.mean())
    change = (after - before) / max(before, 1.0)
    if abs(change) >= _TONE:
        changes.append(f"{'brighter' if change > 0 else 'darker'} by about {abs(change):.0%}")
    return " and ".join(changes)


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
