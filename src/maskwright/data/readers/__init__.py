"""One file a format; each turns a folder into the same `Listing` of records.

To add one: a file here with `recognise(config, root)` and `read(config, root)`, and a line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing, PartialListing
from maskwright.data.layout import remembering_walks
from maskwright.data.readers import coco, folders, geotiff, instances, labelme, oxford_pet, pairs_csv, voc, workshop
from maskwright.data.readers.lists import with_unique_ids
from maskwright.data.readers.sidecars import with_listed_splits, with_matlab_names
from maskwright.errors import DataError, as_typed, check_path, is_text, listed


@dataclass(frozen=True)
class Reader:
    """`recognise` says why this reader fits, or None; `read` lists the records."""

    recognise: Callable[[DataConfig, Path], str | None]
    read: Callable[[DataConfig, Path], Listing]


# in the order they are asked: the explicit description first
READERS: dict[str, Reader] = {
    "geotiff": Reader(geotiff.recognise, geotiff.read),  # reads pairs.csv too, but keeps what a georeference says
    "csv": Reader(pairs_csv.recognise, pairs_csv.read),
    "oxford-pet": Reader(oxford_pet.recognise, oxford_pet.read),
    "workshop": Reader(workshop.recognise, workshop.read),
    "cvat": Reader(voc.recognise_cvat, voc.read_cvat),
    "voc": Reader(voc.recognise, voc.read),
    "coco": Reader(coco.recognise, coco.read),
    "labelme": Reader(labelme.recognise, labelme.read),
    "instances": Reader(instances.recognise, instances.read),
    "folders": Reader(folders.recognise, folders.read),
}


def list_records(config: DataConfig) -> Listing:
    """Read the data set's listing with the named reader, or the first that recognises it."""
    if not config.root:  # as of "$DATA", which was never set: the current folder is `.`
        raise DataError("`data.root` must be named; got nothing. Pass --data FOLDER or set data: {root: FOLDER}.")
    root = Path(config.root)
    if not root.exists():
        raise DataError(f"`data.root` must be a folder or a CSV of pairs; {root} is not there. {check_path(root)}")
    with remembering_walks():
        try:
            listing = _completed(_reader_for(config, root).read(config, root), root)
        except PartialListing as partial:
            partial.listing = _completed(partial.listing, root)
            raise
    _reject_odd_names(listing)
    return listing


def _completed(listing: Listing, root: Path) -> Listing:
    """The listing with what files beside the images tell, whatever the layout."""
    return with_listed_splits(with_matlab_names(with_unique_ids(listing), root), root)


def _reader_for(config: DataConfig, root: Path) -> Reader:
    if config.reader != "auto":
        return READERS[config.reader]
    for reader in READERS.values():
        if reader.recognise(config, root):
            return reader
    fix = f"Did you mean --data {as_typed(root.parent)}?" if root.suffix in (".yaml", ".yml") else "Check the path."
    raise DataError(f"`data.root` must be a folder or a CSV of pairs; got {root}, a file of another kind. {fix}")


def _reject_odd_names(listing: Listing) -> None:
    """Names in an old encoding, as archives of other systems leave them, can't be written into JSON, YAML or a page."""
    paths = [path for record in listing.records for path in (record.image, record.mask)]
    odd = [ascii(path.name)[1:-1] for path in paths if not is_text(str(path))]
    if odd:
        fix = "Rename them (convmv does it), or unpack the archive with its encoding."
        raise DataError(
            f"names of files and folders must be UTF-8; those of {listed(dict.fromkeys(odd))} are not. {fix}"
        )
