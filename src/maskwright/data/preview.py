"""A sheet of training inputs: each image as it is, then as training draws it, with the outlines of its mask.

    rows = preview_rows(samples, dataset, num_images=8, num_draws=5)
    save_sheet(Path("sheet.png"), draw_sheet(rows, dataset, ["my data", "augment standard"]))

The inputs come from the samples training itself uses, by the keys it uses: nothing here draws or warps on its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from maskwright.data.augment import augment, place
from maskwright.data.dataset import IGNORE, Dataset
from maskwright.data.decoding import open_picture
from maskwright.data.geometry import shrink_to
from maskwright.data.loader import TrainSamples
from maskwright.data.pictures import IGNORED_COLOUR, fitting, palette, shown, typeface
from maskwright.errors import DataError, UsageError, as_typed
from maskwright.files import write_atomically

TILE = 256  # pixels: longest side of a picture on the sheet
_GAP, _MARGIN, _LINE = 12, 44, 24
_PAPER, _PANEL, _FRAME = (255, 255, 255), (232, 234, 237), (205, 208, 213)
_INK, _FAINT = (28, 32, 38), (104, 110, 120)
_MADE_BY = "maskwright data preview"
_FINE = 2  # outlines are drawn on a grid so much finer than the sheet's
_HATCH = 9  # pixels between the lines over ignored pixels


@dataclass(frozen=True)
class Shot:
    """One picture of the sheet: image H W 3, mask H W, and what is written below it."""

    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    caption: str


@dataclass(frozen=True)
class PreviewRow:
    """One image: its name, itself, what training draws from it, and (view crop) the part of it each draw shows (4 2)."""

    name: str
    size: tuple[int, int]
    original: Shot
    draws: tuple[Shot, ...]
    windows: tuple[np.ndarray, ...] = ()


def preview_rows(samples: TrainSamples, dataset: Dataset, num_images: int, num_draws: int) -> list[PreviewRow]:
    """Training images spread over the set, each with its first inputs, one an epoch."""
    places = np.unique(np.linspace(0, len(samples.indices) - 1, min(num_images, len(samples.indices))).round().astype(int))
    return [_row(samples, dataset, samples.indices[int(at)], num_draws) for at in places]


def _row(samples: TrainSamples, dataset: Dataset, item: int, num_draws: int) -> PreviewRow:
    image, mask = samples.store.get(item)
    view = samples.view
    keys = ((epoch, samples.items(epoch).index(item)) for epoch in itertools.count() if item in samples.items(epoch))
    draws: list[Shot] = []
    windows: list[np.ndarray] = []
    for key in itertools.islice(keys, num_draws):
        drawn = samples.draw(key)
        aimed = f", aimed at {dataset.classes.names[drawn.label]}" if drawn.label is not None else ""
        _, matrix = place(mask.shape, view, samples.plan, drawn.rng, drawn.aim)
        windows.append(_corners(matrix, view.size))
        found, labels = samples[key]
        draws.append(Shot(shown(found), labels, f"epoch {key[0] + 1}{aimed}"))
    name, size = dataset.items[item].record.id, (mask.shape[0], mask.shape[1])
    if view.kind == "crop":
        return PreviewRow(name, size, Shot(shown(image), mask, "the whole image, windows numbered"), tuple(draws), tuple(windows))
    plain, labels = augment(image, mask, view, (), np.random.default_rng(0))
    return PreviewRow(name, size, Shot(shown(plain), labels, "not augmented"), tuple(draws))


def _corners(matrix: np.ndarray, size: int) -> np.ndarray:
    """Where an input's corners lie in the source. → 4 2"""
    corners = matrix @ np.array([[0, size, size, 0], [0, 0, size, size], [1, 1, 1, 1.0]])
    return (corners[:2] / corners[2]).T


