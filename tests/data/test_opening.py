"""Opening a data set: one look at each file, everything broken told together, nothing mixed up."""

from __future__ import annotations

import hashlib
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.repair import fix
from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import AHEAD
from maskwright.data.opening import Opened, load_pair, open_dataset
from maskwright.data.record import data_document, read_split, split_entries
from maskwright.errors import DataError, UsageError
from maskwright.runs import usable_cores
from support import opened as watched


def opened(root: Path, **options: object) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), **options}))


def test_a_set_is_opened(tiny_set: Path) -> None:
    found = opened(tiny_set)
    assert found.dataset.sizes() == {"train": 6, "val": 2, "test": 2}
    assert found.dataset.classes.names == ("background", "foreground")
    assert "images/ beside masks/, paired by the same name" in found.dataset.reason
    first = found.dataset.items[0]
    assert (first.height, first.width, first.record.id) == (24, 32, "images/000")
    data = first.record.image.read_bytes()
    assert first.image_hash == hashlib.sha256(data).hexdigest()
    assert sum(first.class_pixels) + first.ignored_pixels == 24 * 32
    assert sum(found.dataset.class_shares()) == pytest.approx(1)


def test_pixels_are_counted_by_class_and_ignored_ones_apart(make_set) -> None:
    found = opened(make_set(5, values=(0, 1, 2, 255)))
    for index, item in enumerate(found.dataset.items):
        mask = found.store.get(index)[1]
        assert item.class_pixels == tuple(int((mask == number).sum()) for number in range(3))
        assert item.ignored_pixels == (mask == IGNORE).sum() > 0
    assert any("of the pixels are ignored (value 255)" in note for note in found.dataset.notes)


def test_masks_of_one_name_in_several_folders_all_count(write_image, tmp_path: Path) -> None:
    """train/masks/1.png holds a class that val/masks/1.png doesn't."""
    for split, values in {"train": (0, 1, 2), "val": (0, 1), "test": (0, 1)}.items():
        write_image(tmp_path / split / "images" / "1.png", np.zeros((4, 3, 3), np.uint8))
        write_image(tmp_path / split / "masks" / "1.png", np.resize(np.array(values, np.uint8), (4, 3)))
    assert opened(tmp_path).dataset.classes.num_classes == 3


def test_a_wrong_value_is_found_whichever_folder_it_is_in(write_image, tmp_path: Path) -> None:
    for split, values in {"train": (0, 1, 9), "val": (0, 1)}.items():
        write_image(tmp_path / split / "images" / "1.png", np.zeros((4, 3, 3), np.uint8))
        write_image(tmp_path / split / "masks" / "1.png", np.resize(np.array(values, np.uint8), (4, 3)))
    with pytest.raises(DataError, match=r"1\.png \(9\)"):
        opened(tmp_path, classes=["a", "b"])


def test_all_broken_files_are_told_together(make_set, write_image) -> None:
    root = make_set(8)
    (root / "masks" / "001.png").write_bytes(b"")
    half = (root / "images" / "003.png").read_bytes()
    (root / "images" / "003.png").write_bytes(half[: len(half) // 2])
    write_image(root / "masks" / "005.png", np.zeros((24, 31), np.uint8))
    write_image(root / "masks" / "006.png", np.random.default_rng(0).integers(0, 9, (24, 32, 3), np.uint8))
    with pytest.raises(DataError) as refused:
        opened(root)
    told = str(refused.value)
    assert told.startswith("4 pairs cannot be used:")
    for words in (
        "masks/001.png",
        "an empty file",
        "images/003.png",
        "masks/005.png",
        "32x24 and 31x24",
        "masks/006.png",
        "colour",
    ):
        assert words in told


def test_broken_heads_are_told_together(make_set) -> None:
    root = make_set(6)
    for name in ("001", "004"):
        (root / "images" / f"{name}.png").write_text("words", encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)2 pairs cannot be used.*001\.png.*004\.png"):
        opened(root)


def test_more_than_twenty_problems_are_counted(make_set) -> None:
    root = make_set(25)
    for path in (root / "masks").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)25 pairs cannot be used.*and 21 more"):
        opened(root)


def test_a_class_missing_from_a_split_is_noted(write_image, tmp_path: Path) -> None:
    for number, split in enumerate(["train", "train", "val", "test"]):
        write_image(tmp_path / split / "images" / f"{number}.png", np.zeros((4, 3, 3), np.uint8))
        write_image(
            tmp_path / split / "masks" / f"{number}.png", np.full((4, 3), int(split == "train" and number), np.uint8)
        )
    notes = opened(tmp_path, classes=["sky", "road"]).dataset.notes
    assert notes == ("val has no pixel of road", "test has no pixel of road")


def test_progress_is_told(tiny_set: Path) -> None:
    told: list[tuple[int, int]] = []
    open_dataset(DataConfig(root=str(tiny_set)), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 10) for done in range(1, 11)]


