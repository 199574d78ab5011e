"""Rasters that know where on Earth they lie: read by window through rasterio, nodata marked, the place kept for label
files.

    read_georeference("scene.tif")             # Georeference(crs='PROJCS[…', transform=(10.0, 0.0, 500000.0, …))
    raster_pixels(path, (0, 2048, 2048, 2048)) # only this window is decoded

rasterio is an extra (`geo`) and imported where it is needed.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Window
from maskwright.data.decoding import MOST_IN_TIFF, decoding, read_bytes, validate_decoded_size
from maskwright.data.images import TIFF_STARTS, Head, open_tiff, without_fill
from maskwright.errors import DataError, install_command, listed

# GDAL knows two hundred kinds of files, some of which name others, on the disk or the network, whatever a file's name
# is
_DRIVERS = {
    **dict.fromkeys(TIFF_STARTS, "GTiff"), b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP", b"GIF8": "GIF",
    b"RIFF": "WEBP",
}  # fmt: skip
_GEO_TAGS = {33550, 33922, 34264, 34735}  # pixel scale, tie points, transformation, geo keys (OGC GeoTIFF 1.1, 7.1)


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: its coordinate system as WKT (empty: none named) and the six numbers that take columns and
    rows there.

    x = a · column + b · row + c and y = d · column + e · row + f, with transform = (a, b, c, d, e, f).
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class RasterFacts:
    """What a raster's head tells; `alpha` is the number of the band of opacity, from 1, or 0."""

    head: Head
    georeference: Georeference | None
    nodata: float | None
    alpha: int


def georeferenced(path: Path) -> bool:
    """Whether a file is a TIFF that knows where it lies; given from its tags, without rasterio."""
    try:
        if read_bytes(path, 4) not in TIFF_STARTS:
            return False
        if any(path.with_suffix(suffix).is_file() for suffix in (".tfw", ".TFW", ".tifw", ".tiffw")):
            return True
        with open_tiff(path) as tiff:
            # its own kind of mapping
            return any(tag in _GEO_TAGS for tag in tiff.pages[0].tags.keys())  # pyright: ignore # noqa: SIM118
    except Exception:  # noqa: BLE001 - tifffile raises anything; whoever decodes the file says what is wrong
        return False


def raster_facts(path: Path, window: Window | None = None) -> RasterFacts:
    """Size (the window's, where there is one), bands, depth and place, without decoding pixels."""
    with opened(path) as raster:
        height, width = window[2:] if window else (raster.height, raster.width)
        channels = 3 if _is_palette(raster) else len(_bands(raster))
        nodata = next((value for value in raster.nodatavals if value is not None), None)
        alpha = next((band for band in raster.indexes if band not in _bands(raster)), 0)
        return RasterFacts(Head(height, width, channels, raster.dtypes[0]), _georeference(raster), nodata, alpha)


def raster_pixels(path: Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Every band but opacity in its own depth, H W C, and where there is data, H W bool (None: everywhere).

    A pixel holds no data where nodata, the mask band or opacity say so, and where a value is not finite.
    """
    with opened(path) as raster:
        return read_window(raster, _place(window, path, raster))


def read_window(raster: Any, place: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The same of an open raster; `place` is a window of rasterio's, ((top, bottom), (left, right)) or None."""
    values = without_fill(np.ascontiguousarray(np.moveaxis(raster.read(_bands(raster), window=place), 0, -1)))
    marked = any("all_valid" not in {flag.name for flag in flags} for flags in raster.mask_flag_enums)
    valid = raster.dataset_mask(window=place) > 0 if marked else np.ones(values.shape[:2], bool)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=2)
    if _is_palette(raster):
        values = _colours(raster)[values[..., 0]]
    return values, None if valid.all() else valid


