"""Georeferenced rasters: bands, depth, nodata, grids, windows of large scenes, and label files that keep the place."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from data.layouts import LAYOUTS, noise, raster, save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, Bands, Listing, MaskForm, Record
from maskwright.data.forms import pictures as form
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.rasters import georeferenced, new_like, raster_pixels, read_georeference
from maskwright.data.rasters import opened as opened_raster
from maskwright.data.raw import read_head, read_raw_image, read_record
from maskwright.data.readers import list_records
from maskwright.data.readers.geotiff import windows
from maskwright.errors import DataError, install_command
from support import TINY, maskwright

PLACE = (500_000.0, 4_000_000.0)


def listed(root: Path, **options: Any) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def opened(root: Path, **options: Any) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), **options}))


def pair(root: Path, index: int = 0, size: tuple[int, int] = (20, 30), **mask: Any) -> None:
    """An image of four bands of 16 bits and its mask of three classes, far from the others."""
    rng = np.random.default_rng(index)
    place = (PLACE[0] + 1000 * index, PLACE[1])
    raster(root / "images" / f"{index}.tif", rng.integers(1, 4000, (*size, 4)).astype(np.uint16), place)
    settings = {"place": place, **mask}
    raster(root / "masks" / f"{index}.tif", settings.pop("values", rng.integers(0, 3, size, np.uint8)), **settings)


def some(root: Path, count: int = 5, **mask: Any) -> Path:
    for index in range(count):
        pair(root, index, **mask)
    return root


def test_georeferenced_files_are_recognised_and_plain_ones_are_not(tmp_path: Path) -> None:
    some(tmp_path / "geo")
    assert listed(tmp_path / "geo").reader == "geotiff"
    for index in range(3):
        save(tmp_path / "plain" / "images" / f"{index}.tif", noise(index, (9, 9)))
        save(tmp_path / "plain" / "masks" / f"{index}.tif", noise(index, (9, 9))[..., 0] % 2)
    assert listed(tmp_path / "plain").reader == "folders"
    (tmp_path / "plain" / "images" / "1.tfw").write_text("10\n0\n0\n-10\n500005\n3999995\n")
    assert listed(tmp_path / "plain").reader == "geotiff"
    assert not georeferenced(tmp_path / "none.tif")


def test_values_bands_and_depth_are_those_of_the_file(tmp_path: Path) -> None:
    some(tmp_path)
    found = opened(tmp_path)
    assert found.dataset.bands.chosen == (0, 1, 2, 3)
    record = listed(tmp_path).records[1]
    with rasterio.open(record.image) as truth:
        assert (read_raw_image(record)[0] == np.moveaxis(truth.read(), 0, -1)).all()
    head = read_head(record)
    assert (head.height, head.width, head.channels, head.dtype) == (20, 30, 4, "uint16")


def test_nodata_of_images_is_ignored_in_the_labels(tmp_path: Path) -> None:
    some(tmp_path)
    image = np.full((20, 30, 4), 7, np.uint16)
    image[:2], image[5, 5, :3] = 0, 0  # a pixel with a value in one band holds data
    raster(tmp_path / "images" / "2.tif", image, (PLACE[0] + 2000, PLACE[1]), nodata=0)
    mask = opened(tmp_path).store.get(2)[1]
    assert (mask[:2] == IGNORE).all() and (mask[2:] != IGNORE).all()


@pytest.mark.parametrize("kind", ["alpha", "mask band", "nan"])
def test_opacity_mask_bands_and_nan_hold_no_data(kind: str, tmp_path: Path) -> None:
    image = np.full((10, 12, 4), 9, np.float32 if kind == "nan" else np.uint8)
    valid = np.ones((10, 12), bool)
    valid[3:5, 6:] = False
    path = tmp_path / "x.tif"
    if kind == "nan":
        image[3:5, 6:, 1] = np.nan
        raster(path, image)
    elif kind == "alpha":
        image[..., 3] = np.where(valid, 255, 0)
        raster(path, image, photometric="RGB", alpha="YES")
    else:
        raster(path, image, photometric="MINISBLACK", alpha="NO")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(valid)
    pixels, found = raster_pixels(path)
    assert found is not None and (found == valid).all()
    assert pixels.shape[2] == (3 if kind == "alpha" else 4)


def test_a_band_marked_as_opacity_is_told(tmp_path: Path) -> None:
    some(tmp_path)
    for index in range(5):
        image = np.full((20, 30, 4), 255, np.uint8)
        raster(
            tmp_path / "images" / f"{index}.tif",
            image,
            (PLACE[0] + 1000 * index, PLACE[1]),
            photometric="RGB",
            alpha="YES",
        )
    assert any("band 4 of 5 images is marked as opacity" in note for note in listed(tmp_path).notes)


@pytest.mark.parametrize(("nodata", "dtype"), [(255, np.uint8), (-1, np.int16), (np.nan, np.float32), (9, np.uint8)])
def test_nodata_of_masks_is_ignored(nodata: float, dtype: Any, tmp_path: Path) -> None:
    values = np.arange(600).reshape(20, 30) % 3
    mask = np.where(values == 2, nodata, values).astype(dtype)
    some(tmp_path, values=mask, nodata=nodata)
    found = opened(tmp_path)
    assert found.dataset.classes.names == ("background", "foreground")
    for index, item in enumerate(found.dataset.items):
        assert (found.store.get(index)[1] == np.where(values == 2, IGNORE, values)).all()
        assert (item.class_pixels, item.ignored_pixels) == ((200, 200), 200)


def test_masks_that_name_background_as_nodata_keep_it_and_it_is_told(tmp_path: Path) -> None:
    values = (np.arange(600).reshape(20, 30) % 2).astype(np.uint8)
    some(tmp_path, values=values, nodata=0)
    found = opened(tmp_path)
    assert (found.store.get(0)[1] == values).all()
    assert any(note.startswith("5 masks name 0 as nodata") for note in found.dataset.notes)
    named = opened(tmp_path, classes={"a": 1, "b": 2})  # named without it, it is ignored
    assert (named.store.get(0)[1] == np.where(values == 1, 0, IGNORE)).all()


def test_mask_bands_of_masks_are_ignored(tmp_path: Path) -> None:
    some(tmp_path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "masks" / "0.tif", "r+") as file:
        valid = np.ones((20, 30), bool)
        valid[:3] = False
        file.write_mask(valid)
    mask = opened(tmp_path).store.get(0)[1]
    assert (mask[:3] == IGNORE).all() and (mask[3:] != IGNORE).all()


def test_colours_as_classes_and_palettes(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
    index = (np.arange(600).reshape(20, 30) % 2).astype(np.uint8)
    some(tmp_path, values=colours[index])
    classes = {"ground": "#000000", "roof": "#ff0000"}
    assert (opened(tmp_path, classes=classes).store.get(3)[1] == index).all()
    with pytest.raises(DataError, match="must hold one value a pixel; got 3 bands of uint8"):
        opened(tmp_path)
    some(tmp_path, values=index)
    for path in (tmp_path / "masks").iterdir():
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    assert (opened(tmp_path).store.get(3)[1] == index).all()
    assert (opened(tmp_path, classes=classes).store.get(3)[1] == index).all()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"place": (PLACE[0] + 10, PLACE[1] - 20)}, "it begins 1 columns and 2 rows from its image's corner"),
        ({"crs": "EPSG:32634"}, "it is in EPSG:32634, its image in EPSG:32633"),
        ({"transform": rasterio.Affine(5, 0, PLACE[0], 0, -5, PLACE[1])}, "its pixels are 5 x 5, its image's 10 x 10"),
        ({"values": np.zeros((20, 29), np.uint8)}, "it is 29x20 pixels, its image 30x20"),
        ({"values": np.zeros((20, 29), np.uint8), "place": None}, "it is 29x20 pixels, its image 30x20"),
    ],
)
def test_masks_on_another_grid_are_refused(mask: dict[str, Any], words: str, tmp_path: Path) -> None:
    pair(tmp_path, **mask)
    with pytest.raises(DataError, match=rf"grids of their images; 0\.tif: {words}\. Bring them"):
        listed(tmp_path)


def test_masks_may_be_pictures_without_a_place(tmp_path: Path) -> None:
    some(tmp_path)
    for index in range(5):
        (tmp_path / "masks" / f"{index}.tif").unlink()
        save(tmp_path / "masks" / f"{index}.png", (np.arange(600).reshape(20, 30) % 3).astype(np.uint8))
    assert opened(tmp_path).dataset.classes.num_classes == 3


def test_pairs_csv_of_rasters(tmp_path: Path) -> None:
    some(tmp_path)
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("image", "mask", "group"), *((f"images/{i}.tif", f"masks/{i}.tif", f"g{i}") for i in range(4))]
        )
    listing = listed(tmp_path)
    assert (listing.reader, len(listing.records), listing.records[2].group) == ("geotiff", 4, "g2")
    assert listed(tmp_path, reader="csv").records[0].form.kind == "picture"


def test_a_broken_raster_is_told_with_all_others(tmp_path: Path) -> None:
    some(tmp_path)
    for name in ("images/1.tif", "masks/3.tif"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 3])
    with pytest.raises(DataError, match=r"(?s)2 pairs cannot be used.*images/1\.tif` must be a whole.*masks/3\.tif"):
        opened(tmp_path)


def test_large_scenes_become_windows_that_cover_them_once() -> None:
    record = Record("images/x", Path("x.tif"), Path("m.tif"))
    assert windows(record, 4096, 4096, "auto") == [record]
    assert windows(record, 9000, 9000, "none") == [record]
    found = windows(record, 5000, 4097, "auto")
    assert len(found) == 3 * 3 and found[0].id == "images/x@0,0" and {one.group for one in found} == {"images/x"}
    cover = np.zeros((5000, 4097), np.uint8)
    for one in found:
        assert one.window is not None and max(one.window[2:]) <= 2048
        top, left, height, width = one.window
        assert one.id == f"images/x@{top},{left}"
        cover[top : top + height, left : left + width] += 1
    assert (cover == 1).all()
    assert len(windows(record, 300, 200, 100)) == 6


def test_windows_hold_their_part_of_the_scene(tmp_path: Path) -> None:
    some(tmp_path, 3)
    whole = {item.record.id: place for place, item in enumerate(opened(tmp_path, split={"test": 0}).dataset.items)}
    plain = opened(tmp_path, split={"test": 0})
    cut = opened(tmp_path, window=16, split={"test": 0})
    assert len(cut.dataset.items) == 3 * 2 * 2
    assert "3 large scenes read by 12 windows" in cut.dataset.reason
    for index, item in enumerate(cut.dataset.items):
        name, _, _ = item.record.id.partition("@")
        assert item.record.window is not None
        top, left, height, width = item.record.window
        _, mask = plain.store.get(whole[name])
        assert (cut.store.get(index)[1] == mask[top : top + height, left : left + width]).all()
    assert len({(item.image_hash, item.mask_hash) for item in cut.dataset.items}) == 12


def test_a_split_tears_no_scene_apart(tmp_path: Path) -> None:
    some(tmp_path, 6)
    for seed in range(3):
        items = opened(tmp_path, window=8, split={"seed": seed}).dataset.items
        sides = {(item.record.id.partition("@")[0], item.record.split) for item in items}
        assert len(sides) == 6 and {side for _, side in sides} == {"train", "val", "test"}


def test_one_scene_alone_is_told_how_to_be_split(tmp_path: Path) -> None:
    some(tmp_path, 1)
    with pytest.raises(DataError, match=r"data\.split\.group '\.\+'.*a smaller --data\.window"):
        opened(tmp_path, window=10)
    assert sum(opened(tmp_path, window=10, split={"group": ".+"}).dataset.sizes().values()) == 6


def test_a_window_is_read_without_decoding_the_scene(tmp_path: Path) -> None:
    """A scene of 2 GiB, most of it never written: only a reader that takes its window alone stays small."""
    path = tmp_path / "scene.tif"
    settings = {"width": 16384, "height": 16384, "count": 4, "dtype": "uint16", "tiled": True, "SPARSE_OK": True}
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **settings
    ) as file:
        file.write(np.full((4, 64, 64), 7, np.uint16), window=((9000, 9064), (5000, 5064)))
    script = (
        "import resource, sys; from pathlib import Path; from maskwright.data.rasters import raster_pixels\n"
        "raster_pixels(Path(sys.argv[1]), (0, 0, 8, 8)); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "pixels, valid = raster_pixels(Path(sys.argv[1]), (9000, 5000, 64, 64)); assert (pixels == 7).all() and valid "
        "is None\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert int(out) < 32 * 1024  # KiB; the scene has 2 GiB


def test_the_hash_is_of_the_pixels(tmp_path: Path) -> None:
    image = np.arange(400, dtype=np.uint16).reshape(20, 20)
    raster(tmp_path / "a.tif", image)
    raster(tmp_path / "b.tif", image, compress="deflate")
    raster(tmp_path / "c.tif", image + 1)
    mask = raster(tmp_path / "m.tif", np.zeros((20, 20), np.uint8))
    bands = Bands((0,), (0.0,), (400.0,))
    hashes = [read_record(Record(n, tmp_path / f"{n}.tif", mask, form=MaskForm("raster")), bands).hashes for n in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_label_files_lie_where_their_image_does(tmp_path: Path) -> None:
    source = raster(tmp_path / "x.tif", np.ones((300, 280, 5), np.uint16))
    like = read_georeference(source)
    assert like is not None and like.transform == (10.0, 0.0, PLACE[0], 0.0, -10.0, PLACE[1])
    labels = np.random.default_rng(0).integers(0, 4, (300, 280)).astype(np.uint8)
    labels[0] = IGNORE
    palette = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    with (
        opened_raster(source) as image,
        new_like(tmp_path / "labels.tif", image, 1, "uint8", IGNORE, palette) as written,
    ):
        written.write(labels, 1)
    with rasterio.open(source) as one, rasterio.open(tmp_path / "labels.tif") as two:
        assert (two.crs, two.transform, two.nodata, two.shape) == (one.crs, one.transform, IGNORE, one.shape)
        assert (two.read(1) == labels).all()
        assert two.colormap(1)[3][:3] == tuple(palette[3])
    assert read_georeference(save(tmp_path / "plain.png", noise(0, (4, 4)))) is None


def test_without_rasterio_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only way to have no rasterio here is to hide it."""
    some(tmp_path)
    for name in ("rasterio", "rasterio.errors"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=re.escape(f"it is not installed. Run: {install_command('geo')}")):
        listed(tmp_path)
    assert listed(tmp_path, reader="folders").reader == "folders"