@pytest.mark.parametrize("work", ["open", "audit", "repair"])
def test_files_are_read_a_few_a_core_ahead_of_what_was_taken(work: str, make_set, tmp_path: Path) -> None:
    """What is decoded and waits for a slow file before it is in memory all at once."""
    ahead = AHEAD * usable_cores()
    config = DataConfig(root=str(make_set(ahead + 8, values=(0, 255))))
    checked = audit(config)
    read: list[int] = []

    def slow(done: int, _: int) -> None:
        while done == 1 and (not read or len(masks()) > read[-1]):
            read.append(len(masks()))
            time.sleep(0.2)

    def masks() -> set[str]:
        return {path for path in paths if Path(path).parent.name == "masks"}

    with watched() as paths:
        if work == "open":
            open_dataset(config, progress=slow)
        elif work == "audit":
            audit(config, progress=slow)
        else:
            fix(checked, config, tmp_path / "out", slow)
    assert 0 < read[-1] <= ahead + 1, "and the one that was taken"


def test_the_fingerprint_is_of_contents_splits_and_classes(make_set, write_image, tmp_path: Path) -> None:
    one, same, other = make_set(6), make_set(6), make_set(6, seed=1)
    fingerprint = opened(one).dataset.fingerprint
    assert opened(same).dataset.fingerprint == fingerprint
    assert opened(other).dataset.fingerprint != fingerprint
    assert opened(one, classes=["a", "b"]).dataset.fingerprint != fingerprint
    assert opened(one, split={"seed": 5}).dataset.fingerprint != fingerprint


def test_opening_leaves_the_filters_for_warnings_alone(make_set) -> None:
    """Files are read in threads; what one of them silences must not stay silent for the program."""
    root = make_set(40)
    before = list(warnings.filters)
    for _ in range(5):
        opened(root)
    assert list(warnings.filters) == before


def test_a_pair_is_loaded_as_opened(tiny_set: Path) -> None:
    found = opened(tiny_set)
    item = found.dataset.items[4]
    image, mask, hashes = load_pair(item.record, found.dataset.classes, found.dataset.bands)
    assert (image == found.store.get(4)[0]).all()
    assert (mask == found.store.get(4)[1]).all()
    assert hashes == (item.image_hash, item.mask_hash)


def test_a_document_brings_each_split_back(make_set, write_image) -> None:
    root = make_set(6)
    found = opened(root)
    document = data_document(found.dataset)
    for split in ("train", "val", "test"):
        back = list(read_split(document, split))
        indices = found.dataset.split(split)
        assert [name for name, _, _ in back] == [found.dataset.items[index].record.id for index in indices]
        assert all((mask == found.store.get(index)[1]).all() for index, (_, _, mask) in zip(indices, back, strict=True))
    changed = found.dataset.items[found.dataset.split("test")[0]].record.mask
    write_image(changed, np.ones((24, 32), np.uint8))
    with pytest.raises(DataError, match="must be the file the run was made with"):
        list(read_split(document, "test"))
    with pytest.raises(UsageError, match="Did you mean 'test'"):
        split_entries(document, "tset")


def test_an_empty_split_is_told_with_those_that_are_not(make_set) -> None:
    document = data_document(opened(make_set(6), split={"test": 0}).dataset)
    with pytest.raises(UsageError, match=r"that has images \(train, val\); got 'test'"):
        split_entries(document, "test")
