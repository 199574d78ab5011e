"""Generated sets in the layouts people learn with: what is written is read back as the same pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.opening import open_dataset
from maskwright.data.record import data_document, read_split
from maskwright.data.synthetic import LAYOUTS, make
from maskwright.errors import UsageError

COUNT, SIZE = 9, (48, 56)


def truths(root: Path) -> dict[str, np.ndarray]:
    """Class numbers of every mask, by the number in its name."""
    document = data_document(open_dataset(DataConfig(root=str(root)), None).dataset)
    return {
        name: mask
        for split, entries in document["splits"].items()
        if entries
        for name, _, mask in read_split(document, split)
    }


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for kind, layout in (
        ("landcover", "folders"),
        ("landcover", "workshop"),
        ("puzzle", "folders"),
        ("puzzle", "oxford-pet"),
    ):
        make(kind, root / f"{kind}-{layout}", COUNT, SIZE, layout=layout)
    return {path.name: path for path in root.iterdir()}


@pytest.mark.parametrize(("name", "reader"), [("landcover-workshop", "workshop"), ("puzzle-oxford-pet", "oxford-pet")])
def test_its_reader_recognises_it_and_finds_no_error(sets: dict[str, Path], name: str, reader: str) -> None:
    found = audit(DataConfig(root=str(sets[name])))
    assert found.reader == reader
    assert not [finding for finding in found.findings if finding.severity == "error"]


def test_the_workshops_masks_are_the_plain_ones(sets: dict[str, Path]) -> None:
    plain, workshop = truths(sets["landcover-folders"]), truths(sets["landcover-workshop"])
    ours = {Path(name).stem: mask for name, mask in plain.items()}
    assert len(workshop) == COUNT
    for name, mask in workshop.items():
        assert np.array_equal(mask, ours[Path(name).stem])


def test_a_trimap_is_the_mask_with_a_band_along_its_border(sets: dict[str, Path]) -> None:
    for index in range(COUNT):
        mask = np.asarray(Image.open(sets["puzzle-folders"] / "masks" / f"mask-{index}.png")) > 0
        trimap = np.asarray(
            Image.open(sets["puzzle-oxford-pet"] / "annotations" / "trimaps" / f"Piece_{index + 1}.png")
        )
        beside = np.zeros_like(mask)
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            moved = np.roll(mask, (down, right), (0, 1))
            edge = moved != mask
            edge[:down] = False  # what rolled in from the other side
            if right:
                edge[:, (0 if right > 0 else -1)] = False
            beside |= edge
        assert set(np.unique(trimap)) <= {1, 2, 3}
        assert np.array_equal(trimap == 1, mask & (trimap != 3))
        assert (trimap[beside] == 3).all()


def test_splits_told_are_those_of_the_files(sets: dict[str, Path], tmp_path: Path) -> None:
    assert make("landcover", tmp_path / "set", COUNT, SIZE, layout="workshop").splits == {"train": 7, "test": 2}
    assert len(list((tmp_path / "set" / "TEST_SET" / "MASKS").iterdir())) == 2


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'workshop'"):
        make("landcover", tmp_path / "set", COUNT, SIZE, layout="workshp")
    with pytest.raises(UsageError, match="one that can tell 5 classes; got oxford-pet"):
        make("landcover", tmp_path / "set", COUNT, SIZE, layout="oxford-pet")
    assert not (tmp_path / "set").exists()
    assert set(LAYOUTS) == {"folders", "workshop", "oxford-pet"}
