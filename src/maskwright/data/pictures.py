"""Colours of classes, drawing labels and outlines, and lettering: shared by panels, overlays, reports and previews."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFont

from maskwright.data.dataset import IGNORE
from maskwright.runtime import ensure_matplotlib

IGNORED_COLOUR = (127, 127, 127)
MISSED_COLOUR, ADDED_COLOUR = (0, 114, 178), (213, 94, 0)
NEAR = 40.0  # distance in CIE L*a*b* (ΔE) up to which a line of one colour is hard to see on the other
# background dark, then hues that stay apart for most colour-blind people (after Okabe and Ito), then more
_FIRST = (
    (24, 28, 36), (0, 158, 115), (230, 159, 0), (86, 180, 233), (213, 94, 0),
    (204, 121, 167), (240, 228, 66), (0, 114, 178), (148, 103, 189), (140, 86, 75),
)  # fmt: skip


def palette(num_classes: int) -> np.ndarray:
    """An RGB colour for each class and, at IGNORE, grey. → 256 3 uint8

    >>> palette(2)[1].tolist()
    [0, 158, 115]
    """
    colours = np.full((256, 3), IGNORED_COLOUR, np.uint8)
    for index in range(min(num_classes, IGNORE)):
        colours[index] = _FIRST[index] if index < len(_FIRST) else _further(index)
    return colours


def css(colour: Sequence[int] | np.ndarray) -> str:
    """
    >>> css((0, 158, 115))
    '#009e73'
    """
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def indexed_png(labels: np.ndarray, num_classes: int) -> bytes:
    """An indexed PNG: its values are the class numbers. labels H W uint8"""
    picture = Image.fromarray(labels)  # grey, which putpalette turns into an indexed picture
    picture.putpalette(palette(num_classes).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def _further(index: int) -> tuple[int, ...]:
    """Hues a golden angle apart, at three brightnesses."""
    hue = int(index * 137.508 / 2) % 180
    pixel = np.array([[[hue, 150 + 35 * (index % 3), 235 - 45 * (index % 4)]]], np.uint8)
    return tuple(int(part) for part in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])


def shown(image: np.ndarray) -> np.ndarray:
    """Three of an image's bands, for people to look at. H W C → H W 3"""
    return (
        image
        if image.shape[2] == 3
        else np.ascontiguousarray(image[..., [0, min(1, image.shape[2] - 1), min(2, image.shape[2] - 1)]])
    )


def colourise(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Labels as a picture. H W uint8 → H W 3 uint8"""
    return cv2.LUT(cv2.merge([labels] * 3), colours[np.newaxis])


def contrasting(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours of two classes whose second stands out from the image: the palette's own, another where that is too near.

    image H W 3, colours 256 3 → 256 3
    """
    pixels = _lab(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA))
    choices = np.array([colours[1], *_FIRST[2:8]], np.uint8)
    apart = np.linalg.norm(pixels[:, :, None] - _lab_of(choices.tobytes()), axis=-1).reshape(-1, len(choices))
    tenth = (len(apart) - 1) // 10  # of 32 × 32 a tenth lies between two; percentile, median and unique import numpy.ma
    apart = np.partition(apart, (tenth, tenth + 1), axis=0)[tenth : tenth + 2].mean(axis=0)
    found = colours.copy()
    found[1] = choices[0 if apart[0] > NEAR else int(apart.argmax())]
    return found


def _lab(pixels: np.ndarray) -> np.ndarray:
    """Colours in which distances are as they are seen. H W 3 uint8 → H W 3"""
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


@functools.lru_cache
def _lab_of(colours: bytes) -> np.ndarray:
    return _lab(np.frombuffer(colours, np.uint8).reshape(1, -1, 3))


def overlay(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, strength: float = 0.45) -> np.ndarray:
    """The image with every class but the first tinted, and its outline drawn. H W 3, H W → H W 3

    An outline that would be hard to see on the image stands on a wider one in black or white.
    """
    drawn = cv2.addWeighted(image, 1 - strength, colourise(labels, colours), strength, 0)
    cv2.copyTo(image, (labels == 0).view(np.uint8), drawn)
    width = max(1, round(max(image.shape[:2]) / 400))
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
    for index in np.flatnonzero(counts[:IGNORE]).tolist():
        if index == 0:
            continue
        lines, _ = cv2.findContours((labels == index).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        x, y = np.concatenate(lines)[:, 0].T
        colour = _lab_of(colours[index].tobytes())
        near = np.linalg.norm(_lab(image[None, y, x]) - colour, axis=-1) <= NEAR
        if 2 * near.sum() >= near.size:
            cv2.drawContours(
                drawn, lines, -1, (0, 0, 0) if colour[0, 0, 0] > 50 else (255, 255, 255), width + 2, cv2.LINE_AA
            )
        cv2.drawContours(drawn, lines, -1, colours[index].tolist(), width, cv2.LINE_AA)
    return drawn


def error_picture(image: np.ndarray, truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Every wrong pixel in colour, over the image in pale grey, which no colour of an image can hide.

    Of two classes what was missed is blue and what was added orange; of more, which may have no background, a wrong
    pixel has the colour of the class that was predicted there, the first class too. image H W 3, truth and labels H W →
    H W 3
    """
    grey = 0.4 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) + 0.55 * 255
    shown = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    wrong = truth != labels
    colours = np.array([MISSED_COLOUR, ADDED_COLOUR], np.uint8) if num_classes == 2 else palette(num_classes)
    shown[wrong] = colours[labels[wrong]]
    shown[truth == IGNORE] = IGNORED_COLOUR
    return shown


def fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, cut in its middle where it is too long.

    >>> fitting("a_very_long_name_of_an_image", typeface(15), 120)
    'a_very…_image'
    """
    if font.getlength(text) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
        if font.getlength(cut) <= room:
            return cut
    return "…"


@functools.cache
def typeface(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The letters of sheets of pictures."""
    ensure_matplotlib()
    import matplotlib  # late: only a sheet needs its typeface, which holds most alphabets

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
