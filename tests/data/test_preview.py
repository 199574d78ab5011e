"""The sheet of inputs: what it shows is what training draws, and it can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.config.augment import AugmentOp
from maskwright.data.augment import resolve
from maskwright.data.dataset import IGNORE, RGB, ClassMap, Dataset, Item, Record
from maskwright.data.geometry import View
from maskwright.data.loader import TrainSamples
from maskwright.data.pictures import palette
from maskwright.data.preview import TILE, draw_sheet, preview_rows, save_sheet
from maskwright.data.sampling import aimer
from maskwright.data.store import PixelStore
from maskwright.errors import UsageError

SIDE = 48


def made(view: View, augment: str = "standard", weights=None, focus: float = 0.0, names=("ground", "tree", "road")):
    """Four grey images with a square of each class and a strip that is ignored."""
    records = [Record(f"images/{index}", Path(f"{index}.png"), Path(f"{index}.png"), "train") for index in range(4)]
    store = PixelStore(records, [(SIDE, 64)] * 4, RGB, "ram", None)
    mask = np.zeros((SIDE, 64), np.uint8)
    for label in range(1, len(names)):
        mask[8 + 4 * label : 20, 10 * label : 10 * label + 8] = label
    mask[40:] = IGNORE
    for index in range(4):
        store.put(index, np.full((SIDE, 64, 3), 120 + index, np.uint8), mask)
    pixels = tuple(int((mask == label).sum()) for label in range(len(names)))
    items = tuple(Item(record, SIDE, 64, "", "", pixels, 8 * 64) for record in records)
    dataset = Dataset(Path("set"), items, ClassMap(tuple(names), tuple(range(len(names)))), "", "", "")
    aiming = aimer(dataset, range(4), focus) if focus else None
    return TrainSamples(store, range(4), view, resolve(augment), 0, 2, weights, aiming), dataset


@pytest.mark.parametrize("view", [View("whole", 32), View("whole", 32, letterbox=True), View("crop", 24)])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 1.0, 3.0]])
def test_a_draw_is_an_input_of_training(view: View, weights) -> None:
    samples, dataset = made(view, weights=weights, focus=0.5 if view.kind == "crop" else 0.0)
    inputs = [
        {samples[(epoch, number)][0].tobytes() + samples[(epoch, number)][1].tobytes()
         for number, item in enumerate(samples.items(epoch)) if dataset.items[item].record.id == name}
        for name in ("images/0", "images/3") for epoch in range(3)
    ]  # fmt: skip
    rows = preview_rows(samples, dataset, 2, 3)
    assert [row.name for row in rows] == ["images/0", "images/3"]
    shots = [shot for row in rows for shot in row.draws]
    assert [shot.caption.split(",")[0] for shot in shots] == ["epoch 1", "epoch 2", "epoch 3"] * 2
    for shot, drawn in zip(shots, inputs, strict=True):
        assert shot.image.tobytes() + shot.mask.tobytes() in drawn


def test_the_first_picture_is_the_view_without_augmentation() -> None:
    samples, dataset = made(View("whole", 32))
    (row,) = preview_rows(samples, dataset, 1, 1)
    assert row.original.image.shape == (32, 32, 3) and (row.original.image == 120).all()
    assert {*np.unique(row.original.mask)} == {0, 1, 2, IGNORE}
    samples, dataset = made(View("crop", 24))
    (row,) = preview_rows(samples, dataset, 1, 1)
    assert row.original.image.shape == (SIDE, 64, 3)


def test_windows_on_the_whole_image_are_where_the_draws_come_from() -> None:
    samples, dataset = made(View("crop", 24), augment="none")
    (row,) = preview_rows(samples, dataset, 1, 4)
    _, mask = samples.store.get(0)
    for shot, window in zip(row.draws, row.windows, strict=True):
        left, top = np.round(window[0]).astype(int)
        cut = mask[top : top + 24, left : left + 24]
        assert np.allclose(window[2] - window[0], 24)
        assert np.mean(cut == shot.mask) > 0.85  # windows start between pixels


def test_what_a_window_was_aimed_at_is_written_below_it() -> None:
    samples, dataset = made(View("crop", 24), focus=1.0)
    captions = [shot.caption for row in preview_rows(samples, dataset, 4, 4) for shot in row.draws]
    assert all(", aimed at tree" in caption or ", aimed at road" in caption for caption in captions)


def test_fewer_images_than_asked_for_are_all_of_them() -> None:
    samples, dataset = made(View("whole", 32))
    assert [row.name for row in preview_rows(samples, dataset, 9, 1)] == [f"images/{index}" for index in range(4)]


def test_the_sheet_holds_outlines_hatching_and_legend() -> None:
    samples, dataset = made(View("whole", 32), augment="none")
    sheet = draw_sheet(preview_rows(samples, dataset, 2, 3), dataset, ["set", "one line", "another"])
    assert sheet.dtype == np.uint8 and sheet.shape[1] > 4 * TILE and sheet.shape[0] > 2 * TILE
    colours = palette(3)
    for label in (1, 2):  # pure in the legend, and as lines in the pictures above it
        exact = (sheet == colours[label]).all(axis=2)
        assert exact[-110:].any() and exact[:-110].any()
    hatch = (sheet == (225, 225, 225)).all(axis=2)
    assert hatch[:-110].any() and hatch[-110:].any()
    assert (sheet[0] == 255).all()


def test_without_ignored_pixels_the_legend_doesnt_speak_of_them() -> None:
    samples, dataset = made(View("whole", 32), augment="none")
    for index in range(4):
        image, mask = samples.store.get(index)
        samples.store.put(index, image, np.where(mask == IGNORE, 0, mask).astype(np.uint8))
    sheet = draw_sheet(preview_rows(samples, dataset, 1, 1), dataset, ["set"])
    assert not (sheet == (225, 225, 225)).all(axis=2).any()


@pytest.mark.parametrize("count", [2, 40])
def test_any_number_of_classes_and_any_name_fits_the_sheet(count: int) -> None:
    names = ["ground", *(f"a class with a rather long name, number {label}" for label in range(1, min(count, 4))),
             *(f"k{label}" for label in range(4, count))]  # fmt: skip
    samples, dataset = made(View("whole", 32), names=tuple(names[:4]) if count == 2 else tuple(names))
    sheet = draw_sheet(preview_rows(samples, dataset, 1, 1), dataset, ["x" * 400, ", ".join(["words"] * 90)])
    margin = 30
    assert (sheet[:, -margin:] == 255).all() and (sheet[-margin // 2 :] == 255).all()  # nothing runs over the edge


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_bands_can_be_looked_at(channels: int) -> None:
    from dataclasses import replace

    samples, dataset = made(View("whole", 32), augment="none")
    bands = replace(RGB, chosen=tuple(range(channels)))
    store = PixelStore(samples.store.records, samples.store.sizes, bands, "ram", None)
    for index in range(4):
        store.put(index, np.full((SIDE, 64, channels), 90, np.uint8), samples.store.get(index)[1])
    many = TrainSamples(store, range(4), View("whole", 32), resolve([AugmentOp(name="brightness")]), 0, 1)
    rows = preview_rows(many, dataset, 1, 2)
    assert all(shot.image.shape == (32, 32, 3) for shot in (rows[0].original, *rows[0].draws))


def test_only_a_sheet_of_ours_is_overwritten(tmp_path: Path) -> None:
    samples, dataset = made(View("whole", 32))
    sheet = draw_sheet(preview_rows(samples, dataset, 1, 1), dataset, ["set"])
    save_sheet(tmp_path / "new" / "sheet.png", sheet)
    save_sheet(tmp_path / "new" / "sheet.png", sheet)
    with Image.open(tmp_path / "new" / "sheet.png") as picture:
        assert (np.asarray(picture) == sheet).all()
    photo = tmp_path / "photo.png"
    Image.fromarray(sheet).save(photo)
    before = photo.read_bytes()
    with pytest.raises(UsageError, match="an earlier preview"):
        save_sheet(photo, sheet)
    assert photo.read_bytes() == before
    with pytest.raises(UsageError, match=r"must end in .png.*sheet.png"):
        save_sheet(tmp_path / "sheet.jpg", sheet)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["photo.png", "sheet.png"]