def raster_values(
    path: Path, window: Window | None = None, colours: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """A mask's values, H W (with `colours` 0xRRGGBB), and where its mask band or opacity says that they mean something.

    nodata is a value like others here, because masks often name the background so; but one that can be no label
    (negative, or not a number) is marked as telling nothing.
    """
    with opened(path) as raster:
        place, bands = _place(window, path, raster), _bands(raster)
        values = np.moveaxis(raster.read(bands, window=place), 0, -1)
        flags = {flag.name for flags in raster.mask_flag_enums for flag in flags}
        valid = (
            raster.dataset_mask(window=place) > 0
            if {"per_dataset", "alpha"} & flags
            else np.ones(values.shape[:2], bool)
        )
        nodata = next((value for value in raster.nodatavals if value is not None), None)
        if colours and _is_palette(raster):
            values = _colours(raster)[values[..., 0]]
    if colours and values.shape[2] == 3 and values.dtype == np.uint8:
        wide = values.astype(np.uint32)
        return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], None if valid.all() else valid
    if colours or not (values[..., 1:] == values[..., :1]).all():
        got = f"{values.shape[2]} bands of {values.dtype}"
        fix = (
            "Save each class as one value, or name the classes by their colours in data.classes (three bands of 8 "
            "bits)."
        )
        raise DataError(f"`{path}` must hold {'a colour' if colours else 'one value'} a pixel; got {got}. {fix}")
    plain = values[..., 0]
    if nodata is not None and not 0 <= nodata <= 65535:
        valid &= np.isfinite(plain) if np.isnan(nodata) else plain != nodata
        plain = np.where(valid, plain, 0)
    return plain, None if valid.all() else valid


def pixels_digest(*arrays: np.ndarray | None) -> str:
    """SHA-256 of decoded values: a window has no file of its own, and how a file is compressed does not matter."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_georeference(path: str | Path) -> Georeference | None:
    """Where a raster lies, or None when it does not say."""
    with opened(Path(path)) as raster:
        return _georeference(raster)


@contextmanager
def new_like(
    path: Path, like: Any, count: int, dtype: str, nodata: float, palette: np.ndarray | None = None
) -> Iterator[Any]:
    """A GeoTIFF to write into by windows that lies where an open raster does, with its compression (where that loses
    nothing), its blocks and its overviews; `palette` (256 3) are the colours of class numbers."""
    import rasterio  # its image was read with it
    from rasterio.enums import Resampling

    profile = like.profile
    kept = str(profile.get("compress", "")).lower()
    how: dict[str, Any] = {"compress": kept if kept in ("deflate", "lzw", "zstd", "lzma", "packbits") else "deflate"}
    tiled = min(like.height, like.width) >= 256
    if tiled:
        ours = profile.get("tiled") and not (profile["blockxsize"] % 16 or profile["blockysize"] % 16)
        how |= {"blockxsize": profile["blockxsize"], "blockysize": profile["blockysize"]} if ours else {}
    if like.crs or not like.transform.is_identity:
        how |= {"crs": like.crs, "transform": like.transform}
    points, crs = like.gcps
    with rasterio.open(
        path, "w", driver="GTiff", height=like.height, width=like.width, count=count, dtype=dtype, nodata=nodata,
        tiled=tiled, BIGTIFF="IF_SAFER", interleave="band", **how,
    ) as raster:  # fmt: skip
        if palette is not None:
            raster.write_colormap(1, {index: (*map(int, colour), 255) for index, colour in enumerate(palette)})
        if points:
            raster.gcps = (points, crs)
        if like.rpcs:
            raster.rpcs = like.rpcs
        if like.tags().get("AREA_OR_POINT") == "Point":
            raster.update_tags(AREA_OR_POINT="Point")
        yield raster
    if overviews := like.overviews(1):
        with rasterio.open(path, "r+") as raster:
            raster.build_overviews(overviews, Resampling.nearest)
    _reject_cut(path)


def _reject_cut(path: Path) -> None:
    """Stop where parts of a TIFF lie beyond its end: on a full disk GDAL goes on without a word."""
    size = path.stat().st_size
    try:
        with open_tiff(path) as tiff:
            parts = [
                one
                for page in tiff.pages
                for one in zip(page.dataoffsets, page.databytecounts, strict=True)  # pyright: ignore
            ]
    except Exception:  # noqa: BLE001 - its tables were cut, too: tifffile raises whatever it stumbles over
        parts = [(size, 1)]
    if not parts or max(offset + count for offset, count in parts) > size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def other_grid(image: Path, mask: Path) -> str:
    """How a mask's grid differs from its image's; empty where it is the same, or it does not say where it lies."""
    with opened(image) as ours, opened(mask) as theirs:
        if _georeference(ours) and _georeference(theirs):
            if ours.crs and theirs.crs and ours.crs != theirs.crs:
                return f"it is in {_crs_name(theirs)}, its image in {_crs_name(ours)}"
            one, two = ours.transform, theirs.transform
            if not np.allclose((two.a, two.b, two.d, two.e), (one.a, one.b, one.d, one.e), rtol=1e-4, atol=1e-12):
                return (
                    f"its pixels are {abs(two.a):.6g} x {abs(two.e):.6g}, its image's {abs(one.a):.6g} x "
                    f"{abs(one.e):.6g}"
                )
            column, row = np.linalg.solve([[one.a, one.b], [one.d, one.e]], [two.c - one.c, two.f - one.f])
            if abs(column) > 0.01 or abs(row) > 0.01:
                return f"it begins {column:.4g} columns and {row:.4g} rows from its image's corner"
        if (ours.height, ours.width) != (theirs.height, theirs.width):
            return f"it is {theirs.width}x{theirs.height} pixels, its image {ours.width}x{ours.height}"
        return ""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A raster opened with rasterio; every way of being broken is one sentence."""
    rasterio = rasterio_for(path)
    start = read_bytes(path, 4)
    driver = next((name for known, name in _DRIVERS.items() if start.startswith(known)), None)
    if driver is None:
        raise DataError(
            f"`{path}` must be a readable raster; got something else under that name. Replace or remove it."
        )
    with decoding(path, "raster"), rasterio.open(path, driver=driver) as raster:
        if raster.count == 0 or raster.dtypes[0].startswith("complex"):
            got = "complex numbers" if raster.count else "several data sets in one file"
            raise DataError(f"`{path}` must hold bands of real numbers; got {got}. Export it with gdal_translate.")
        yield raster


