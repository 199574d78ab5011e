"""Classes of a repaired copy: their names, their order, values that mean none, and values nothing explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from repairing import MakeSet, document, every_mask, finding, hashes, pixels, repaired

from maskwright.config.data import DataConfig
from maskwright.data.opening import open_dataset
from maskwright.errors import DataError


def test_other_forms_of_mask_become_pictures(tmp_path: Path, out: Path, write_image) -> None:
    """Colours named by the configuration: no repair, but no classes.yaml can say it either."""
    root = tmp_path / "set"
    mask = np.zeros((4, 6, 3), np.uint8)
    mask[1:3] = (255, 0, 0)
    for name in ("a", "b"):
        write_image(root / f"images/{name}.png", np.zeros((4, 6, 3), np.uint8))
        write_image(root / f"masks/{name}.png", mask)
    fixed = repaired(root, out, classes={"ground": "#000000", "roof": [255, 0, 0]})
    assert pixels(out / "masks/a.png").tolist() == (mask[..., 0] // 255).tolist()
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"ground": 0, "roof": 1}
    (change, _) = document(fixed)["changes"]
    assert (change["op"], change["values"]["table"]) == ("rewrite", {"#000000": 0, "#ff0000": 1})


def test_a_value_ignored_by_the_configuration_is_255_in_the_copy(make_set: MakeSet, out: Path) -> None:
    root = make_set(3, values=(0, 1, 2))
    repaired(root, out, ignore_index=2)
    assert set(np.unique(pixels(out / "masks/000.png"))) == {0, 1, 255}
    assert open_dataset(DataConfig(root=str(out))).dataset.classes.names == ("background", "foreground")


def test_a_threshold_of_the_configuration_is_done_in_the_copy(make_set: MakeSet, out: Path) -> None:
    root = make_set(2, values=(0, 90, 200))
    repaired(root, out, foreground_from=100)
    assert (pixels(out / "masks/000.png") == (pixels(root / "masks/000.png") >= 100)).all()


def test_names_of_classes_are_kept_and_made_up_ones_end_where_labels_end(
    make_set: MakeSet, out: Path, tmp_path: Path
) -> None:
    named, bare = make_set(2, values=(0, 1, 2, 3)), make_set(2, values=(0, 1, 2, 3))
    (named / "classes.yaml").write_text("sky: 0\nroad: 1\ntree: 2\nmoon: 4\n", encoding="utf-8")
    void = {"table": {3: 255}}
    repaired(named, out, finding("void-after-last", "remap", every_mask(named), **void))
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"sky": 0, "road": 1, "tree": 2, "moon": 3}
    repaired(bare, tmp_path / "two", finding("void-after-last", "remap", every_mask(bare), **void))
    assert yaml.safe_load((tmp_path / "two/classes.yaml").read_text()) == {"class_0": 0, "class_1": 1, "class_2": 2}


@pytest.mark.parametrize("foreground", [1, 255])
def test_named_classes_in_another_order_keep_their_meaning(
    make_set, out: Path, tmp_path: Path, foreground: int
) -> None:
    """The first name is class 0, whatever its value: a threshold and a table must follow that."""
    root = make_set(2, values=(0, 255))
    (root / "classes.yaml").write_text(f"cell: {foreground}\nrest: 0\n", encoding="utf-8")
    repaired(root, out, finding("smoothed", "threshold", every_mask(root), at=128))
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"cell": 0, "rest": 1}
    assert (pixels(out / "masks/000.png") == (pixels(root / "masks/000.png") == 0)).all()
    if foreground == 1:
        repaired(root, tmp_path / "two", finding("zero-255", "remap", every_mask(root), table={255: 1}))
        assert hashes(tmp_path / "two/masks") == hashes(out / "masks")


def test_values_nothing_explains_are_told_with_their_files(make_set: MakeSet, out: Path, write_image) -> None:
    root = make_set(3, values=(0, 255))
    write_image(root / "masks/002.png", np.full((24, 32), 7, np.uint8))
    with pytest.raises(DataError, match=r"explains 7 in 002\.png"):
        repaired(root, out, finding("zero-255", "remap", every_mask(root), table={0: 0, 255: 1}), classes=["a", "b"])
    assert not out.exists()


def test_unknown_values_may_be_left_where_they_are_no_class_numbers(
    make_set: MakeSet, out: Path, tmp_path: Path, write_image
) -> None:
    root = make_set(2, values=(10, 20))
    write_image(root / "masks/001.png", np.array([[10, 20, 30, 1]], np.uint8))
    write_image(root / "images/001.png", np.zeros((1, 4, 3), np.uint8))
    odd = finding("unknown-values", None, ["masks/001.png"])
    turned = finding("orientation", "turn-mask", ["masks/001.png"], orientation=3)
    with pytest.raises(DataError, match="must not look like class numbers in the copy; 1 would"):
        repaired(root, out, odd, turned, leave=("unknown-values",), classes={"a": 10, "b": 20})
    write_image(root / "masks/001.png", np.array([[10, 20, 30, 77]], np.uint8))
    repaired(root, out, odd, turned, leave=("unknown-values",), classes={"a": 10, "b": 20})
    assert pixels(out / "masks/001.png").tolist() == [[77, 30, 1, 0]]
