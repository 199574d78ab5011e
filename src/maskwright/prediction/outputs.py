"""What is written of a prediction: label maps, overlays, probabilities, uncertainty, outlines; filled band by band.

Pictures get PNG files, rasters (and large TIFF files) TIFF files that lie where they do, written by windows.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import validate_fits_memory
from maskwright.data.pictures import css, indexed_png, palette
from maskwright.data.rasters import new_like
from maskwright.errors import UsageError, printable, unknown
from maskwright.files import temporary_beside
from maskwright.prediction.combine import uncertainty
from maskwright.prediction.network import Network
from maskwright.prediction.outlines import Affine, coco, geojson, geopackage, geopackage_writer, without_small
from maskwright.prediction.prediction import draw_overlay, png_bytes
from maskwright.prediction.sources import Source
from maskwright.prediction.threshold import calibrated, labels_from_probabilities

KINDS = ("labels", "overlay", "probabilities", "probabilities-float", "contours", "coco", "polygons")
LEGEND = "legend.svg"  # of more than two classes: an image's own files are PNG, TIFF and JPEG
_SHAPES = {"contours": "-contours.geojson", "coco": "-coco.json", "polygons": "-polygons.gpkg"}
ENDS = ("-overlay.jpg", ".png", ".tif", "-probabilities.tif", "-uncertainty.png", "-uncertainty.tif", *_SHAPES.values())
CERTAIN = 254  # what a probability of 1 is in 8 bits; 255 is no data
_MOST_IN_JPEG = 65_500  # pixels a side, of libjpeg


@dataclass(frozen=True)
class Wanted:
    """What is to be written, and how labels are made."""

    kinds: tuple[str, ...] = ("labels", "overlay")
    threshold: float | None = None
    uncertainty: bool = False
    min_area: int = 0

    @property
    def probabilities(self) -> str | None:
        """The kind of probabilities that is written."""
        return next((kind for kind in self.kinds if kind.startswith("probabilities")), None)

    def reduce(self, network: Network) -> Callable[[np.ndarray], np.ndarray]:
        """What is kept of a block of probabilities: labels, then uncertainty and probabilities where they are written.

        K h w float32 → P h w uint8, or float32 where probabilities are written so
        """
        num, kind, threshold = network.classes.num_classes, self.probabilities, network.threshold_for(self.threshold)

        def keep(block: np.ndarray) -> np.ndarray:
            planes = 1 + self.uncertainty + (num if kind else 0)
            kept = np.empty((planes, *block.shape[1:]), np.float32 if kind == "probabilities-float" else np.uint8)
            kept[0] = labels_from_probabilities(block[:num], threshold)
            if self.uncertainty:
                kept[1] = np.rint(uncertainty(block, num) * CERTAIN)
            if kind:
                found = calibrated(block[:num], network.temperature)
                kept[-num:] = found if kind == "probabilities-float" else np.rint(found * CERTAIN)
            return kept

        return keep


def read_kinds(text: str) -> tuple[str, ...]:
    """The kinds of files named with --write.

    >>> read_kinds("labels,contours")
    ('labels', 'contours')
    """
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for kind in kinds or ("",):
        if kind not in KINDS:
            raise UsageError(unknown("kind of file", kind, KINDS, "--write takes several with commas between."))
    if {"probabilities", "probabilities-float"} <= {*kinds}:
        raise UsageError("`--write` must name one kind of probabilities; got both, which are one file. Leave one out.")
    if "polygons" in kinds:
        geopackage_writer()
    return kinds


class Outputs:
    """The files of one image while it is predicted; what was begun is taken away again unless `finish` was reached."""

    def __init__(self, out: Path, name: str, image: Path, source: Source, wanted: Wanted, names: Sequence[str]) -> None:
        self.out, self.name, self.image, self.source, self.wanted, self.names = out, name, image, source, wanted, names
        self._open = ExitStack()  # the rasters that are written
        self._files: list[tuple[str, Path]] = []
        height, width = source.height, source.width
        regions = bool({*wanted.kinds} & {*_SHAPES} or wanted.min_area)  # which are numbered, in four bytes a pixel
        whole = regions or source.raster is None
        if whole:
            validate_fits_memory(image, (height, width), 4 if regions else 1)
        self.labels = np.empty((height, width), np.uint8) if whole else None
        step = source.step
        self.small = None if whole else np.empty((-(-height // step), -(-width // step)), np.uint8)
        self.uncertain = np.empty((height, width), np.uint8) if wanted.uncertainty and source.raster is None else None
        self._rasters: dict[str, Any] = {}
        self._planes: _Planes | None = None

    def __enter__(self) -> Outputs:
        try:
            self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _begin(self) -> None:
        source, wanted, num = self.source, self.wanted, len(self.names)
        if source.raster is not None:
            if "labels" in wanted.kinds:
                self._raster("labels", ".tif", 1, "uint8", IGNORE, palette(num))
            if wanted.uncertainty:
                self._raster("uncertainty", "-uncertainty.tif", 1, "uint8", IGNORE)
            if wanted.probabilities:
                floats = wanted.probabilities == "probabilities-float"
                self._raster("probabilities", "-probabilities.tif", num, "float32" if floats else "uint8",
                             np.nan if floats else IGNORE)  # fmt: skip
                self._rasters["probabilities"].descriptions = tuple(self.names)
        elif wanted.probabilities:
            self._planes = _Planes(
                self._new("-probabilities.tif"), self.names, (source.height, source.width), wanted.probabilities
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # GDAL fails anew where it failed before
            with contextlib.suppress(Exception) if kind else contextlib.nullcontext():
                self._open.__exit__(kind, error, trace)
        finally:
            for _, path in self._files:
                for one in (path, path.with_name(path.name + ".aux.xml")):
                    one.unlink(missing_ok=True)

    def _new(self, end: str) -> Path:
        path = temporary_beside(self.out / f"x{end}")
        self._files.append((self.name + end, path))
        return path

    def _raster(
        self, kind: str, end: str, count: int, dtype: str, nodata: float, colours: np.ndarray | None = None
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large TIFF that lies nowhere is meant
            new = new_like(self._new(end), self.source.raster, count, dtype, nodata, colours)
            self._rasters[kind] = self._open.enter_context(new)

    def add(self, top: int, planes: np.ndarray) -> None:
        """A band of what `Wanted.reduce` keeps. P h W"""
        bottom = top + planes.shape[1]
        valid = self.source.valid(top, bottom)
        if valid is not None:
            nan = self.wanted.probabilities == "probabilities-float"
            planes[1:, ~valid] = np.nan if nan else IGNORE
            planes[0, ~valid] = IGNORE
        place = ((top, bottom), (0, self.source.width))
        labels = planes[0].astype(np.uint8, copy=False)
        if self.labels is not None:
            self.labels[top:bottom] = labels
        if self.small is not None:
            step = self.source.step
            rows = labels[-top % step :: step, ::step]
            self.small[-(-top // step) : -(-top // step) + len(rows)] = rows
        if "labels" in self._rasters and not self.wanted.min_area:
            self._rasters["labels"].write(labels, 1, window=place)
        if self.wanted.uncertainty:
            seen = planes[1] if planes.dtype == np.uint8 else np.nan_to_num(planes[1], nan=IGNORE).astype(np.uint8)
            if self.uncertain is not None:
                self.uncertain[top:bottom] = seen
            else:
                self._rasters["uncertainty"].write(seen, 1, window=place)
        if self.wanted.probabilities:
            found = planes[-len(self.names) :]
            if self._planes is not None:
                self._planes.write(top, found)
            else:
                self._rasters["probabilities"].write(found, window=place)

    def finish(self) -> Iterator[tuple[str, bytes | Path]]:
        """Names and contents of the files, when all bands were added."""
        wanted, num, raster = self.wanted, len(self.names), self.source.raster
        if wanted.min_area:
            assert self.labels is not None
            self.labels = without_small(self.labels, wanted.min_area)
            if "labels" in self._rasters:
                self._rasters["labels"].write(self.labels, 1)
        place, crs = _place(raster)
        if "overlay" in wanted.kinds:
            yield f"{self.name}-overlay.jpg", self._overlay()
        if "polygons" in wanted.kinds:
            assert self.labels is not None
            geopackage(self._new(_SHAPES["polygons"]), self.labels, self.names, place, crs)
        self._open.close()
        yield from self._files
        if raster is None and "labels" in wanted.kinds:
            assert self.labels is not None
            yield f"{self.name}.png", indexed_png(self.labels, num)
        if self.uncertain is not None:
            yield f"{self.name}-uncertainty.png", png_bytes(self.uncertain)
        if "contours" in wanted.kinds:
            assert self.labels is not None
            yield self.name + _SHAPES["contours"], geojson(self.labels, self.names, place, crs)
        if "coco" in wanted.kinds:
            assert self.labels is not None
            yield self.name + _SHAPES["coco"], coco(self.labels, self.names, self.image.name)

    def _overlay(self) -> bytes:
        """The image with its classes tinted; of a raster of more pixels than a person looks at, every so many-th."""
        step, image = self.source.step, self.source.small()
        labels = self.small if self.labels is None else self.labels[::step, ::step]
        assert labels is not None
        drawn = Image.fromarray(draw_overlay(image, labels, len(self.names)))
        drawn.thumbnail((_MOST_IN_JPEG, _MOST_IN_JPEG))  # changes nothing that is smaller
        buffer = io.BytesIO()
        drawn.save(buffer, "JPEG", quality=90)
        return buffer.getvalue()


class _Planes:
    """A TIFF of a plane a class that is filled by rows; by plain writing, because a map of it dies on a full disk."""

    def __init__(self, path: Path, names: Sequence[str], size: tuple[int, int], kind: str) -> None:
        import tifffile

        self.path, self.size = path, size
        shape, numbers = (len(names), *size), np.float32 if kind == "probabilities-float" else np.uint8
        mapped = tifffile.memmap(path, shape=shape, dtype=numbers, photometric="minisblack", planarconfig="separate",
                                 metadata={"Labels": [*names]})  # fmt: skip
        self.start, self.order = int(mapped.offset), mapped.dtype  # type: ignore[attr-defined]

    def write(self, top: int, planes: np.ndarray) -> None:
        """Rows of each plane. K h W"""
        height, width = self.size
        with self.path.open("r+b") as file:
            for index, plane in enumerate(planes):
                file.seek(self.start + (index * height + top) * width * self.order.itemsize)
                file.write(np.ascontiguousarray(plane, self.order).data)


def _place(raster: Any) -> tuple[Affine | None, str]:
    """How corners of pixels become places on Earth, and the system's name: EPSG where it has such a number."""
    if raster is None or raster.transform.is_identity:
        return None, ""
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    code = raster.crs.to_epsg() if raster.crs else None
    return (a, b, c, d, e, f), f"EPSG:{code}" if code else raster.crs.to_wkt() if raster.crs else ""


def legend(names: Sequence[str]) -> bytes:
    """The colour of each class in label files and overlays, as SVG."""
    rows = [
        f'<rect x="8" y="{8 + 24 * index}" width="16" height="16" fill="{css(colour)}"/>'
        f'<text x="32" y="{21 + 24 * index}">{index} {escape(printable(name))}</text>'
        for index, (name, colour) in enumerate(zip(names, palette(len(names)), strict=False))
    ]
    width, height = 48 + 9 * max(map(len, names)), 16 + 24 * len(names)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        'font-size="14">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *rows, "</svg>\n"]).encode()