def rasterio_for(path: Path) -> Any:
    """The library, or the sentence how to get it; `path` is what it is needed for."""
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        fix = f"Run: {install_command('geo')}"
        raise DataError(
            f"`{path}` must be read with rasterio, as it is georeferenced; it is not installed. {fix}"
        ) from None
    return rasterio


def _bands(raster: Any) -> list[int]:
    """The bands that are no opacity, counted from 1."""
    return [band for band, meaning in zip(raster.indexes, raster.colorinterp, strict=True) if meaning.name != "alpha"]


def _is_palette(raster: Any) -> bool:
    return raster.count == 1 and raster.colorinterp[0].name == "palette" and raster.dtypes[0] == "uint8"


def _colours(raster: Any) -> np.ndarray:
    """The colours of a palette. → 256 3 uint8"""
    table = np.zeros((256, 3), np.uint8)
    for index, colour in raster.colormap(1).items():
        table[index] = colour[:3]
    return table


def _georeference(raster: Any) -> Georeference | None:
    if not raster.crs and raster.transform.is_identity:
        return None
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    return Georeference(raster.crs.to_wkt() if raster.crs else "", (a, b, c, d, e, f))


def _place(window: Window | None, path: Path, raster: Any) -> Any:
    """The part to read, which must fit into memory."""
    from rasterio.windows import Window as Place

    size = window[2:] if window else (raster.height, raster.width)
    validate_decoded_size(
        path, (*size, raster.count), np.dtype(raster.dtypes[0]).itemsize, path.stat().st_size, MOST_IN_TIFF
    )
    return Place(window[1], window[0], window[3], window[2]) if window else None  # pyright: ignore[reportCallIssue]


def _crs_name(raster: Any) -> str:
    code = raster.crs.to_epsg()
    return f"EPSG:{code}" if code else listed([raster.crs.to_wkt()[:40]])
