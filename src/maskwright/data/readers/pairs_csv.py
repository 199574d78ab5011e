"""A CSV of image,mask[,split][,group], between commas, semicolons or tabs; paths are relative to it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Gap, Listing, PartialListing, Record
from maskwright.data.decoding import is_file, read_text
from maskwright.data.layout import SPLIT_NAMES
from maskwright.data.readers.folders import read_classes
from maskwright.data.readers.lists import record_id
from maskwright.errors import DataError, counted, listed

PAIRS_FILE = "pairs.csv"
_COLUMNS = ("image", "mask", "split", "group")
_SYNONYMS = {  # what else a column is called, where no column has the name itself
    "image": {"images", "img", "picture", "photo", "input", "file", "filename", "imagepath", "imagefile", "imagename"},
    "mask": {"masks", "label", "labels", "annotation", "segmentation", "groundtruth", "gt", "target",
             "maskpath", "maskfile", "maskname", "labelpath", "annotationpath"},
    "split": {"splits", "set", "subset", "partition"},
    "group": {"groups", "groupid"},
}  # fmt: skip


def recognise(config: DataConfig, root: Path) -> str | None:
    """A CSV itself, or a folder holding pairs.csv."""
    if root.is_file() and root.suffix.lower() == ".csv":
        return "it is a CSV"
    if (root / PAIRS_FILE).exists() and not config.images:
        return f"it holds {PAIRS_FILE}"
    return None


def read(config: DataConfig, root: Path) -> Listing:
    """Read every row; all problems are reported at once."""
    path = root if root.is_file() else root / PAIRS_FILE
    rows, columns = read_rows(path)
    gaps: list[Gap] = []
    records: list[Record] = []
    lines: dict[Path, int] = {}
    for line, row in rows:
        record = _record(path.parent, line, row, gaps)
        if record is None:
            continue
        twice = next((column for column in ("image", "mask") if getattr(record, column) in lines), None)
        if twice:
            path = getattr(record, twice)
            what = "is listed already" if twice == "image" else "is the mask of another image already,"
            detail = f"line {line}: {row[twice].strip()} {what} on line {lines[path]}"
            gaps.append(Gap("listed-twice", (path,), detail))
            continue
        lines |= {record.image: line, record.mask: line}
        records.append(record)
    if len({record.split is None for record in records}) == 2:
        blank = [line for line, row in rows if not (row.get("split") or "").strip()]
        if blank:
            detail = f"split must be named on every row or on none; it is empty on line {listed(blank)}"
            gaps.append(Gap("unlisted", (path,), detail))
    unknown = sorted(set(columns) - set(_COLUMNS))
    notes = (f"columns {listed(unknown)} of {path.name} are not used",) if unknown else ()
    listing = Listing(
        tuple(records), "csv", f"{path.name} lists {counted(len(records), 'pair')}", read_classes(path.parent), notes
    )
    if gaps:
        detail = listed([gap.message for gap in gaps], "and", 8)
        raise PartialListing(
            f"`{path}` must list existing images and masks once each; {detail}. Fix these rows.", listing, gaps
        )
    if not records:
        raise DataError(f"`{path}` must list at least one image; it lists none. Add rows of image,mask.")
    return listing


def read_rows(
    path: Path, needed: Sequence[str] = ("image", "mask")
) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """The rows of a CSV with their lines, and its columns by our names for them."""
    if not path.exists():
        raise DataError(
            f"`data.root` must be a CSV or hold {PAIRS_FILE} for reader csv; {path} is not there. Check the path."
        )
    text = read_text(path)
    try:
        # Excel writes semicolons where a comma stands in decimal numbers: the sign that makes both columns is the one
        tables = [_table(text, sign) for sign in ",;\t"]
        rows, columns = next((table for table in tables if set(needed) <= set(table[1])), tables[0])
    except csv.Error as error:
        raise DataError(f"`{path}` must be a CSV; {error}. Save it again as CSV UTF-8.") from None
    if not set(needed) <= set(columns):
        fix = f"Add a first row: {','.join(needed)}."
        raise DataError(f"`{path}` must have the columns {listed(needed)}; it has {listed(columns)}. {fix}")
    if twice := [name for name in _COLUMNS if columns.count(name) > 1]:
        raise DataError(
            f"`{path}` must have each column once; {listed(twice)} stands twice. Rename or remove one of them."
        )
    return rows, columns


def _table(text: str, sign: str) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """The rows between these signs, each with its line, and the names of the columns."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=sign)
    columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
    for column, synonyms in _SYNONYMS.items():
        same = [place for place, name in enumerate(columns) if re.sub(r"[\W_]", "", name) in {column, *synonyms}]
        if column not in columns and len(same) == 1:
            columns[same[0]] = column
    reader.fieldnames = columns
    return [(reader.line_num, row) for row in reader], columns


def _record(folder: Path, line: int, row: dict[str, str], gaps: list[Gap]) -> Record | None:
    paths: dict[str, Path] = {}
    there: list[Path] = []
    missing: list[str] = []
    for column in ("image", "mask"):
        text = (row.get(column) or "").strip()
        paths[column] = folder / text
        if "\\" in text and not is_file(paths[column]):  # as Windows writes paths
            paths[column] = folder / text.replace("\\", "/")
        if text and is_file(paths[column]):
            there.append(paths[column])
        else:
            missing.append(f"line {line}: {column} {text or '(empty)'} is not there")
    gaps += [Gap("unpaired", tuple(there) or tuple(paths.values()), detail) for detail in missing]
    split = (row.get("split") or "").strip().lower()
    if split and split not in SPLIT_NAMES:
        gaps.append(Gap("unlisted", tuple(there), f"line {line}: split must be train, val or test; got {split!r}"))
    group = (row.get("group") or "").strip() or None
    if missing:
        return None
    return Record(record_id(paths["image"], folder), paths["image"], paths["mask"], SPLIT_NAMES.get(split), group)
