"""The satellite workshop's layout: both spellings, tests with and without masks, ids and colours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.layouts import blocks, coded, make_workshop, noise, save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.readers import list_records
from maskwright.errors import DataError

RGB = {0: (0, 0, 0), 1: (0, 0, 255), 2: (128, 64, 128)}
NAMES = ("background", "water", "road")


def read(root: Path, **options: object) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def opened(root: Path) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), "split": {"group": None}}))


def build(
    root: Path, mapping: object, codes: dict[int, int | tuple[int, int, int]], palette: tuple[int, ...] = ()
) -> Path:
    """Four pairs of three classes, written as `codes` say."""
    for index in range(4):
        labels = blocks(index, 3)
        save(root / "TRAIN_VAL_SET" / "IMAGES" / f"{index}.png", noise(index, labels.shape))
        save(root / "TRAIN_VAL_SET" / "MASKS" / f"{index}.png", coded(labels, codes), palette)
    (root / "label_mapping.json").write_text(json.dumps(mapping), encoding="utf-8")
    return root


def labels_are_right(found: Opened) -> bool:
    masks = {item.record.image.stem: found.store.get(index)[1] for index, item in enumerate(found.dataset.items)}
    return all((masks[str(index)] == blocks(index, 3)).all() for index in range(4))


@pytest.mark.parametrize("name", ["TRAIN_VAL_SET", "TAIN_VAL_SET", "train_val_set", "TrainValSet"])
def test_every_spelling_is_recognised(name: str, tmp_path: Path) -> None:
    make_workshop(tmp_path)
    (tmp_path / "TRAIN_VAL_SET").rename(tmp_path / name)
    listing = read(tmp_path)
    assert listing.reader == "workshop"
    assert listing.reason == f"IMAGES/ beside MASKS/, {name} is train and TEST_SET is test, paired by the same name"
    assert sum(record.split == "train" for record in listing.records) == 4


def test_val_is_dealt_from_train_and_test_is_kept(tmp_path: Path) -> None:
    make_workshop(tmp_path)
    assert opened(tmp_path).dataset.sizes() == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize("flat", [True, False])
def test_a_test_without_masks_is_noted(flat: bool, tmp_path: Path) -> None:
    make_workshop(tmp_path)
    shutil.rmtree(tmp_path / "TEST_SET" / "MASKS")
    where = tmp_path / "TEST_SET" / "IMAGES"
    if flat:
        (where / "9.png").rename(tmp_path / "TEST_SET" / "9.png")
        where.rmdir()
        where = tmp_path / "TEST_SET"
    listing = read(tmp_path)
    assert {record.split for record in listing.records} == {"train"}
    told = "TEST_SET has 1 images and no masks, so there is no test to score; predict them with maskwright predict RUN"
    assert listing.notes == (f"{told} {where}",)


@pytest.mark.parametrize("emptied", ["MASKS", "IMAGES", "both"])
def test_half_a_test(emptied: str, tmp_path: Path) -> None:
    """Without masks it is noted, with masks alone refused, with nothing noted."""
    make_workshop(tmp_path)
    for name in ("IMAGES", "MASKS") if emptied == "both" else (emptied,):
        (tmp_path / "TEST_SET" / name / "9.png").unlink()
    if emptied == "IMAGES":
        with pytest.raises(DataError, match=r"TEST_SET/IMAGES` must hold at least one image file"):
            read(tmp_path)
        return
    words = {"MASKS": "1 images and no masks", "both": "holds no images, so there is no test"}[emptied]
    assert words in read(tmp_path).notes[0]


def test_no_test_at_all(tmp_path: Path) -> None:
    make_workshop(tmp_path)
    shutil.rmtree(tmp_path / "TEST_SET")
    assert read(tmp_path).notes == ()


def test_names_that_differ_in_a_word_pair(tmp_path: Path) -> None:
    make_workshop(tmp_path)
    for path in sorted((tmp_path / "TRAIN_VAL_SET" / "MASKS").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    assert len(read(tmp_path).records) == 5
    (tmp_path / "TRAIN_VAL_SET" / "MASKS" / "2_mask.png").unlink()
    with pytest.raises(DataError, match="without a mask: 2"):
        read(tmp_path)


def test_ids(tmp_path: Path) -> None:
    found = opened(build(tmp_path, {"road": 9, "background": 0, "water": 4}, {0: 0, 1: 4, 2: 9}))
    assert found.dataset.classes.names == NAMES
    assert labels_are_right(found)


def test_id_to_name(tmp_path: Path) -> None:
    found = opened(build(tmp_path, dict(zip("012", NAMES, strict=True)), {0: 0, 1: 1, 2: 2}))
    assert found.dataset.classes.names == NAMES
    assert labels_are_right(found)


@pytest.mark.parametrize("form", ["list", "hex"])
def test_colours(form: str, tmp_path: Path) -> None:
    mapping = {
        name: list(RGB[i]) if form == "list" else "#{:02x}{:02x}{:02x}".format(*RGB[i]) for i, name in enumerate(NAMES)
    }
    found = opened(build(tmp_path, dict(reversed(mapping.items())), RGB))
    assert found.dataset.classes.names == ("background", "road", "water")
    assert {item.record.form.kind for item in found.dataset.items} == {"colour"}
    swapped = {int(i): blocks(i, 3) for i in range(4)}
    for index, item in enumerate(found.dataset.items):
        truth = swapped[int(item.record.image.stem)]
        assert (found.store.get(index)[1] == np.array([0, 2, 1], np.uint8)[truth]).all()


BOTH = [{"name": name, "id": index, "color": list(RGB[index])} for index, name in enumerate(NAMES)]
FLAT = tuple(part for colour in RGB.values() for part in colour)


@pytest.mark.parametrize(("hold", "codes", "palette", "kind"), [
    ("ids", {0: 0, 1: 1, 2: 2}, (), "picture"),
    ("ids", {0: 0, 1: 1, 2: 2}, FLAT, "picture"),
    ("colours", RGB, (), "colour"),
])  # fmt: skip
def test_ids_and_colours_are_told_apart_by_the_masks(
    hold: str, codes: dict, palette: tuple, kind: str, tmp_path: Path
) -> None:
    found = opened(build(tmp_path, BOTH, codes, palette))
    assert found.dataset.classes.names == NAMES
    assert labels_are_right(found)
    assert {item.record.form.kind for item in found.dataset.items} == {kind}
    other = "colours" if hold == "ids" else "ids"
    assert (
        f"label_mapping.json gives ids and colours; the masks hold {hold}, so its {other} are not used"
        in found.dataset.notes
    )


def test_black_masks_decide_nothing(tmp_path: Path) -> None:
    """The first masks hold background alone, which is 0 as an id and as a colour."""
    root = build(tmp_path, BOTH, RGB)
    for name in ("0", "1"):
        path = root / "TRAIN_VAL_SET" / "MASKS" / f"{name}.png"
        with Image.open(path) as mask:
            save(path, np.zeros((mask.height, mask.width, 3), np.uint8))
    assert read(root).colours


def test_a_broken_mask_decides_nothing(tmp_path: Path) -> None:
    root = build(tmp_path, BOTH, RGB)
    path = root / "TRAIN_VAL_SET" / "MASKS" / "0.png"
    path.write_bytes(path.read_bytes()[:40])
    assert read(root).colours
    with pytest.raises(DataError, match=r"0\.png` must be"):
        opened(root)


def test_other_keys_are_noted(tmp_path: Path) -> None:
    root = build(tmp_path, {"version": 1, "classes": dict(zip(NAMES, range(3), strict=True))}, {0: 0, 1: 1, 2: 2})
    assert read(root).notes == ("version in label_mapping.json are not used",)


def test_a_mapping_beside_the_images_and_none_at_all(tmp_path: Path) -> None:
    root = build(tmp_path, dict(zip(NAMES, range(3), strict=True)), {0: 0, 1: 1, 2: 2})
    (root / "label_mapping.json").rename(root / "TRAIN_VAL_SET" / "label_mapping.json")
    assert opened(root).dataset.classes.names == NAMES
    (root / "TRAIN_VAL_SET" / "label_mapping.json").unlink()
    found = opened(root)
    assert found.dataset.classes.names == ("class_0", "class_1", "class_2")
    assert "label_mapping.json is not there, so classes are read off the masks' values" in found.dataset.notes


def test_a_mapping_that_does_not_fit_the_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mask values must be known \(0 = background, 1 = water, .*hold others"):
        opened(build(tmp_path, {"background": 0, "water": 1}, {0: 0, 1: 1, 2: 2}))
    with pytest.raises(DataError, match=r"#804080"):
        opened(build(tmp_path, {"background": "#000000", "water": "#0000ff"}, RGB))
    with pytest.raises(DataError, match=r"`label_mapping\.json` must name 2 to 255 classes"):
        opened(build(tmp_path, {"background": 0}, {0: 0, 1: 1, 2: 2}))


def test_without_its_folders_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="must hold TRAIN_VAL_SET/ with IMAGES/ and MASKS/ for reader workshop; got no such folder"
    ):
        read(tmp_path, reader="workshop")
    (tmp_path / "TAIN_VAL_SET" / "IMAGES").mkdir(parents=True)
    with pytest.raises(DataError, match="got TAIN_VAL_SET/ without them"):
        read(tmp_path)
