"""What a run remembers of its split: lists with hashes, by which anything missing, moved, changed or added shows."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.config.data import DataConfig
from maskwright.data.opening import open_dataset
from maskwright.data.record import data_document, read_split
from maskwright.errors import DataError


@pytest.fixture
def root(make_set) -> Path:
    return make_set(10)


@pytest.fixture
def document(root: Path) -> dict[str, Any]:
    return data_document(open_dataset(DataConfig(root=str(root))).dataset)


def entry(document: dict[str, Any], split: str = "test") -> dict[str, Any]:
    return document["splits"][split][0]


def test_a_split_is_a_list_of_files_with_the_hashes_of_their_bytes(root: Path, document: dict[str, Any]) -> None:
    for split, number in {"train": 6, "val": 2, "test": 2}.items():
        assert len(document["splits"][split]) == number
        for one in document["splits"][split]:
            for kind in ("image", "mask"):
                assert one[f"{kind}_sha256"] == hashlib.sha256((root / one[kind]).read_bytes()).hexdigest()
    assert document["split"] == {"reason": "dealt with seed 0", "seed": 0, "folds": None, "fold": None, "group": None}


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_missing_file_is_named(root: Path, document: dict[str, Any], kind: str) -> None:
    (root / entry(document)[kind]).unlink()
    with pytest.raises(DataError, match=rf"{Path(entry(document)[kind]).name}.*it is missing"):
        list(read_split(document, "test"))
    assert len(list(read_split(document, "train"))) == 6  # the other splits are as they were


def test_a_changed_mask_is_noticed_even_when_its_pixels_are_the_same(
    root: Path, document: dict[str, Any], write_image
) -> None:
    path = root / entry(document)["mask"]
    before = path.read_bytes()
    list(read_split(document, "test"))
    path.write_bytes(before + b"\0")
    with pytest.raises(
        DataError, match=rf"`{path}` must be the file the run was made with; its content changed\. Put the file back"
    ):
        list(read_split(document, "test"))
    path.write_bytes(before)
    assert len(list(read_split(document, "test"))) == 2


def test_a_changed_image_is_noticed(root: Path, document: dict[str, Any], write_image) -> None:
    write_image(root / entry(document)["image"], np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(DataError, match="its content changed"):
        list(read_split(document, "test"))


def test_files_that_changed_places_are_noticed(root: Path, document: dict[str, Any]) -> None:
    """Both files are there, under each other's name."""
    one, two = (root / other["image"] for other in document["splits"]["test"])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with pytest.raises(DataError, match="its content changed"):
        list(read_split(document, "test"))


def test_an_added_file_is_not_scored_and_changes_nothing(root: Path, document: dict[str, Any]) -> None:
    before = [(name, image.tobytes(), mask.tobytes()) for name, image, mask in read_split(document, "test")]
    for folder in ("images", "masks"):
        shutil.copy(root / folder / "000.png", root / folder / "999.png")
    assert [(name, image.tobytes(), mask.tobytes()) for name, image, mask in read_split(document, "test")] == before


def test_an_added_pair_gives_another_fingerprint(root: Path, document: dict[str, Any], write_image) -> None:
    write_image(root / "images" / "999.png", np.random.default_rng(9).integers(0, 255, (24, 32, 3), np.uint8))
    shutil.copy(root / "masks" / "000.png", root / "masks" / "999.png")
    assert open_dataset(DataConfig(root=str(root))).dataset.fingerprint != document["fingerprint"]


def test_a_moved_folder_is_read_where_it_is_now(root: Path, document: dict[str, Any], tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(root, moved)
    with pytest.raises(DataError, match=rf"`{root}` .*not there.*--data"):
        list(read_split(document, "test"))
    assert [name for name, _, _ in read_split(document, "test", moved)] == [
        one["id"] for one in document["splits"]["test"]
    ]
    assert open_dataset(DataConfig(root=str(moved))).dataset.fingerprint == document["fingerprint"]


def test_the_group_an_image_was_kept_with_is_recorded(write_image, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for video in range(8):
        for frame in range(2):
            name = f"vid{video}_f{frame:02d}.png"
            write_image(tmp_path / "images" / name, rng.integers(0, 255, (20, 24, 3), np.uint8))
            write_image(tmp_path / "masks" / name, rng.integers(0, 2, (20, 24), np.uint8))
    document = data_document(open_dataset(DataConfig(root=str(tmp_path))).dataset)
    groups = [{one["group"] for one in entries} for entries in document["splits"].values()]
    assert set().union(*groups) == {f"vid{video}" for video in range(8)}
    assert sum(map(len, groups)) == 8  # each on one side
    assert document["split"]["group"] is not None
    assert any(
        note.startswith("groups were guessed from names such as 'images/vid0_f00'") for note in document["notes"]
    )
