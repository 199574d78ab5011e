"""A sheet of training inputs: each image as it is, then as training draws it, with the outlines of its mask.

    rows = preview_rows(samples, dataset, num_images=8, num_draws=5)
    save_sheet(Path("sheet.png"), draw_sheet(rows, dataset, ["my data", "augment standard"]))

The inputs come from the samples training itself uses, by the keys it uses: nothing here draws or warps on its own.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin

from maskwright.data.augment import augment, place
from maskwright.data.dataset import IGNORE, Dataset
from maskwright.data.decoding import open_picture
from maskwright.data.geometry import corners_of, shrink_to
from maskwright.data.loader import TrainSamples
from maskwright.data.pictures import IGNORED_COLOUR, fitting, palette, shown, typeface
from maskwright.errors import DataError, UsageError, as_typed
from maskwright.files import write_atomically

TILE = 256  # pixels: longest side of a picture on the sheet
_GAP, _MARGIN, _LINE = 12, 44, 24
_PAPER, _FRAME = (255, 255, 255), (205, 208, 213)
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
    """One image: its name, itself, what training draws from it, and (view crop) the part each draw shows (4 2)."""

    name: str
    size: tuple[int, int]
    original: Shot
    draws: tuple[Shot, ...]
    windows: tuple[np.ndarray, ...] = ()


def preview_rows(samples: TrainSamples, dataset: Dataset, num_images: int, num_draws: int) -> list[PreviewRow]:
    """Training images spread over the set, each with its first inputs, one an epoch."""
    places = np.unique(
        np.linspace(0, len(samples.indices) - 1, min(num_images, len(samples.indices))).round().astype(int)
    )
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
        windows.append(corners_of(matrix, view.size))
        found, labels = samples[key]
        draws.append(Shot(shown(found), labels, f"epoch {key[0] + 1}{aimed}"))
    name, size = dataset.items[item].record.id, (mask.shape[0], mask.shape[1])
    if view.kind == "crop":
        return PreviewRow(
            name, size, Shot(shown(image), mask, "the whole image, windows numbered"), tuple(draws), tuple(windows)
        )
    plain, labels = augment(image, mask, view, (), np.random.default_rng(0))
    return PreviewRow(name, size, Shot(shown(plain), labels, "not augmented"), tuple(draws))


def draw_sheet(rows: Sequence[PreviewRow], dataset: Dataset, heading: Sequence[str]) -> np.ndarray:
    """The rows as one picture: heading, rows of pictures, and what the outlines mean. → H W 3 uint8"""
    colours = palette(dataset.classes.num_classes)
    pictures = [
        [_with_windows(_outlined(row.original, colours), row), *(_outlined(shot, colours) for shot in row.draws)]
        for row in rows
    ]
    tall = [max(picture.shape[0] for picture in line) for line in pictures]
    width = 2 * _MARGIN + max(map(len, pictures)) * (TILE + _GAP) - _GAP
    lines = [line for text in heading[1:] for line in textwrap.wrap(text, (width - 2 * _MARGIN) // 8)]
    entries = _legend(rows, dataset)
    a_row = max(1, (width - 2 * _MARGIN) // (TILE + _GAP))
    top = _MARGIN + 62 + _LINE * len(lines)
    bottom = top + sum(tall) + len(rows) * (3 * _LINE + 10)
    sheet = Image.new("RGB", (width, bottom + 30 * -(-len(entries) // a_row) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)

    def write(at: tuple[int, int], text: str, size: int, ink: tuple[int, int, int] = _FAINT, room: int = 0) -> None:
        font = typeface(size, ink == _INK)
        pen.text(at, fitting(text, font, room or width - 2 * _MARGIN), ink, font)

    write((_MARGIN, _MARGIN), heading[0], 28, _INK)
    for number, text in enumerate(lines):
        write((_MARGIN, _MARGIN + 46 + _LINE * number), text, 15)
    for row, line, high in zip(rows, pictures, tall, strict=True):
        write((_MARGIN, top), f"{row.name}  {row.size[1]} × {row.size[0]}", 16, _INK)
        for column, (picture, shot) in enumerate(zip(line, (row.original, *row.draws), strict=True)):
            left, height = _MARGIN + column * (TILE + _GAP), picture.shape[0]
            sheet.paste(Image.fromarray(picture), (left, top + _LINE + 4))
            # a white sky must not run into the paper
            frame = (left - 1, top + _LINE + 3, left + picture.shape[1], top + _LINE + 4 + height)
            pen.rectangle(frame, None, _FRAME)
            number = f"{column}: " if column and row.windows else ""
            write((left, top + _LINE + 10 + height), number + shot.caption, 13, room=TILE)
        top += high + 3 * _LINE + 10
    for number, (text, label) in enumerate(entries):
        x, y = _MARGIN + number % a_row * (TILE + _GAP), bottom + 30 * (number // a_row)
        if label == IGNORE:
            grey = np.full((18, 18, 3), 127, np.uint8)
            sheet.paste(Image.fromarray(_hatched(grey, np.ones((18, 18), bool))), (x, y))
        else:
            outline = tuple(int(part) for part in colours[label]) if label else _FRAME
            pen.rectangle((x, y, x + 17, y + 17), _PAPER, outline, 4 if label else 1)
        write((x + 26, y), text, 13, room=TILE - 26)
    return np.asarray(sheet)


def save_sheet(path: Path, pixels: np.ndarray) -> None:
    """Write the sheet as PNG; see `validate_sheet_path`."""
    validate_sheet_path(path)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", _MADE_BY)
    write_atomically(path, lambda temporary: Image.fromarray(pixels).save(temporary, pnginfo=info, optimize=True))


def validate_sheet_path(path: Path) -> None:
    """Stop where a file stands that isn't a sheet of ours: nobody's picture may be lost to a slip of the name."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"`--out` must end in .png; got {path}. Write --out {as_typed(path.with_suffix('.png'))}.")
    if path.exists() and not _is_ours(path):
        raise UsageError(
            f"`--out` must be a new file or an earlier preview; got {path}, which is neither. Choose another name."
        )


def _is_ours(path: Path) -> bool:
    try:
        with open_picture(path, path) as picture:
            return picture.info.get("Software") == _MADE_BY
    except DataError:
        return False


def _with_windows(picture: np.ndarray, row: PreviewRow) -> np.ndarray:
    """The image itself with the parts that the draws show, numbered as they are."""
    scale = picture.shape[1] / row.size[1]
    for number, window in enumerate(row.windows, start=1):
        corners = np.round(window * scale).astype(np.int32)
        x, y = np.clip(corners[0] + (3, 12), 0, (picture.shape[1] - 12, picture.shape[0] - 3)).tolist()
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.polylines(picture, [corners], True, colour, thickness)
            cv2.putText(picture, str(number), (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
    return picture


def _outlined(shot: Shot, colours: np.ndarray) -> np.ndarray:
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
    return cv2.resize(_with_lines(fine, labels, colours), (wide, high), interpolation=cv2.INTER_AREA)


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


def _legend(rows: Sequence[PreviewRow], dataset: Dataset) -> list[tuple[str, int]]:
    """What the outlines mean: words and class number."""
    names = dataset.classes.names
    entries = [(name, label) for label, name in enumerate(names) if label] + [(f"{names[0]} (not outlined)", 0)]
    shots = [shot for row in rows for shot in (row.original, *row.draws)]
    ignored = any((shot.mask == IGNORE).any() for shot in shots)
    return entries + ([("ignored (neither learned nor scored)", IGNORE)] if ignored else [])
