"""Georeferenced rasters: the layouts of folders or pairs.csv, read through rasterio, large scenes by window.

A scene with a side above 4096 becomes a record a window of at most 2048 (or `data.window`) pixels; they are one group,
so that no split tears a scene apart. Masks must lie on the grid of their image: nothing is resampled.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing, MaskForm, Record
from maskwright.data.decoding import read_bytes
from maskwright.data.layout import files_below
from maskwright.data.rasters import RasterFacts, georeferenced, other_grid, raster_facts, rasterio_for
from maskwright.data.readers import folders, pairs_csv
from maskwright.errors import DataError, listed

LARGE = 4096  # a side above this makes a scene large
SIDE = 2048  # of the windows of large scenes
_SUFFIXES = (".tif", ".tiff")
_LOOKED_AT = 32  # files; a set with georeference in a few of its files only is none


def recognise(config: DataConfig, root: Path) -> str | None:
    """Images (or masks) that are TIFF files with a georeference, in one of the plain layouts."""
    from_csv = pairs_csv.recognise(config, root)
    if not from_csv and not any(map(georeferenced, _some_tiffs(root))):
        return None
    try:
        if from_csv and b".tif" not in read_bytes(root if root.is_file() else root / pairs_csv.PAIRS_FILE).lower():
            return None
        listing = _listed(config, root)
    except (DataError, OSError):
        return None  # the reader of the plain layout says what is wrong
    files = [record.image for record in listing.records[:_LOOKED_AT]] + [
        record.mask for record in listing.records[:_LOOKED_AT]
    ]
    return "its TIFF files are georeferenced" if any(map(georeferenced, files)) else None


def read(config: DataConfig, root: Path) -> Listing:
    """List the files as the plain layouts do, check that masks lie on their images' grids, and cut large scenes."""
    plain = _listed(config, root)
    rasterio_for(root)
    records: list[Record] = []
    images: list[RasterFacts] = []
    masks: list[RasterFacts] = []
    problems: list[str] = []
    for record in plain.records:
        record = replace(record, form=MaskForm("raster"))
        try:
            image, mask = raster_facts(record.image), raster_facts(record.mask)
            if different := other_grid(record.image, record.mask):
                problems.append(f"{record.mask.name}: {different}")
        except DataError:
            records.append(record)  # a broken file: reported with all others when files are looked at
            continue
        images.append(image)
        masks.append(mask)
        records += windows(record, image.head.height, image.head.width, config.window)
    if problems:
        fix = (
            "Bring them to their images' grids with gdalwarp (-t_srs, -tr, -te, and -r near, which invents no labels)."
        )
        raise DataError(f"masks must lie on the grids of their images; {listed(problems, 'and', 6)}. {fix}")
    scenes = len({record.id.partition("@")[0] for record in records if record.window})
    cut = sum(record.window is not None for record in records)
    detail = f"; {scenes} large scenes read by {cut} windows" if scenes else ""
    ignore = sorted({int(mask.nodata) for mask in masks if mask.nodata is not None and 0 <= mask.nodata <= 65535})
    return replace(
        plain, records=tuple(records), reader="geotiff", reason=f"georeferenced rasters, {plain.reason}{detail}",
        notes=(*plain.notes, *_notes(images, masks, ignore)), ignore=(*plain.ignore, *ignore),
    )  # fmt: skip


def windows(record: Record, height: int, width: int, wish: int | str) -> list[Record]:
    """The record itself, or the windows a large scene is read by: alike in size, side by side, without overlap."""
    limit, side = (LARGE, SIDE) if wish == "auto" else (wish, wish)
    if isinstance(limit, str) or isinstance(side, str) or max(height, width) <= limit:
        return [record]
    rows, columns = _edges(height, side), _edges(width, side)
    return [
        replace(record, id=f"{record.id}@{top},{left}", group=record.group or record.id,
                window=(top, left, bottom - top, right - left))
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]  # fmt: skip


def _edges(length: int, side: int) -> list[int]:
    """Where the parts of a side begin and end, none longer than asked for and none a mere rest."""
    parts = -(-length // side)
    return [round(part * length / parts) for part in range(parts + 1)]


def _listed(config: DataConfig, root: Path) -> Listing:
    reader = pairs_csv if pairs_csv.recognise(config, root) else folders
    return reader.read(config, root)


def _some_tiffs(root: Path) -> Iterator[Path]:
    """The first TIFF files below a folder."""
    return itertools.islice((path for path in files_below(root)[0] if path.suffix.lower() in _SUFFIXES), _LOOKED_AT)


def _notes(images: Sequence[RasterFacts], masks: Sequence[RasterFacts], ignore: Sequence[int]) -> list[str]:
    notes: list[str] = []
    opacity = Counter(facts.alpha for facts in images if facts.alpha)
    for band, count in opacity.items():
        notes.append(
            f"band {band} of {count} images is marked as opacity: it tells where there is data and is no band the "
            f"network sees (if it is near infrared: gdal_edit.py -colorinterp_{band} undefined FILE)"
        )
    if ignore:
        count = sum(facts.nodata is not None for facts in masks)
        notes.append(
            f"{count} masks name {listed(ignore)} as nodata: ignored, unless it is a named class or one of the class "
            "numbers"
        )
    return notes