def draw_sheet(rows: Sequence[PreviewRow], dataset: Dataset, heading: Sequence[str]) -> np.ndarray:
    """The rows as one picture: heading, rows of pictures, and what the outlines mean. → H W 3 uint8"""
    columns = 1 + max(len(row.draws) for row in rows)
    pictures = [[_first(row, dataset), *(_outlined(shot, dataset, str(n + 1) if row.windows else "")
                                         for n, shot in enumerate(row.draws))] for row in rows]  # fmt: skip
    tall = [max(picture.shape[0] for picture in line) for line in pictures]
    width = _left(columns) - _GAP + _MARGIN
    legend = _legend(rows, dataset, width)
    told = [line for text in heading[1:] for line in _wrapped(text, typeface(15), width - 2 * _MARGIN)]
    top = _MARGIN + 42 + _LINE * len(told) + 20
    height = top + sum(tall) + len(rows) * (3 * _LINE + 10) + 16 + legend.height + _MARGIN - 10
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), fitting(heading[0], typeface(28, True), width - 2 * _MARGIN), _INK, typeface(28, True))
    for line, text in enumerate(told):
        pen.text((_MARGIN, _MARGIN + 46 + _LINE * line), text, _FAINT, typeface(15))
    for row, line, high in zip(rows, pictures, tall, strict=True):
        _draw_row(sheet, pen, top, row, line)
        top += high + 3 * _LINE + 10
    pen.line([(_MARGIN, top), (width - _MARGIN, top)], _PANEL, 2)
    sheet.paste(legend, (0, top + 16))
    return np.asarray(sheet)


def save_sheet(path: Path, pixels: np.ndarray) -> None:
    """Write the sheet as PNG; see `refuse_taken`."""
    refuse_taken(path)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", _MADE_BY)
    write_atomically(path, lambda temporary: Image.fromarray(pixels).save(temporary, pnginfo=info, optimize=True))


