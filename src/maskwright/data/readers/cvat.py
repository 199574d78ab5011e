"""CVAT's export "Segmentation mask 1.1": Pascal VOC's folders, with classes given by colour in labelmap.txt."""

from __future__ import annotations

from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.layout import IMAGE_NAMES
from maskwright.data.readers.lists import whole
from maskwright.data.readers.voc import IMAGES, LABELMAP, LISTS, MASKS, has_colours, read_labelmap, read_lists, read_records
from maskwright.errors import DataError, listed


def recognise(config: DataConfig, root: Path) -> str | None:
    """SegmentationClass/ and a labelmap.txt that holds colours."""
    if config.images or not (root / MASKS).is_dir() or not has_colours(root):
        return None
    return f"{LABELMAP} gives each class a colour, and {MASKS}/ is beside it"


def read(config: DataConfig, root: Path) -> Listing:
    """The names in ImageSets/Segmentation, or all masks; the images have to be put beside them."""
    if not (root / MASKS).is_dir() or not (root / LABELMAP).is_file():
        wish = f"{LABELMAP} and {MASKS}/ for reader cvat"
        raise DataError(f"`{root}` must hold {wish}; they are not there. Unpack the export of “Segmentation mask 1.1” into it.")
    classes, coloured = read_labelmap(root / LABELMAP)
    if not coloured:
        fix = "Export “Segmentation mask 1.1” again, or read the folder with --data.reader voc."
        raise DataError(f"`{root / LABELMAP}` must give each class a colour for reader cvat; it holds names alone. {fix}")
    images = _image_folder(root)
    found = read_records(root, root, images)
    reason = f"{LABELMAP} and {MASKS}/ of a CVAT export with the images in {images.name}/, {found.how}"
    return whole(Listing(found.records, "cvat", reason, classes, found.notes, (), True, LABELMAP), found.gaps)


def _image_folder(root: Path) -> Path:
    """JPEGImages/, where CVAT puts images it exports, or a folder that is called as folders of images are."""
    if (root / IMAGES).is_dir():
        return root / IMAGES
    found = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name.lower() in IMAGE_NAMES)
    if len(found) == 1:
        return found[0]
    if found:
        names = listed([folder.name for folder in found])
        raise DataError(
            f"`{root}` must hold one folder of images; got {names}. Put the images into {IMAGES}/ and remove the rest."
        )
    lists = read_lists(root / LISTS, set())
    names = listed(list(lists.splits) if lists else sorted(path.stem for path in (root / MASKS).glob("*")), "and", 3)
    fix = f"Put them there under the same names ({names}), or export again with “Save images”."
    raise DataError(f"`{root / IMAGES}` must hold the images; it is not there, as CVAT exports masks alone unless asked. {fix}")
