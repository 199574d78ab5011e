"""A repaired copy: the source stays as it is, the copy reads cleanly, with the source's names, splits and groups.

Audits are put together by hand here: what the rules find is tested with them, what is done about it here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from repairing import BARE, MakeSet, audit_of, document, every_mask, finding, hashes, pixels, repaired, rows

from maskwright.config.data import DataConfig
from maskwright.data.checks.repair import fix
from maskwright.data.dataset import Record
from maskwright.data.opening import list_data, open_dataset
from maskwright.errors import DataError


def test_a_copy_with_nothing_to_repair_is_the_same_bytes(make_set: MakeSet, out: Path) -> None:
    root = make_set(3, values=(0, 255))
    fixed = repaired(root, out, BARE)
    assert {name: digest for name, digest in hashes(out).items() if name.endswith(".png")} == hashes(root)
    assert rows(out) == [{"image": f"images/{n:03d}.png", "mask": f"masks/{n:03d}.png"} for n in range(3)]
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"background": 0, "foreground": 255}
    assert document(fixed)["changes"] == []
    assert fixed.copied == {"images": 3, "masks": 3}
    assert open_dataset(DataConfig(root=str(out))).dataset.classes.values == (0, 255)


def test_masks_become_indexed_pictures_of_class_numbers(make_set: MakeSet, out: Path) -> None:
    root = make_set(4, values=(0, 255))
    fixed = repaired(root, out, finding("zero-255", "remap", every_mask(root), table={0: 0, 255: 1}))
    for name in every_mask(root):
        with Image.open(out / name) as image:
            assert image.mode == "P"
            assert image.getpalette()[3:6] == [0, 158, 115]
            assert (np.asarray(image) == (pixels(root / name) == 255)).all()
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"background": 0, "foreground": 1}
    assert hashes(out / "images") == hashes(root / "images")
    changed = sum(int((pixels(root / name) == 255).sum()) for name in every_mask(root))
    assert fixed.done == ({"code": "zero-255", "op": "remap", "files": 4, "pixels": changed},)
    assert [path.name for path in sorted(out.iterdir())] == [
        "classes.yaml",
        "images",
        "masks",
        "pairs.csv",
        "repairs.json",
    ]


def test_if_one_mask_is_changed_all_are_class_numbers(make_set: MakeSet, out: Path, write_image) -> None:
    """The untouched ones are listed too, with no pixel of another meaning."""
    root = make_set(3, values=(0, 255))
    write_image(root / "masks/001.png", np.array([[3, 250], [255, 130]], np.uint8))
    write_image(root / "images/001.png", np.zeros((2, 2, 3), np.uint8))
    fixed = repaired(root, out, finding("smoothed", "threshold", ["masks/001.png"], at=128))
    assert pixels(out / "masks/001.png").tolist() == [[0, 1], [1, 1]]
    changes = {change["file"]: change for change in document(fixed)["changes"]}
    assert (
        changes["masks/001.png"]["op"],
        changes["masks/001.png"]["pixels"],
        changes["masks/001.png"]["between"],
    ) == (
        "threshold",
        4,
        1,
    )
    for name in ("masks/000.png", "masks/002.png"):
        assert (changes[name]["op"], changes[name]["pixels"], changes[name]["code"]) == ("rewrite", 0, None)
        assert (pixels(out / name) * 255 == pixels(root / name)).all()
    assert fixed.rewritten == 2
    assert "2 more masks were written anew" in str(fixed)


def test_names_stay_and_a_masks_is_its_images(tmp_path: Path, out: Path, write_image) -> None:
    root = tmp_path / "set"
    for split in ("train", "val"):
        for stem, suffix in (("a", "jpg"), ("a", "png")):
            write_image(root / split / "images" / f"{stem}.{suffix}", np.zeros((4, 4, 3), np.uint8))
            write_image(
                root / split / "masks" / f"{stem}_{suffix}.png", np.array([[0, 255]] * 4, np.uint8).repeat(2, 1)
            )
    lines = [f"{s}/images/a.{x},{s}/masks/a_{x}.png,{s}" for s in ("train", "val") for x in ("jpg", "png")]
    (root / "pairs.csv").write_text("\n".join(["image,mask,split", *lines]), encoding="utf-8")
    fixed = repaired(root, out, finding("zero-255", "remap", every_mask(root, "train/masks"), table={0: 0, 255: 1}))
    assert [tuple(row.values()) for row in rows(out)] == [
        ("images/train/a.jpg", "masks/train/a.png", "train"),
        ("images/train/a-2.png", "masks/train/a-2.png", "train"),
        ("images/val/a.jpg", "masks/val/a.png", "val"),
        ("images/val/a-2.png", "masks/val/a-2.png", "val"),
    ]
    assert document(fixed)["named_anew"]["masks/val/a-2.png"] == "val/masks/a_png.png"
    assert len(list_data(DataConfig(root=str(out)))[1].records) == 4


def test_splits_and_groups_are_those_of_the_source(make_set: MakeSet, out: Path) -> None:
    """Not those an audit dealt."""
    from dataclasses import replace

    root = make_set(3)
    (root / "pairs.csv").write_text(
        "image,mask,group\n" + "".join(f"images/{n:03d}.png,masks/{n:03d}.png,g{n}\n" for n in range(3))
    )
    config = DataConfig(root=str(root))
    dealt = tuple(replace(record, split="test") for record in list_data(config)[1].records)
    fix(audit_of(config, BARE, records=dealt), config, out)
    assert [(row.get("split"), row["group"]) for row in rows(out)] == [(None, "g0"), (None, "g1"), (None, "g2")]


def test_groups_are_written_down_and_nothing_else_is_touched(make_set: MakeSet, out: Path) -> None:
    root = make_set(4)
    groups = {"images/000": "film", "images/002": "film"}
    fixed = repaired(root, out, finding("groups", "regroup", ["images/000.png"], "warning", groups=groups))
    assert [row["group"] for row in rows(out)] == ["film", "", "film", ""]
    (change,) = document(fixed)["changes"]
    assert (change["file"], change["records"], change["values"]) == ("pairs.csv", 2, {"groups": groups})
    assert hashes(out / "masks") == hashes(root / "masks")
    assert fixed.done == ({"code": "groups", "op": "regroup", "files": 2, "pixels": 0},)


def test_groups_that_leave_nothing_to_deal_are_left_out_and_told(make_set: MakeSet, out: Path) -> None:
    root = make_set(6)
    groups = {f"images/{number:03d}": "film" for number in range(6)}
    fixed = repaired(root, out, finding("groups", "regroup", every_mask(root), "warning", groups=groups))
    assert "group" not in rows(out)[0] and document(fixed)["changes"] == [] and fixed.done == ()
    (note,) = fixed.notes
    assert note.startswith(
        "the groups were left out, because the copy cannot be trained on with them: a split needs at least 3"
    )
    assert sum(open_dataset(DataConfig(root=str(out))).dataset.sizes().values()) == 6


def test_a_copy_that_cannot_be_trained_on_says_so(make_set: MakeSet, out: Path) -> None:
    root = make_set(4)
    fixed = repaired(root, out, finding("unreadable", "leave-out", every_mask(root)[1:3]))
    (note,) = fixed.notes
    assert (
        note.startswith("the copy cannot be trained on yet: a split needs at least 3 images; got 2")
        and str(out) not in note
    )


def test_pairs_and_lone_files_are_left_out_and_told(make_set: MakeSet, out: Path) -> None:
    root = make_set(4)
    (root / "masks/003.png").unlink()
    (root / "masks/001.png").write_bytes(b"no picture")
    (root / "README.txt").write_text("about")
    config = DataConfig(root=str(root))
    records = tuple(
        Record(f"images/{n:03d}", root / f"images/{n:03d}.png", root / f"masks/{n:03d}.png") for n in range(3)
    )
    audit = audit_of(
        config,
        finding("unreadable", "leave-out", ["masks/001.png"]),
        finding("unpaired", "leave-out", ["images/003.png"]),
        records=records,
    )
    before = hashes(root)
    fixed = fix(audit, config, out)
    assert hashes(root) == before
    assert [row["image"] for row in rows(out)] == ["images/000.png", "images/002.png"]
    assert [(one["file"], one["code"], one["why"]) for one in fixed.left_out] == [
        ("images/001.png", "unreadable", "told of unreadable"),
        ("masks/001.png", "unreadable", "told of unreadable"),
        ("images/003.png", "unpaired", "told of unpaired"),
    ]
    assert document(fixed)["not_copied"] == ["README.txt"]
    assert not (out / "images/001.png").exists()
    assert fixed.copied == {"images": 2, "masks": 2}


def test_everything_left_out_is_refused(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    with pytest.raises(DataError, match="every one of them would be left out"):
        repaired(root, out, finding("unreadable", "leave-out", every_mask(root)))
    assert not out.exists()


def test_the_record_says_all_of_a_change(make_set: MakeSet, out: Path) -> None:
    root = make_set(1, values=(0, 255))
    fixed = repaired(root, out, finding("zero-255", "remap", ["masks/000.png"], table={0: 0, 255: 1}))
    told = document(fixed)
    (change,) = told["changes"]
    assert change == {
        "file": "masks/000.png",
        "source": "masks/000.png",
        "op": "remap",
        "values": {"table": {"0": 0, "255": 1}},
        "code": "zero-255",
        "pixels": int((pixels(root / "masks/000.png") == 255).sum()),
        "sha256_before": hashes(root)["masks/000.png"],
        "sha256_after": hashes(out)["masks/000.png"],
    }
    assert told["source"] == str(root.resolve())
    assert told["classes"] == {"background": 0, "foreground": 1}
    assert told["findings"] == [{"code": "zero-255", "evidence": "evidence of zero-255", "message": "told of zero-255"}]
    assert told["maskwright"] and told["made"][:2] == "20" and told["command"]