def test_colours_of_a_mask_need_three_bands(tmp_path: Path) -> None:
    mask = raster(tmp_path / "m.tif", np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match="must hold a colour a pixel; got 1 bands of uint16"):
        form.load_raster(Record("m", mask, mask, form=MaskForm("raster", "colour")), (4, 4))


def test_train_and_predict_on_five_bands_of_16_bits(tmp_path: Path) -> None:
    """Labels of a georeferenced image lie where it does, and where it holds no data they say so."""
    LAYOUTS["geotiff"](tmp_path / "set")
    trained = maskwright("train", "--data", tmp_path / "set", *TINY, "--epochs", 1, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert maskwright("evaluate", tmp_path / "run").code == 0
    assert maskwright("report", tmp_path / "run").code == 0
    source = tmp_path / "set" / "images" / "0.tif"
    out = tmp_path / "out"
    told = maskwright("predict", tmp_path / "run", source, "--out", out)
    assert told.code == 0, told.err
    assert sorted(path.name for path in out.iterdir()) == ["0-overlay.jpg", "0.tif", "legend.svg", "predictions.csv"]
    with rasterio.open(source) as image, rasterio.open(out / "0.tif") as labels:
        assert (labels.crs, labels.transform, labels.shape, labels.nodata) == (
            image.crs,
            image.transform,
            image.shape,
            255,
        )
        found, valid = labels.read(1), image.dataset_mask() > 0
        assert (found[~valid] == IGNORE).all() and (~valid).sum() == 3
        assert set(np.unique(found[valid])) <= {0, 1, 2}
    with Image.open(out / "0-overlay.jpg") as overlay:
        assert overlay.size == (image.width, image.height)
    again = maskwright("predict", tmp_path / "run", source, "--out", source.parent)
    assert again.code == 2 and "apart from the images" in again.sentence
    plain = raster(tmp_path / "plain.tif", np.ones((9, 8, 5), np.uint16), None)
    assert maskwright("predict", tmp_path / "run", plain, "--out", out).code == 0
    assert (out / "plain.png").is_file()
