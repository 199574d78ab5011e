"""Opening a data set keeps near-duplicates on one side: copies turned, brightened or saved anew are found by their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.config.data import DataConfig
from maskwright.data import opening
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
    """The count of looks is taken by wrapping the function itself, because nothing else shows whether time was spent."""
    rows = ["image,mask,split"]
    for number, image in enumerate(sorted((copies / "images").iterdir())):
        rows.append(f"{image},{copies / 'masks' / image.with_suffix('.png').name},{('train', 'test', 'train')[number % 3]}")
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
