"""Opening a data set keeps near-duplicates on one side: copies turned, brightened or saved anew are found by their
pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.layouts import runs, save
from maskwright.config.data import DataConfig
from maskwright.data import opening
from maskwright.data.checks.audit import audit
from maskwright.data.dataset import Dataset
from maskwright.data.images import decode_image
from maskwright.data.opening import open_dataset
from maskwright.data.record import data_document
from maskwright.data.synthetic import make


@pytest.fixture(scope="module")
def copies(tmp_path_factory, write_image) -> Path:
    """Fourteen pictures of jigsaw pieces under running numbers; three of them once more as 14, 15 and 16, changed."""
    root = tmp_path_factory.mktemp("copies")
    make("puzzle", root, count=14, size=(96, 128), seed=3)
    (root / "pairs.csv").unlink()
    images, masks = sorted((root / "images").iterdir()), sorted((root / "masks").iterdir())
    changes = {14: np.fliplr, 15: lambda pixels: np.rot90(pixels, 2), 16: lambda pixels: pixels}
    for number, change in changes.items():
        image = decode_image(images[number - 14].read_bytes(), images[number - 14])
        mask = decode_image(masks[number - 14].read_bytes(), masks[number - 14])[..., 0]
        brighter = np.clip(change(image).astype(int) + 6, 0, 255).astype(np.uint8)
        write_image(root / "images" / f"zcopy-{number}.jpg", np.ascontiguousarray(brighter), quality=92)
        write_image(root / "masks" / f"zcopy-{number}.png", np.ascontiguousarray(change(mask)))
    for place, (image, mask) in enumerate(zip(images, masks, strict=True)):  # plain names, alike on both sides
        image.rename(root / "images" / f"a{place:02d}b{image.suffix}")
        mask.rename(root / "masks" / f"a{place:02d}b{mask.suffix}")
    return root


def opened(root: Path, **split: object) -> Dataset:
    return open_dataset(DataConfig.model_validate({"root": str(root), "split": split})).dataset


@pytest.mark.parametrize("seed", range(4))
def test_changed_copies_stay_on_the_side_of_their_picture(copies: Path, seed: int) -> None:
    dataset = opened(copies, seed=seed)
    side = {item.record.id: item.record.split for item in dataset.items}
    for number in range(3):
        assert side[f"images/a{number:02d}b"] == side[f"images/zcopy-{14 + number}"]
    assert sum("6 images were kept together because they are nearly the same" in note for note in dataset.notes) == 1
    assert all(abs(number - asked) <= 1 for number, asked in zip(dataset.sizes().values(), (11, 3, 3), strict=True))


def test_the_group_of_near_duplicates_is_recorded(copies: Path) -> None:
    entries = [entry for entries in data_document(opened(copies))["splits"].values() for entry in entries]
    groups = {entry["id"]: entry["group"] for entry in entries if entry["group"]}
    assert groups == {
        name: f"images/a{number:02d}b"
        for number in range(3)
        for name in (f"images/a{number:02d}b", f"images/zcopy-{14 + number}")
    }


def test_with_null_they_are_dealt_freely_and_told(copies: Path) -> None:
    told = [note for seed in range(6) for note in opened(copies, seed=seed, group=None).notes]
    assert told and all("nearly the same as one in another split" in note for note in told)


def test_folds_keep_them_together_and_the_test_alike(copies: Path) -> None:
    dealt = [opened(copies, folds=3, fold=fold) for fold in range(3)]
    for dataset in dealt:
        side = {item.record.id: item.record.split for item in dataset.items}
        assert all(side[f"images/a{number:02d}b"] == side[f"images/zcopy-{14 + number}"] for number in range(3))
    tests = {tuple(dataset.items[index].record.id for index in dataset.split("test")) for dataset in dealt}
    assert len(tests) == 1


def test_images_with_splits_of_their_own_are_not_looked_at_for_it(copies: Path, tmp_path: Path, monkeypatch) -> None:
    """The count of looks is taken by wrapping the function itself, because nothing else shows whether time was
    spent.
    """
    rows = ["image,mask,split"]
    for number, image in enumerate(sorted((copies / "images").iterdir())):
        rows.append(
            f"{image},{copies / 'masks' / image.with_suffix('.png').name},{('train', 'test', 'train')[number % 3]}"
        )
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    looked: list[int] = []
    real = opening.signature
    monkeypatch.setattr(opening, "signature", lambda image: (looked.append(1), real(image))[1])
    dataset = opened(table)
    assert len(looked) == 11  # those of train, from which val is dealt
    assert dataset.sizes()["test"] == 6
    table.write_text("\n".join(rows).replace(",test", ",val"), encoding="utf-8")
    looked.clear()
    assert opened(table).sizes() == {"train": 11, "val": 6, "test": 0}
    assert looked == []


# Layouts that can name a test: where a picture and its mask lie, and the files that say which is which.
Named = dict[str, str]  # a picture's name → its split


def _lists(folder: Path, named: Named, files: dict[str, str], line: str = "{}\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, file in files.items():
        (folder / file).write_text(
            "".join(line.format(name) for name, own in named.items() if own == split), encoding="utf-8"
        )


def _csv(root: Path, named: Named, mask: np.ndarray) -> None:
    rows = "".join(f"images/{name}.png,masks/{name}.png,{split}\n" for name, split in named.items())
    (root / "pairs.csv").write_text(f"image,mask,split\n{rows}", encoding="utf-8")


def _coco(root: Path, named: Named, mask: np.ndarray) -> None:
    (root / "annotations").mkdir()
    for split in ("train", "test"):
        names = [name for name, own in named.items() if own == split]
        size = {"height": mask.shape[0], "width": mask.shape[1]}
        images = [{"id": number, "file_name": f"{name}.png", **size} for number, name in enumerate(names)]
        drawn = [
            {"id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "segmentation": runs(mask > 0)}
            for n in range(len(names))
        ]
        document = {"images": images, "annotations": drawn, "categories": [{"id": 1, "name": "block"}]}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")


# images, masks (none: the last function writes them), and that function
NAMED_SPLITS: dict[str, tuple[str, str, Callable[[Path, Named, np.ndarray], None]]] = {
    "csv": ("images/{name}.png", "masks/{name}.png", _csv),
    "folders": ("{split}/images/{name}.png", "{split}/masks/{name}.png", lambda *_: None),
    "workshop": ("{split}_SET/IMAGES/{name}.png", "{split}_SET/MASKS/{name}.png", lambda root, *_: (
        (root / "train_SET").rename(root / "TRAIN_VAL_SET"), (root / "test_SET").rename(root / "TEST_SET"),
        (root / "label_mapping.json").write_text('{"ground": 0, "block": 1}', encoding="utf-8"))),
    "oxford-pet": ("images/{name}.jpg", "annotations/trimaps/{name}.png", lambda root, named, _: _lists(
        root / "annotations", named, {"train": "trainval.txt", "test": "test.txt"}, "{} 1 1 1\n")),
    "voc": ("JPEGImages/{name}.jpg", "SegmentationClass/{name}.png", lambda root, named, _: _lists(
        root / "ImageSets" / "Segmentation", named, {"train": "train.txt", "test": "test.txt"})),
    "coco": ("images/{name}.png", "", _coco),
}  # fmt: skip


@pytest.mark.parametrize("split", [{}, {"folds": 2}], ids=["val of train", "folds"])
@pytest.mark.parametrize("layout", NAMED_SPLITS)
def test_copies_inside_train_and_inside_test_are_kept_where_they_are(
    layout: str, split: dict[str, int], tmp_path: Path
) -> None:
    """Near-duplicates on the side that is not dealt are nobody's to deal; those in train stay together."""
    image, mask, finish = NAMED_SPLITS[layout]
    named = {f"beagle_{number}": "train" if number < 6 else "test" for number in range(10)}
    drawn = np.zeros((60, 80), np.uint8)
    drawn[20:40, 30:60] = 1
    for number, (name, own) in enumerate(named.items()):
        seed = {1: 0, 7: 6}.get(number, number)  # beagle_1 and beagle_7 are copies
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8).repeat(10, 0).repeat(10, 1)
        save(tmp_path / image.format(name=name, split=own), np.ascontiguousarray(pixels))
        if mask:
            save(tmp_path / mask.format(name=name, split=own), drawn if layout != "oxford-pet" else 2 - drawn)
    finish(tmp_path, named, drawn)
    config = DataConfig.model_validate({"root": str(tmp_path), "split": split})
    found, dataset = audit(config), open_dataset(config).dataset
    assert found.reader == layout and found.clean
    assert {one.id: one.split for one in found.records} == {item.record.id: item.record.split for item in dataset.items}
    side = {Path(item.record.id).name: item.record.split for item in dataset.items}
    assert [name for name, own in side.items() if own == "test"] == [
        name for name, own in named.items() if own == "test"
    ]
    assert side["beagle_0"] == side["beagle_1"] and set(side.values()) == {"train", "val", "test"}
