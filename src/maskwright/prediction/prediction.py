"""`Prediction`: what a network says of one image; and the image as a network sees it. Without torch."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from maskwright.data.dataset import Bands
from maskwright.data.decoding import read_bytes
from maskwright.data.images import decode_raw, finite_pixels, to_uint8
from maskwright.data.pictures import contrasting, overlay, palette, shown
from maskwright.data.rasters import Georeference, georeferenced, raster_pixels, read_georeference
from maskwright.errors import DataError, UsageError, must

_ONE_BY_ONE = "Predict its images one by one, or have them written to files: maskwright predict RUN FOLDER --out DIR."
_GREY = (0, 0, 0)  # the bands chosen where every image of a data set is grey


@dataclass(frozen=True)
class Prediction:
    """Labels and probabilities of one image at its own size.

    image H W 3 uint8, labels H W uint8 (IGNORE where there are no data: a raster's nodata, NaN), probabilities K H W
    float32; `georeference` says where a georeferenced raster lies.

    Of a run that was evaluated, probabilities are calibrated: they are those at the `temperature` that was fitted on
    val. Labels and thresholds are what they were before: they go by the network's own, which `temperature` None leaves
    as they are.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    georeference: Georeference | None = None
    temperature: float | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Share of the labelled pixels each class has."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return {
            name: float(counts[index] / max(1, counts[: len(self.classes)].sum()))
            for index, name in enumerate(self.classes)
        }

    def overlay(self) -> np.ndarray:
        """The image, its classes tinted and outlined; of two classes in a colour it has little of. H W 3 uint8"""
        return draw_overlay(shown(self.image), self.labels, len(self.classes))

    def polygons(self) -> list[dict[str, Any]]:
        """A GeoJSON feature for each region: of two classes the foreground's, of more every class's.

        Along the edges of pixels, x y from the upper left; of a georeferenced raster in the coordinates of its system.
        """
        from maskwright.prediction.outlines import features  # late: few ask for them

        return features(self.labels, self.classes, self.georeference.transform if self.georeference else None)

    def __str__(self) -> str:
        height, width = self.labels.shape
        message = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"Prediction {width}x{height}: {message}"

    __repr__ = __str__

    def _repr_png_(self) -> bytes:
        return png_bytes(self.overlay())


def draw_overlay(image: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """An image with its classes tinted; of two classes in a colour that it has little of. H W 3, H W → H W 3 uint8"""
    colours = palette(num_classes)
    return overlay(image, labels, contrasting(image, colours) if num_classes == 2 else colours)


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file of grey or RGB pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def is_image(given: Any) -> bool:
    """Whether something is one image: a path, a PIL image, or an array or tensor of at most three dimensions."""
    return isinstance(given, str | Path | Image.Image) or getattr(given, "ndim", 4) <= 3


def read_pixels(image: Any, bands: Bands, any_depth: bool) -> tuple[np.ndarray, np.ndarray | None, Georeference | None]:
    """The image as the network sees it, where it holds data (None: everywhere), and where it lies if it says so.

    A path, a PIL image, H W C uint8 as the network sees it, or the same as a tensor C H W.
    """
    if isinstance(image, Image.Image):
        raw, name = decoded_pixels(image), Path(getattr(image, "filename", "") or "image")
        return as_seen(raw, bands, name, any_depth), finite_pixels(raw), None
    if hasattr(image, "detach"):  # of torch, which need not be there
        image = image.detach().cpu().numpy()
        image = np.ascontiguousarray(np.moveaxis(image, 0, -1)) if image.ndim == 3 else image
    if isinstance(image, np.ndarray):
        return _refuse_other_pixels(image, bands.num_channels), None, None
    if not isinstance(image, str | Path):
        wish = "a path, a PIL image, an array or tensor of its pixels, or an iterable of such"
        raise UsageError(must("image", wish, type(image).__name__))
    path = Path(image)
    if path.is_dir():
        raise DataError(f"`{path}` must be a file; it is a folder. {_ONE_BY_ONE}")
    if not georeferenced(path):
        return decode_pixels(read_bytes(path), path, bands, any_depth)
    raw, valid = raster_pixels(path)
    return as_seen(raw, bands, path, any_depth), valid, read_georeference(path)


def _refuse_other_pixels(image: np.ndarray, channels: int) -> np.ndarray:
    """An array as the network sees it; one grey plane counts as RGB."""
    if image.ndim == 2 and image.dtype == np.uint8 and channels == 3:
        return np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != channels or image.dtype != np.uint8 or 0 in image.shape:
        kind = "RGB" if channels == 3 else "the run's bands"
        wish = f"height × width × {channels} of uint8 ({kind}), or a tensor {channels} × height × width"
        raise DataError(must("image", wish, f"shape {image.shape} of {image.dtype}", "Convert it first."))
    return image


def decoded_pixels(image: Image.Image) -> np.ndarray:
    """A PIL image as its file would be read: upright, RGB but where its values are deeper. → H W C"""
    upright = ImageOps.exif_transpose(image)
    return np.atleast_3d(np.array(upright if upright.mode.startswith(("I", "F")) else upright.convert("RGB")))


def decode_pixels(data: bytes, path: Path, bands: Bands, any_depth: bool) -> tuple[np.ndarray, np.ndarray | None, None]:
    """The same of the bytes of a file, wherever it lies."""
    raw = decode_raw(data, path)
    return as_seen(raw, bands, path, any_depth), finite_pixels(raw), None


def as_seen(raw: np.ndarray, bands: Bands, path: Path, any_depth: bool) -> np.ndarray:
    """An image in its file's depth and bands as the network sees it; `path` is for messages. → H W C uint8"""
    if not any_depth:
        refuse_other_kind(raw, bands, path)
    return to_uint8(raw, bands, path)


def refuse_other_kind(raw: np.ndarray, bands: Bands, path: Path) -> None:
    """Tones chosen on 16-bit files make an 8-bit one black; 16 bits cut to 8, or one of three colours, is a guess."""
    wish = "an image of more than 8 bits" if bands.low else "an 8-bit image"
    if (raw.dtype == np.uint8) == bool(bands.low):
        raise DataError(f"`{path}` must be {wish}, as those the run was trained on; got {raw.dtype}. Convert it first.")
    if bands.chosen == _GREY and raw.shape[2] == 3 and not (raw == raw[..., :1]).all():
        raise DataError(
            f"`{path}` must be a grey image, as those the run was trained on; got colours. Convert it first."
        )
