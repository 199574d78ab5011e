"""A small generated data set in every layout a reader knows, and what opening it must give.

    from data.layouts import LAYOUTS
    expected = LAYOUTS["voc"](tmp_path)        # makes the files, says what they mean

A maker is `make_NAME(root) -> Expected` and a line in `LAYOUTS`; the contract test runs over all of them. Every
class should occur, the images need at least three records in all, and sizes should differ between images.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright.data.dataset import IGNORE

SIZES = ((12, 16), (14, 10), (9, 20), (16, 16), (11, 13))  # height, width of the images, one after the other


@dataclass(frozen=True)
class Expected:
    """Class names in order, and for each record's id its class numbers (IGNORE where void) and its split as listed."""

    classes: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    splits: Mapping[str, str | None]


def blocks(index: int, num_classes: int, ignored: bool = False) -> np.ndarray:
    """Class numbers in blocks that differ from image to image; all classes occur, and IGNORE where asked for."""
    height, width = SIZES[index % len(SIZES)]
    kinds = [*range(num_classes), *([IGNORE] if ignored else [])]
    rng = np.random.default_rng((7, index, num_classes))
    labels = rng.integers(0, len(kinds), (-(-height // 3), -(-width // 3))).repeat(3, 0).repeat(3, 1)[:height, :width]
    labels.flat[: len(kinds)] = range(len(kinds))
    return np.array(kinds, np.uint8)[labels]


def noise(index: int, size: tuple[int, int]) -> np.ndarray:
    """A picture of coloured noise."""
    return np.random.default_rng((8, index)).integers(0, 256, (*size, 3), np.uint8)


def save(path: Path, pixels: np.ndarray, palette: Sequence[int] = ()) -> Path:
    """Write a picture; with a palette, one of indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if palette:
        picture.putpalette(palette)
    picture.save(path)
    return path


def coded(labels: np.ndarray, codes: Mapping[int, int | tuple[int, int, int]]) -> np.ndarray:
    """Class numbers as a file has them: other numbers, or colours. H W → H W or H W 3 uint8"""
    table = np.zeros((256, *np.shape(next(iter(codes.values())))), np.uint8)
    for label, code in codes.items():
        table[label] = code
    return table[labels]


def make_folders(root: Path) -> Expected:
    """images/ beside masks/, three classes and void."""
    labels = {f"images/{index}": blocks(index, 3, ignored=True) for index in range(5)}
    for index, mask in enumerate(labels.values()):
        save(root / "images" / f"{index}.png", noise(index, mask.shape))
        save(root / "masks" / f"{index}.png", mask)
    return Expected(("class_0", "class_1", "class_2"), labels, dict.fromkeys(labels))


def make_csv(root: Path) -> Expected:
    """pairs.csv with splits, masks of 0 and 255."""
    splits = {"a/1": "train", "a/2": "train", "a/3": "val", "b/4": "test"}
    labels = {name: blocks(index, 2) for index, name in enumerate(splits)}
    rows = ["image,mask,split"]
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        save(root / "truth" / f"{index}.png", coded(mask, {0: 0, 1: 255}))
        rows.append(f"{name}.png,truth/{index}.png,{splits[name]}")
    (root / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return Expected(("background", "foreground"), labels, splits)


def make_oxford_pet(root: Path) -> Expected:
    """images/, annotations/trimaps and the lists of names; foreground, with the boundary ignored."""
    names = {
        "Abyssinian_1": "1 1 1",
        "american_bulldog_10": "2 2 1",
        "Abyssinian_2": "1 1 1",
        "american_bulldog_7": "2 2 1",
    }
    labels = {f"images/{name}": blocks(index, 2, ignored=True) for index, name in enumerate(names)}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.jpg", noise(index, mask.shape))
        save(root / "annotations" / "trimaps" / f"{Path(name).name}.png", coded(mask, {0: 2, 1: 1, IGNORE: 3}))
    lines = [f"{name} {numbers}\n" for name, numbers in names.items()]
    (root / "annotations" / "list.txt").write_text(
        "#Image CLASS-ID SPECIES BREED ID\n" + "".join(lines), encoding="utf-8"
    )
    (root / "annotations" / "trainval.txt").write_text("".join(lines[:3]), encoding="utf-8")
    (root / "annotations" / "test.txt").write_text(lines[3], encoding="utf-8")
    return Expected(("background", "pet"), labels, dict(zip(labels, ["train", "train", "train", "test"], strict=True)))


def make_workshop(root: Path) -> Expected:
    """TRAIN_VAL_SET and TEST_SET with IMAGES and MASKS, classes by colour in label_mapping.json."""
    colours = {"background": (0, 0, 0), "water": (0, 0, 255), "road": (128, 64, 128)}
    places = [*((f"TRAIN_VAL_SET/IMAGES/{index}", "train") for index in range(4)), ("TEST_SET/IMAGES/9", "test")]
    labels = {name: blocks(index, 3) for index, (name, _) in enumerate(places)}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        save(root / f"{name.replace('IMAGES', 'MASKS')}.png", coded(mask, dict(enumerate(colours.values()))))
    (root / "label_mapping.json").write_text(json.dumps(colours), encoding="utf-8")
    return Expected(tuple(colours), labels, dict(places))


VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def voc_colour(index: int) -> tuple[int, int, int]:
    """A colour of VOC's palette: the index's bits dealt to red, green and blue, highest first."""
    bits = [(index >> place) & 1 for place in range(9)]
    red, green, blue = (sum(bits[3 * step + part] << (7 - step) for step in range(3)) for part in range(3))
    return red, green, blue


VOC_PALETTE = [part for index in range(256) for part in voc_colour(index)]


def make_voc(root: Path) -> Expected:
    """VOCdevkit/VOC2012 with lists of names; palette masks of the 21 classes, and void."""
    base = root / "VOCdevkit" / "VOC2012"
    splits = {"2007_000032": "train", "2007_000039": "train", "2007_000063": "train", "2008_000002": "val"}
    labels = {f"VOCdevkit/VOC2012/JPEGImages/{name}": blocks(i, 21, ignored=True) for i, name in enumerate(splits)}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.jpg", noise(index, mask.shape))
        save(base / "SegmentationClass" / f"{Path(name).name}.png", mask, VOC_PALETTE)
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_text(
            "".join(f"{n}\n" for n, s in splits.items() if s == split), encoding="utf-8"
        )
    (lists / "trainval.txt").write_text("".join(f"{name}\n" for name in splits), encoding="utf-8")
    return Expected(VOC_NAMES, labels, dict(zip(labels, splits.values(), strict=True)))


def make_cvat(root: Path) -> Expected:
    """An export of "Segmentation mask 1.1" with its images beside it; one label named before background."""
    colours = {0: (0, 0, 0), 1: (250, 50, 83), 2: (51, 221, 255)}
    names = [f"frame {index:06d}" for index in range(5)]
    labels = {f"JPEGImages/{name}": blocks(index, 3) for index, name in enumerate(names)}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        save(root / "SegmentationClass" / f"{Path(name).name}.png", coded(mask, colours))
        save(root / "SegmentationObject" / f"{Path(name).name}.png", coded(mask, colours)[..., ::-1].copy())
    lines = ["# label:color_rgb:parts:actions", "apple:250,50,83::", "background:0,0,0::", "leaf:51,221,255::"]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")
    return Expected(("background", "apple", "leaf"), labels, dict.fromkeys(labels))


def runs(inside: np.ndarray) -> dict[str, Any]:
    """Run lengths as COCO has them, not packed: down the columns, first of zeros. H W bool"""
    flat = np.concatenate([[False], inside.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [inside.size]])).tolist()
    return {"size": list(inside.shape), "counts": counts}


def squares(inside: np.ndarray) -> list[list[float]]:
    """A square around each pixel, as outlines: exact, whatever the rule for pixels."""
    return [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for y, x in np.argwhere(inside).tolist()]


def make_coco(root: Path) -> Expected:
    """annotations/train.json and val.json with images/; run lengths and outlines, a crowd, ids with gaps."""
    ids = {1: 3, 2: 17}
    splits = {"images/0": "train", "images/1": "train", "images/2": "train", "images/3": "val"}
    labels = {name: blocks(index, 3, ignored=True) for index, name in enumerate(splits)}
    documents: dict[str, dict[str, Any]] = {}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        document = documents.setdefault(splits[name], {"images": [], "annotations": [], "categories": [
            {"id": 17, "name": "pear", "supercategory": "fruit"}, {"id": 3, "name": "fig"}]})  # fmt: skip
        size = {"height": mask.shape[0], "width": mask.shape[1]}
        document["images"].append({"id": index, "file_name": f"{Path(name).name}.png", **size})
        for label in (1, 2, IGNORE):
            inside, crowd = mask == label, int(label == IGNORE)
            document["annotations"].append({
                "id": len(document["annotations"]), "image_id": index, "iscrowd": crowd,
                "category_id": ids.get(label, 3),
                "segmentation": runs(inside) if crowd or index % 2 else squares(inside),
            })  # fmt: skip
    (root / "annotations").mkdir()
    for split, document in documents.items():
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")
    return Expected(("background", "fig", "pear"), labels, splits)


def make_labelme(root: Path) -> Expected:
    """A JSON beside each image; polygons, and __ignore__."""
    names = {1: "leaf", 2: "stem", IGNORE: "__ignore__"}
    labels = {f"{index:02d}": blocks(index, 3, ignored=True) for index in range(5)}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        shapes = [
            {"label": names[label], "shape_type": "polygon", "points": [flat[at : at + 2] for at in range(0, 8, 2)]}
            for label in names
            for flat in squares(mask == label)
        ]
        tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.png", "imageData": None,
                "imageHeight": mask.shape[0], "imageWidth": mask.shape[1]}  # fmt: skip
        (root / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
    return Expected(("background", "leaf", "stem"), labels, dict.fromkeys(labels))


def make_instances(root: Path) -> Expected:
    """ID/images/ID.png with ID/masks/*.png, two or three parts each."""
    labels = {f"{name}/images/{name}": blocks(index, 2) for index, name in enumerate(["a1", "b2", "c3", "d4"])}
    for index, (name, mask) in enumerate(labels.items()):
        save(root / f"{name}.png", noise(index, mask.shape))
        parts = 2 + index % 2
        for part in range(parts):
            inside = (mask > 0) & (np.arange(mask.shape[1]) % parts == part)
            save(root / Path(name).parts[0] / "masks" / f"{part}.png", inside.astype(np.uint8) * 255)
    return Expected(("background", "foreground"), labels, dict.fromkeys(labels))


def raster(
    path: Path, bands: np.ndarray, place: tuple[float, float] | None = (500_000.0, 4_000_000.0), **options: Any
) -> Path:
    """Write H W or H W C as a GeoTIFF of 10 m pixels whose corner is at `place`, in UTM 33; without one when it is
    None.
    """
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    bands = bands[..., None] if bands.ndim == 2 else bands
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, place[0], 0, -10, place[1])} if place else {}
    height, width, count = bands.shape
    settings = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": count,
        "dtype": bands.dtype,
        **where,
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if place is None else "error")  # rasterio warns of files without a place
        file = rasterio.open(path, "w", **settings)
    with file:
        file.write(np.moveaxis(bands, -1, 0))
    return path


def make_geotiff(root: Path) -> Expected:
    """images/ beside masks/ as GeoTIFF of five bands of 16 bits, with nodata in the images and in the masks."""
    labels: dict[str, np.ndarray] = {}
    for index in range(5):
        mask = blocks(index, 3, ignored=True)
        image = np.random.default_rng(index).integers(1, 3000, (*mask.shape, 5)).astype(np.uint16)
        image[-1, -3:] = 0
        place = (500_000.0 + 1000 * index, 4_000_000.0)
        raster(root / "images" / f"{index}.tif", image, place, nodata=0)
        raster(root / "masks" / f"{index}.tif", mask, place, nodata=255)
        labels[f"images/{index}"] = mask = mask.copy()
        mask[-1, -3:] = IGNORE
    return Expected(("class_0", "class_1", "class_2"), labels, dict.fromkeys(labels))


# a line for every reader; the contract test refuses a reader without one
LAYOUTS: dict[str, Callable[[Path], Expected]] = {
    "csv": make_csv,
    "oxford-pet": make_oxford_pet,
    "workshop": make_workshop,
    "cvat": make_cvat,
    "voc": make_voc,
    "geotiff": make_geotiff,
    "coco": make_coco,
    "labelme": make_labelme,
    "instances": make_instances,
    "folders": make_folders,
}
