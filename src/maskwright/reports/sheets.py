"""A picture of every image of a split: image, truth, prediction and error side by side, with titles and a legend.

write_sheets(Run.open("runs/first"))       # → runs/first/evaluation/pictures/test/ID.png, one an image
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from maskwright.data.pictures import fitting, typeface
from maskwright.files import write_atomically
from maskwright.reports.facts import Facts, gather
from maskwright.reports.gallery import Gallery, Pick, Row, make_row, shrink
from maskwright.runs import Run
from maskwright.terminal import score

LONGEST = 384  # pixels of a panel's longer side; smaller images are enlarged by a whole factor
_MARGIN, _GAP, _LINE, _SWATCH, _TITLE = 24, 14, 24, 16, 72
_PAPER, _FRAME, _INK, _FAINT = (255, 255, 255), (205, 208, 213), (28, 32, 38), (104, 110, 120)


def write_sheets(
    run: Run, split: str = "test", data: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write RUN/evaluation/pictures/SPLIT/ID.png for every image of an evaluated split; the files, worst image first.

    The labels are those that were scored: a prediction with other counts, or an image that changed, is an error.

    >>> write_sheets(Run.open("runs/first"))[0]  # doctest: +SKIP
    PosixPath('runs/first/evaluation/pictures/test/07.png')
    """
    facts = gather(run, split, data)
    root = data or Path(facts.document["root"])
    images = facts.images()
    written: list[Path] = []
    for number, image in enumerate(images, start=1):
        row = make_row(run, facts, Pick("", image.name, image.iou), root)
        path = run.root / "evaluation" / "pictures" / facts.split / f"{image.name}.png"
        write_atomically(path, Image.fromarray(draw_sheet(facts, row)).save)
        written.append(path)
        if progress:
            progress(number, len(images))
    return written


def draw_sheet(facts: Facts, row: Row) -> np.ndarray:
    """One image's pictures with their titles, its score and mistakes, and what the colours mean. → H W 3 uint8"""
    pictures = [_sized(picture.pixels) for picture in row.pictures if picture.pixels is not None]
    high, wide = pictures[0].shape[:2]
    width = 2 * _MARGIN + len(pictures) * wide + (len(pictures) - 1) * _GAP
    alone = Gallery((row,))
    legends = (("Classes", alone.class_legend(facts.classes)), ("Errors", alone.error_legend(facts.classes)))
    lines = [line for title, entries in legends for line in _legend_lines(title, entries, width - 2 * _MARGIN)]
    top = _MARGIN + _LINE + 12 + _LINE
    sheet = Image.new("RGB", (width, top + high + 16 + _LINE * len(lines) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _heading(pen, facts, row, width - 2 * _MARGIN)
    for column, (picture, pixels) in enumerate(zip(row.pictures, pictures, strict=True)):
        left = _MARGIN + column * (wide + _GAP)
        pen.text((left, top - _LINE), picture.title, _INK, typeface(15, True))
        sheet.paste(Image.fromarray(pixels), (left, top))
        pen.rectangle((left - 1, top - 1, left + wide, top + high), None, _FRAME)
    for number, line in enumerate(lines):
        y = top + high + 18 + _LINE * number
        for x, colour, name in line:
            left = _MARGIN + x
            if colour:
                pen.rectangle((left, y, left + _SWATCH, y + _SWATCH), colour, _FRAME)
                left += _SWATCH + 8
            pen.text((left, y), name, _INK if colour else _FAINT, typeface(14))
    return np.asarray(sheet)


def _heading(pen: ImageDraw.ImageDraw, facts: Facts, row: Row, room: int) -> None:
    """The image's name in bold, then its own score and what kinds of mistakes it has."""
    bold, plain, iou = typeface(17, True), typeface(15), row.pick.iou
    name = fitting(facts.short(row.pick.name), bold, room / 2)
    what = facts.classes[1] if facts.is_binary else "mean over its classes"
    text = f"IoU {score(iou)} ({what})" if math.isfinite(iou) else "no scored class in truth or prediction"
    pen.text((_MARGIN, _MARGIN - 2), name, _INK, bold)
    after = pen.textlength(name, bold) + 16
    pen.text((_MARGIN + after, _MARGIN), fitting(f"{text}; {row.text}", plain, room - after), _FAINT, plain)


def _legend_lines(title: str, entries: Sequence[tuple[str, str]], room: int) -> list[list[tuple[int, str, str]]]:
    """Legend entries in lines that fit: (from where, colour, name); the title has no colour."""
    font = typeface(14)
    lines: list[list[tuple[int, str, str]]] = [[(0, "", title)]]
    x = _TITLE
    for colour, name in entries:
        text = fitting(name, font, room - _TITLE - _SWATCH - 8)
        needed = round(_SWATCH + 8 + font.getlength(text))
        if x > _TITLE and x + needed > room:
            lines.append([])
            x = _TITLE
        lines[-1].append((x, colour, text))
        x += needed + 22
    return lines


def _sized(pixels: np.ndarray) -> np.ndarray:
    """At most `LONGEST` on the longer side; small pictures enlarged as the pixels they are. H W 3 → h w 3"""
    factor = LONGEST // max(pixels.shape[:2])
    if factor > 1:
        return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return shrink(pixels, LONGEST)
