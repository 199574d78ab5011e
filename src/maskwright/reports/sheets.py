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
from maskwright.errors import DataError
from maskwright.files import write_atomically
from maskwright.reports.facts import Facts, gather
from maskwright.reports.gallery import Pick, Row, class_legend, error_legend, make_row, shrink
from maskwright.reports.wording import score
from maskwright.runs import Run

LONGEST = 384  # pixels of a panel's longer side; smaller images are enlarged by a whole factor
_MARGIN, _GAP, _LINE, _SWATCH, _TITLE = 24, 14, 24, 16, 72
_PAPER, _FRAME, _INK, _FAINT = (255, 255, 255), (205, 208, 213), (28, 32, 38), (104, 110, 120)


def write_sheets(
    run: Run, split: str = "test", data: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write RUN/evaluation/pictures/SPLIT/ID.png for every image of a split that was evaluated; the files, worst image first.

    The labels are those that were scored: a prediction that gives other counts, or an image that has changed, is an error.

    >>> write_sheets(Run.open("runs/first"))[0]  # doctest: +SKIP
    PosixPath('runs/first/evaluation/pictures/test/07.png')
    """
    facts = gather(run, split, data)
    root = data or Path(facts.document["root"])
    if not root.is_dir():
        fix = "Pass --data FOLDER with where it is now."
        raise DataError(f"`{root}` must be the folder of the run's data; it is not there. {fix}")
    images = facts.images()
    written: list[Path] = []
    for number, image in enumerate(images, start=1):
        row = make_row(run, facts, Pick("", image.name, image.iou), root)
        path = run.root / "evaluation" / "pictures" / facts.split / f"{image.name}.png"
        picture = Image.fromarray(draw_sheet(facts, row))
        write_atomically(path, picture.save)
        written.append(path)
        if progress:
            progress(number, len(images))
    return written


def draw_sheet(facts: Facts, row: Row) -> np.ndarray:
    """One image's panels with their titles, its score and mistakes, and what the colours mean. → H W 3 uint8"""
    pictures = [_sized(panel.pixels) for panel in row.panels]
    high, wide = pictures[0].shape[:2]
    width = 2 * _MARGIN + len(pictures) * wide + (len(pictures) - 1) * _GAP
    legends = (("Classes", class_legend(facts.classes, [row])), ("Errors", error_legend(facts.classes, [row])))
    lines = [line for title, entries in legends for line in _laid_out(title, entries, width - 2 * _MARGIN)]
    top = _MARGIN + _LINE + 12 + _LINE
    sheet = Image.new("RGB", (width, top + high + 16 + _LINE * len(lines) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _heading(pen, facts, row, width - 2 * _MARGIN)
    for column, (panel, picture) in enumerate(zip(row.panels, pictures, strict=True)):
        left = _MARGIN + column * (wide + _GAP)
        pen.text((left, top - _LINE), panel.title, _INK, typeface(15, True))
        sheet.paste(Image.fromarray(picture), (left, top))
        pen.rectangle((left - 1, top - 1, left + wide, top + high), None, _FRAME)
    for number, line in enumerate(lines):
        _legend_line(pen, top + high + 16 + _LINE * number, line)
    return np.asarray(sheet)


def _heading(pen: ImageDraw.ImageDraw, facts: Facts, row: Row, room: int) -> None:
    """The image's name in bold, then its own score and what kinds of mistakes it has."""
    bold, plain = typeface(17, True), typeface(15)
    name = fitting(facts.short(row.pick.name), bold, room / 2)
    what = facts.classes[1] if facts.is_binary else "mean over its classes"
    iou = f"IoU {score(row.pick.iou)} ({what})" if math.isfinite(row.pick.iou) else "no scored class in truth or prediction"
    pen.text((_MARGIN, _MARGIN - 2), name, _INK, bold)
    after = pen.textlength(name, bold) + 16
    pen.text((_MARGIN + after, _MARGIN), fitting(f"{iou}; {row.mistakes}", plain, room - after), _FAINT, plain)


def _laid_out(title: str, entries: Sequence[tuple[str, str]], room: int) -> list[list[tuple[int, str, str]]]:
    """Legend entries in lines that fit: (from where, colour, name); the title has none."""
    font = typeface(14)
    lines: list[list[tuple[int, str, str]]] = [[(0, "", title)]]
    x = _TITLE
    for colour, name in entries:
        told = fitting(name, font, room - _TITLE - _SWATCH - 8)
        needed = round(_SWATCH + 8 + font.getlength(told))
        if x > _TITLE and x + needed > room:
            lines.append([])
            x = _TITLE
        lines[-1].append((x, colour, told))
        x += needed + 22
    return lines


def _legend_line(pen: ImageDraw.ImageDraw, y: int, line: Sequence[tuple[int, str, str]]) -> None:
    for x, colour, name in line:
        if not colour:
            pen.text((_MARGIN + x, y + 2), name, _FAINT, typeface(14))
            continue
        pen.rectangle((_MARGIN + x, y + 2, _MARGIN + x + _SWATCH, y + 2 + _SWATCH), colour, _FRAME)
        pen.text((_MARGIN + x + _SWATCH + 8, y + 2), name, _INK, typeface(14))


def _sized(pixels: np.ndarray) -> np.ndarray:
    """At most `LONGEST` on the longer side; small pictures enlarged as the pixels they are. H W 3 → h w 3"""
    factor = LONGEST // max(pixels.shape[:2])
    if factor > 1:
        return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return shrink(pixels, LONGEST)
