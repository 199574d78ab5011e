"""Ids of records: files are written under them, so they stay inside a folder and are all different."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.opening import open_dataset
from maskwright.data.readers import list_records
from maskwright.data.record import data_document, read_split
from maskwright.errors import DataError, RunError
from support import TINY, discs, maskwright, picture


def pairs(root: Path, *rows: tuple[object, object]) -> Path:
    """A CSV of pairs in a folder, and their files."""
    root.mkdir(parents=True, exist_ok=True)
    for seed, (image, mask) in enumerate(rows):
        pixels, labels = discs(32, 40, seed)
        picture(root / str(image), pixels)
        picture(root / str(mask), labels)
    (root / "pairs.csv").write_text("\n".join(["image,mask", *(f"{image},{mask}" for image, mask in rows)]) + "\n")
    return root


def ids(root: Path, **options: object) -> list[str]:
    return [record.id for record in list_records(DataConfig.model_validate({"root": str(root), **options})).records]


def test_images_elsewhere_are_called_by_their_place_beside_each_other(tmp_path):
    away = tmp_path / "away"
    rows = [(away / "a" / "1.png", "m/1.png"), (away / "b" / "1.png", "m/2.png"), ("i/1.png", "m/3.png")]
    assert ids(pairs(tmp_path / "set", *rows)) == ["away/a/1", "away/b/1", "i/1"]
    assert ids(pairs(tmp_path / "other", ("../away/a/2.png", "m/1.png"))) == ["a/2"]


def test_a_place_inside_is_the_same_however_it_is_written(tmp_path):
    root = tmp_path / "set"
    assert ids(pairs(root, (root / "i" / "1.png", "m/1.png"), ("./i/2.png", "m/2.png"))) == ["i/1", "i/2"]


def test_images_that_differ_in_their_suffix_alone_are_told_apart(tmp_path):
    root = pairs(tmp_path / "set", ("i/1.png", "m/1.png"), ("i/1.bmp", "m/2.png"), ("i/2.png", "m/3.png"))
    assert ids(root) == ["i/1.png", "i/1.bmp", "i/2"]


def test_images_that_would_be_called_the_same_are_refused(tmp_path):
    root = pairs(tmp_path / "set", ("i/1.png", "m/1.png"), (tmp_path / "i" / "1.png", "m/2.png"))
    with pytest.raises(DataError, match=r"images must have names of their own; .*i/1\.png would both be i/1\.png"):
        ids(root)


def test_names_in_an_old_encoding_are_refused_with_the_files(tmp_path):
    """As an archive of another system leaves them: they cannot be written into JSON, YAML or a page."""
    root = pairs(tmp_path / "set", *((f"images/{n}.png", f"masks/{n}.png") for n in range(3)))
    (root / "pairs.csv").unlink()
    for folder in ("images", "masks"):
        place = os.fsencode(root / folder)
        os.rename(place + b"/1.png", place + b"/M\xfcnze.png")  # noqa: PTH104 - no text
    outcome = maskwright("train", "--data", root, *TINY, "--out", tmp_path / "run")
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert r"names of files and folders must be UTF-8; those of M\udcfcnze.png are not." in outcome.sentence


def test_evaluating_never_writes_over_images_that_lie_elsewhere(tmp_path):
    """Labels are written as ID.png: with an absolute path for an id they would take the image's place."""
    away = tmp_path / "away"
    root = pairs(tmp_path / "set", *((away / f"{n}.png", f"m/{n}.png") for n in range(8)))
    before = {path: path.read_bytes() for path in away.iterdir()}
    run = tmp_path / "run"
    assert maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", run).code == 0
    outcome = maskwright("evaluate", run, "--pictures")
    assert outcome.code == 0, outcome.err
    assert {path: path.read_bytes() for path in away.iterdir()} == before
    assert len(list((run / "evaluation" / "predictions" / "test" / "away").iterdir())) == 2


def test_images_elsewhere_are_found_again_where_the_folder_is_a_link(tmp_path):
    real = tmp_path / "deep" / "down" / "set"
    pairs(real, *((tmp_path / "away" / f"{n}.png", f"m/{n}.png") for n in range(5)))
    (tmp_path / "link").symlink_to(real)
    opened = open_dataset(DataConfig(root=str(tmp_path / "link")))
    document = data_document(opened.dataset)
    seen = [name for split in ("train", "val", "test") for name, _, _ in read_split(document, split)]
    assert sorted(seen) == [f"away/{n}" for n in range(5)]


def test_a_run_from_before_whose_ids_lead_outside_is_not_evaluated(tmp_path):
    """Its labels would be written over the images."""
    root = pairs(tmp_path / "set", *((f"i/{n}.png", f"m/{n}.png") for n in range(4)))
    document = data_document(open_dataset(DataConfig.model_validate({"root": str(root)})).dataset)
    split = next(name for name, entries in document["splits"].items() if entries)
    assert len(list(read_split(document, split))) == len(document["splits"][split])
    document["splits"][split][0]["id"] = str(root / "i" / "0")
    with pytest.raises(RunError, match="must lie inside its folders"):
        list(read_split(document, split))
