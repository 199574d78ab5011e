"""`Prediction`: what a network says of one image; and the image as a network sees it. Without torch, for exported models too."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

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

    image H W 3 uint8, labels H W uint8 (IGNORE where there are no data: a raster's nodata, NaN), probabilities K H W float32;
    `georeference` says where a georeferenced raster lies.

    Of a run that was evaluated, probabilities are calibrated: they are those at the `temperature` that was fitted on val. Labels
    and thresholds are what they were before: they go by the network's own, which `temperature` None leaves as they are.
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
        return {name: float(counts[index] / max(1, counts[: len(self.classes)].sum())) for index, name in enumerate(self.classes)}

    def overlay(self) -> np.ndarray:
        """The image with its classes tinted and outlined; of two classes in a colour that the image has little of. H W 3 uint8"""
        image, colours = shown(self.image), palette(len(self.classes))
        return overlay(image, self.labels, contrasting(image, colours) if len(self.classes) == 2 else colours)

    def __str__(self) -> str:
        height, width = self.labels.shape
        told = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"Prediction {width}x{height}: {told}"

    __repr__ = __str__

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.overlay()).save(buffer, "PNG")
        return buffer.getvalue()


def read_pixels(
    image: np.ndarray | str | Path, bands: Bands, any_depth: bool
) -> tuple[np.ndarray, np.ndarray | None, Georeference | None]:
    """The image as the network sees it, where it holds data (None: everywhere), and where it lies if it says so."""
    if isinstance(image, np.ndarray):
        channels = bands.num_channels
        if image.ndim == 2 and image.dtype == np.uint8 and channels == 3:
            return np.repeat(image[..., None], 3, axis=2), None, None
        if image.ndim != 3 or image.shape[2] != channels or image.dtype != np.uint8 or 0 in image.shape:
            got = f"shape {image.shape} of {image.dtype}"
            kind = "RGB" if channels == 3 else "the run's bands"
            raise DataError(must("image", f"height × width × {channels} of uint8 ({kind})", got, "Convert it first."))
        return image, None, None
    if not isinstance(image, str | Path):
        raise UsageError(must("image", "the path of one image, or an array of its pixels", type(image).__name__, _ONE_BY_ONE))
    path = Path(image)
    if path.is_dir():
        raise DataError(f"`{path}` must be a file; it is a folder. {_ONE_BY_ONE}")
    if georeferenced(path):
        raw, valid = raster_pixels(path)
        place = read_georeference(path)
    else:
        return decode_pixels(read_bytes(path), path, bands, any_depth)
    return as_seen(raw, bands, path, any_depth), valid, place


def decode_pixels(data: bytes, path: Path, bands: Bands, any_depth: bool) -> tuple[np.ndarray, np.ndarray | None, None]:
    """The same of the bytes of a file, wherever it lies."""
    raw = decode_raw(data, path)
    return as_seen(raw, bands, path, any_depth), finite_pixels(raw), None


def as_seen(raw: np.ndarray, bands: Bands, path: Path, any_depth: bool) -> np.ndarray:
    """An image in the depth and bands of its file as the network sees it; `path` is what messages call it. → H W C uint8"""
    if not any_depth:
        refuse_other_kind(raw, bands, path)
    return to_uint8(raw, bands, path)


def refuse_other_kind(raw: np.ndarray, bands: Bands, path: Path) -> None:
    """Tones settled on 16-bit files make an 8-bit one black; 16 bits cut to 8, or one of three colours, would be a guess."""
    wish = "an image of more than 8 bits" if bands.low else "an 8-bit image"
    if (raw.dtype == np.uint8) == bool(bands.low):
        raise DataError(f"`{path}` must be {wish}, as those the run was trained on; got {raw.dtype}. Convert it first.")
    if bands.chosen == _GREY and raw.shape[2] == 3 and not (raw == raw[..., :1]).all():
        raise DataError(f"`{path}` must be a grey image, as those the run was trained on; got colours. Convert it first.")