def refuse_taken(path: Path) -> None:
    """Stop where a file stands that isn't a sheet of ours: somebody's picture must not be lost to a slip of the name."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"`--out` must end in .png; got {path}. Write --out {as_typed(path.with_suffix('.png'))}.")
    if path.exists() and not _is_ours(path):
        raise UsageError(f"`--out` must be a new file or an earlier preview; got {path}, which is neither. Choose another name.")


def _is_ours(path: Path) -> bool:
    try:
        with open_picture(path, path) as picture:
            return picture.info.get("Software") == _MADE_BY
    except DataError:
        return False


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, top: int, row: PreviewRow, line: Sequence[np.ndarray]) -> None:
    """Name and size, the pictures side by side, and a caption below each."""
    size = f"{row.size[1]} × {row.size[0]}"
    room = TILE * len(line)
    name = fitting(row.name, typeface(16, True), room - 120)
    pen.text((_MARGIN, top), name, _INK, typeface(16, True))
    pen.text((_MARGIN + pen.textlength(name, typeface(16, True)) + 12, top + 1), size, _FAINT, typeface(15))
    captions = [row.original.caption, *(shot.caption for shot in row.draws)]
    for column, (picture, caption) in enumerate(zip(line, captions, strict=True)):
        left = _left(column)
        height, width = picture.shape[:2]
        sheet.paste(Image.fromarray(picture), (left, top + _LINE + 4))
        frame = (left - 1, top + _LINE + 3, left + width, top + _LINE + 4 + height)  # a white sky must not run into the paper
        pen.rectangle(frame, None, _FRAME)
        pen.text((left, top + _LINE + 10 + height), fitting(caption, typeface(13), TILE), _FAINT, typeface(13))


def _first(row: PreviewRow, dataset: Dataset) -> np.ndarray:
    """The image itself; with view crop also the parts the draws show, numbered as they are."""
    picture = _outlined(row.original, dataset)
    if not row.windows:
        return picture
    scale = picture.shape[1] / row.size[1]
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for window in row.windows:
        corners = [(float(x * scale), float(y * scale)) for x, y in [*window, window[0]]]
        pen.line(corners, (0, 0, 0), 3)
        pen.line(corners, (255, 255, 255), 1)
    for number, window in enumerate(row.windows, start=1):
        x, y = np.clip(window[0] * scale, 0, [picture.shape[1] - 16, picture.shape[0] - 16])
        _badge(pen, float(x), float(y), str(number), 16)
    return np.asarray(drawn)


def _badge(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, side: int = 22) -> None:
    pen.rectangle([x, y, x + side - 1, y + side - 1], (255, 255, 255), _INK)
    pen.text((x + side / 2, y + side / 2), text, _INK, typeface(side * 2 // 3, True), anchor="mm")


def _outlined(shot: Shot, dataset: Dataset, number: str = "") -> np.ndarray:
    """A picture at the sheet's scale, its classes outlined and its ignored pixels hatched. → h w 3"""
    height, width = shot.mask.shape
    scale = TILE / max(height, width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    if scale <= 1:
        image = shrink_to(shot.image, high, wide)
    else:  # small inputs as the pixels they are
        image = cv2.resize(shot.image, (wide, high), interpolation=cv2.INTER_NEAREST)
    labels = cv2.resize(shot.mask, (_FINE * wide, _FINE * high), interpolation=cv2.INTER_NEAREST)
    picture = _hatched(image, labels[::_FINE, ::_FINE] == IGNORE)
    fine = cv2.resize(picture, (_FINE * wide, _FINE * high), interpolation=cv2.INTER_NEAREST)
    lined = _with_lines(fine, labels, palette(dataset.classes.num_classes))
    picture = cv2.resize(lined, (wide, high), interpolation=cv2.INTER_AREA)
    if not number:
        return picture
    drawn = Image.fromarray(picture)
    _badge(ImageDraw.Draw(drawn), 0, 0, number)
    return np.asarray(drawn)


def _with_lines(picture: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Outlines of every class but the first, over a dark casing so that they show on any ground. H W 3, H W → H W 3"""
    beyond = 8  # continued over the border, where there is no outline to see
    wider = cv2.copyMakeBorder(labels, beyond, beyond, beyond, beyond, cv2.BORDER_REPLICATE)
    around: dict[int, Sequence[np.ndarray]] = {}
    for label in np.unique(labels).tolist():
        if label not in (0, IGNORE):
            inside = (wider == label).astype(np.uint8)
            around[label] = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(-beyond, -beyond))[0]
    dark = picture.copy()
    for found in around.values():
        cv2.drawContours(dark, found, -1, (0, 0, 0), 3 * _FINE, cv2.LINE_AA)
    drawn = cv2.addWeighted(picture, 0.5, dark, 0.5, 0)
    for label, found in around.items():
        cv2.drawContours(drawn, found, -1, tuple(int(part) for part in colours[label]), 3, cv2.LINE_AA)
    return drawn


def _hatched(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Grey, with slanted lines, where nothing is learned. H W 3, H W bool → H W 3"""
    grey = cv2.addWeighted(image, 0.35, np.full_like(image, IGNORED_COLOUR), 0.65, 0)
    y, x = np.indices(where.shape)
    grey[(x + y) % _HATCH < 2] = (225, 225, 225)
    return np.where(where[..., None], grey, image)


def _legend(rows: Sequence[PreviewRow], dataset: Dataset, width: int) -> Image.Image:
    """What the outlines mean, in as many lines as it takes."""
    names, colours = dataset.classes.names, palette(dataset.classes.num_classes)
    shots = [shot for row in rows for shot in (row.original, *row.draws)]
    entries: list[tuple[str, int]] = [(name, label) for label, name in enumerate(names) if label]
    entries.append((f"{names[0]} (not outlined)", 0))
    if any((shot.mask == IGNORE).any() for shot in shots):
        entries.append(("ignored: neither learned nor scored", IGNORE))
    font = typeface(15)
    places: list[tuple[int, int]] = []
    x, y = _MARGIN, 0
    for text, _ in entries:
        needed = 26 + round(font.getlength(fitting(text, font, width - 2 * _MARGIN - 26)))
        if x > _MARGIN and x + needed > width - _MARGIN:
            x, y = _MARGIN, y + 30
        places.append((x, y))
        x += needed + 26
    drawn = Image.new("RGB", (width, y + 30), _PAPER)
    pen = ImageDraw.Draw(drawn)
    for (text, label), (x, y) in zip(entries, places, strict=True):
        box = (x, y + 3, x + 17, y + 20)
        if label == IGNORE:
            drawn.paste(Image.fromarray(_hatched(np.full((18, 18, 3), 127, np.uint8), np.ones((18, 18), bool))), (x, y + 3))
        elif label:
            pen.rectangle(box, _PAPER, tuple(int(part) for part in colours[label]), 4)
        else:
            pen.rectangle(box, _PANEL)
        pen.text((x + 26, y + 2), fitting(text, font, width - 2 * _MARGIN - 26), _INK, font)
    return drawn


def _left(column: int) -> int:
    """Where a column of pictures begins; the image itself stands a little apart from its draws."""
    return _MARGIN + column * (TILE + _GAP) + (_GAP if column else 0)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    """The text in lines that fit, broken after commas."""
    first, *rest = text.split(", ")
    lines = [first]
    for part in rest:
        longer = f"{lines[-1]}, {part}"
        if font.getlength(longer) > room:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return [fitting(line, font, room) for line in lines]
