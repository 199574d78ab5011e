"""Decoding image files to RGB uint8 and mask files to raw label values, whole or not at all."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from maskwright.errors import DataError

_GREY_MODES = {"1", "L", "LA", "P", "PA"}
_DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_image(data: bytes, path: Path) -> np.ndarray:
    """Bytes of an image file → H W 3 uint8 RGB, turned upright as its EXIF says."""
    with _opened(data, path, "image") as image:
        if image.mode in _DEEP_MODES:
            raise DataError(f"`{path}` must be an 8-bit image; got mode {image.mode}. Convert it to 8 bits first.")
        upright = ImageOps.exif_transpose(image)
        return np.array(upright.convert("RGB"))  # a copy, because Pillow's own cannot be written to and torch warns of that


def decode_mask(data: bytes, path: Path) -> np.ndarray:
    """Bytes of a mask file → H W raw values (uint8 or uint16): palette indices, grey values, never colours."""
    with _opened(data, path, "mask") as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("P", "L", "1"):
            return np.asarray(image if image.mode != "1" else image.convert("L"))
        if image.mode in ("PA", "LA"):
            return np.asarray(image)[..., 0]
        values = np.asarray(image)
        if values.ndim == 2:
            return _whole_numbers(values, path)
        channels = values[..., :3]
        if not (channels == channels[..., :1]).all():
            fix = "Save each class as one grey or palette value (0, 1, 2, …)."
            raise DataError(f"`{path}` must hold one value a pixel; got a colour picture (mode {image.mode}). {fix}")
        return np.ascontiguousarray(channels[..., 0])


def image_size(path: Path) -> tuple[int, int]:
    """Height and width from the file's head, turned upright, without decoding pixels."""
    try:
        with quiet(), Image.open(path) as image:
            turned = Image.Image.getexif(image).get(0x0112, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(_unreadable(path, "image", error)) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's remarks on odd EXIF and palettes change nothing here.

    Filters belong to the process, and threads that set and restore them leave each other's behind
    (https://docs.python.org/3.11/library/warnings.html#temporarily-suppressing-warnings): only the main thread does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _opened:
    """Open and fully load an image, every way of being broken told as one sentence."""

    def __init__(self, data: bytes, path: Path, kind: str) -> None:
        self.data, self.path, self.kind = data, path, kind

    def __enter__(self) -> Image.Image:
        try:
            with quiet():
                self.image = Image.open(io.BytesIO(self.data))
                if self.kind == "image" and any("16" in str(tile[3]) for tile in self.image.tile):
                    # Pillow would cut 16-bit colours to 8 bits without a word
                    raise DataError(f"`{self.path}` must be an 8-bit image; got 16 bits a channel. Convert it to 8 bits first.")
                self.image.load()
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(_unreadable(self.path, self.kind, error)) from None
        return self.image

    def __exit__(self, *_: object) -> None:
        self.image.close()


def _unreadable(path: Path, kind: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"`{path}` must be an {kind} file; it is not there. Check the path."
    if isinstance(error, UnidentifiedImageError):
        found = "an empty file" if path.is_file() and path.stat().st_size == 0 else "something else under that name"
        return f"`{path}` must be a readable {kind}; got {found}. Replace or remove it."
    return f"`{path}` must be a whole, readable {kind}; got {str(error) or type(error).__name__}. Replace or remove it."


def _whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind == "f" and not (values == np.round(values)).all():
        raise DataError(f"`{path}` must hold whole numbers as labels; got fractions. Save labels as integers.")
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"`{path}` must hold labels from 0 to 65535; got {values.min()} to {values.max()}. Renumber them.")
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)
