"""What every reader must do: each entry of READERS, on a small data set in its layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from data.layouts import LAYOUTS, Expected
from maskwright.config.data import DataConfig, ReaderName
from maskwright.data.dataset import Record
from maskwright.data.opening import open_dataset
from maskwright.data.readers import READERS, list_records
from maskwright.data.record import data_document, read_split
from maskwright.errors import DataError

Made = tuple[str, Path, Expected]


@pytest.fixture(params=READERS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A reader's name, a data set in its layout, and what that must be read as."""
    root = tmp_path / "set"
    root.mkdir()
    return request.param, root, LAYOUTS[request.param](root)


def config_for(root: Path, reader: str = "auto") -> DataConfig:
    return DataConfig.model_validate({"root": str(root), "reader": reader, "split": {"group": None}})


def records_of(root: Path, reader: str = "auto") -> tuple[Record, ...]:
    return list_records(config_for(root, reader)).records


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def refusal(root: Path, reader: str) -> str:
    """The sentence opening stops with."""
    with pytest.raises(DataError) as refused:
        open_dataset(config_for(root, reader))
    told = str(refused.value)
    assert "\n" not in told and told.endswith("."), told
    assert "must" in told, told
    return told


def test_registry_configuration_and_layouts_name_the_same_readers() -> None:
    assert {"auto", *READERS} == set(get_args(ReaderName))
    assert set(LAYOUTS) == set(READERS)


def test_the_most_specific_reader_is_asked_first() -> None:
    # which reads pairs.csv too, when its files are georeferenced
    explicit = [name for name in READERS if name != "geotiff"]
    assert explicit[0] == "csv"
    assert list(READERS)[-1] == "folders"  # which takes any folder


def test_auto_recognises_it_and_says_why(made: Made) -> None:
    name, root, _ = made
    why = READERS[name].recognise(config_for(root), root)
    assert why and "\n" not in why
    listing = list_records(config_for(root))
    assert listing.reader == name
    assert listing.reason


def test_a_reader_keeps_away_from_an_empty_folder(tmp_path: Path) -> None:
    assert [name for name, reader in READERS.items() if reader.recognise(config_for(tmp_path), tmp_path)] == ["folders"]


def test_folders_named_by_hand_go_first(made: Made) -> None:
    _, root, _ = made
    config = DataConfig(root=str(root), images="a", masks="b")
    for reader in READERS.values():
        if reader is not READERS["folders"]:
            assert reader.recognise(config, root) is None


def test_records_are_those_of_the_set(made: Made) -> None:
    _, root, expected = made
    records = records_of(root)
    assert {record.id: record.split for record in records} == dict(expected.splits)
    assert len(records) == len(expected.splits) == len(expected.labels)
    for record in records:
        assert record.image.is_file()
        assert record.mask.exists()


def test_opening_gives_the_classes_and_the_labels_of_each_pixel(made: Made) -> None:
    name, root, expected = made
    opened = open_dataset(config_for(root))
    assert opened.dataset.reader == name
    assert opened.dataset.classes.names == expected.classes
    assert len(opened.dataset.items) == len(expected.labels)
    for index, item in enumerate(opened.dataset.items):
        image, mask = opened.store.get(index)
        truth = expected.labels[item.record.id]
        assert image.shape[:2] == mask.shape == truth.shape == (item.height, item.width)
        assert (mask == truth).all(), item.record.id
        assert item.class_pixels == tuple(int((truth == label).sum()) for label in range(len(expected.classes)))


def test_a_run_reads_the_same_back(made: Made) -> None:
    _, root, expected = made
    opened = open_dataset(config_for(root))
    images = {item.record.id: opened.store.get(index)[0] for index, item in enumerate(opened.dataset.items)}
    splits = {item.record.id: item.record.split for item in opened.dataset.items}
    document = json.loads(json.dumps(data_document(opened.dataset)))
    root.rename(moved := root.with_name("elsewhere"))
    seen: set[str] = set()
    for split in sorted(set(splits.values())):
        for name, image, mask in read_split(document, split, moved):
            assert (mask == expected.labels[name]).all()
            assert (image == images[name]).all()
            assert splits[name] == split
            seen.add(name)
    assert seen == set(expected.labels)


def test_without_any_file_it_is_one_sentence(made: Made) -> None:
    name, root, _ = made
    for record in records_of(root):
        remove(record.image)
        remove(record.mask)
    for reader in ("auto", name):
        sentence = refusal(root, reader)
        held = [path.relative_to(root).as_posix() for path in root.rglob("*")]
        assert root.name in sentence or any(f"`{path}`" in sentence for path in held)


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_one_missing_file_is_one_sentence_that_names_it(kind: str, made: Made) -> None:
    name, root, _ = made
    gone: Path = getattr(records_of(root)[0], kind)
    remove(gone)
    told = refusal(root, name)
    assert gone.stem in told


def test_asked_for_by_name_in_the_wrong_folder_it_is_one_sentence(made: Made, tmp_path: Path) -> None:
    name, _, _ = made
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("nothing to see", encoding="utf-8")
    assert "other" in refusal(tmp_path / "other", name)
    assert "notes.txt" in refusal(tmp_path / "other" / "notes.txt", name)
