"""A repaired copy: the source stays as it is, the copy reads cleanly, and repairs.json is enough to take every change back.

Audits are put together by hand here: what the rules find is tested with them, what is done about it here.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from maskwright.config.data import DataConfig
from maskwright.data.checks.findings import Audit, Finding, Repair, Severity
from maskwright.data.checks.repair import Fixed, RepairQuestion, fix
from maskwright.data.dataset import Record
from maskwright.data.opening import list_data, open_dataset
from maskwright.errors import DataError, UsageError

MakeSet = Callable[..., Path]
BARE = Finding("imbalance", (), "", "note")  # a finding that asks for nothing


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder and its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def finding(
    code: str, op: str | None, files: list[str] | tuple[str, ...], severity: Severity = "error", **values: Any
) -> Finding:
    return Finding(code, tuple(files), f"evidence of {code}", severity, Repair(op, values, f"told of {code}") if op else None)


def audit_of(config: DataConfig, *findings: Finding, records: tuple[Record, ...] | None = None) -> Audit:
    found = records if records is not None else list_data(config)[1].records
    return Audit(str(config.root), "folders", "", len(found), {}, (), (), "", findings, records=found)


def repaired(root: Path, out: Path, *findings: Finding, leave: tuple[str, ...] = (), **config: Any) -> Fixed:
    """Fix by these findings; the source must be the same before and after."""
    before = hashes(root)
    settled = DataConfig.model_validate({"root": str(root), **config})
    fixed = fix(audit_of(settled, *findings), settled, out, leave=leave)
    assert hashes(root) == before
    return fixed


def document(fixed: Fixed) -> dict[str, Any]:
    return json.loads(fixed.record.read_text(encoding="utf-8"))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "pairs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def every_mask(root: Path, folder: str = "masks") -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())


def taken_back(fixed: Fixed, source: Path) -> dict[str, np.ndarray]:
    """The original masks by repairs.json and the copy alone, in code of its own; those that cannot be are found by their hash."""
    found: dict[str, np.ndarray] = {}
    by_hash = {digest: source / name for name, digest in hashes(source).items()}
    changes = document(fixed)["changes"]
    for file in dict.fromkeys(change["file"] for change in changes):
        mine = [change for change in changes if change["file"] == file]
        assert hashlib.sha256((fixed.out / file).read_bytes()).hexdigest() == mine[0]["sha256_after"]
        if any("original" in change["undo"] for change in mine):
            last = next(change["undo"] for change in mine if "original" in change["undo"])
            assert by_hash[last["sha256"]] == source / last["original"]
            found[mine[0]["source"]] = pixels(by_hash[last["sha256"]])
            continue
        labels, table = pixels(fixed.out / file).astype(np.int64), {}
        for change in mine:
            table.update(change["undo"]["values"].get("table", {}))
        for change in reversed(mine):
            undo = change["undo"]
            if undo["op"] == "fit-mask":
                rows, columns = undo["values"]["rows"], undo["values"]["columns"]
                labels = labels[: labels.shape[0] + rows, : labels.shape[1] + columns]
            elif undo["op"] == "turn-mask":
                labels = exif_upright(labels, undo["values"]["orientation"])
        raw = np.full(labels.shape, -1, np.int64)
        for label, value in table.items():
            raw[labels == int(label)] = int(value[1:], 16) if isinstance(value, str) else value
        found[mine[0]["source"]] = raw
    return found


def exif_upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Oracle: Pillow turns it."""
    image = Image.fromarray(values.astype(np.int32))
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "repaired"


# what a copy looks like


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
    assert [path.name for path in sorted(out.iterdir())] == ["classes.yaml", "images", "masks", "pairs.csv", "repairs.json"]


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
        "undo": {"how": "replace values by the table", "op": "remap", "values": {"table": {"0": 0, "1": 255}}},
        "sha256_before": hashes(root)["masks/000.png"],
        "sha256_after": hashes(out)["masks/000.png"],
    }
    assert told["source"] == str(root.resolve())
    assert told["classes"] == {"background": 0, "foreground": 1}
    assert told["findings"] == [{"code": "zero-255", "evidence": "evidence of zero-255", "told": "told of zero-255"}]
    assert told["maskwright"] and told["made"][:2] == "20" and told["command"]


def test_if_one_mask_is_changed_all_are_class_numbers(make_set: MakeSet, out: Path, write_image) -> None:
    """The untouched ones are listed too, with no pixel of another meaning."""
    root = make_set(3, values=(0, 255))
    write_image(root / "masks/001.png", np.array([[3, 250], [255, 130]], np.uint8))
    write_image(root / "images/001.png", np.zeros((2, 2, 3), np.uint8))
    fixed = repaired(root, out, finding("smoothed", "threshold", ["masks/001.png"], at=128))
    assert pixels(out / "masks/001.png").tolist() == [[0, 1], [1, 1]]
    changes = {change["file"]: change for change in document(fixed)["changes"]}
    assert (changes["masks/001.png"]["op"], changes["masks/001.png"]["pixels"], changes["masks/001.png"]["between"]) == (
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
            write_image(root / split / "masks" / f"{stem}_{suffix}.png", np.array([[0, 255]] * 4, np.uint8).repeat(2, 1))
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
    root = make_set(3)
    groups = {"images/000": "film", "images/002": "film"}
    fixed = repaired(root, out, finding("groups", "regroup", ["images/000.png"], "warning", groups=groups))
    assert [row["group"] for row in rows(out)] == ["film", "", "film"]
    (change,) = document(fixed)["changes"]
    assert (change["file"], change["records"], change["undo"]["values"]) == ("pairs.csv", 2, {"groups": dict.fromkeys(groups)})
    assert hashes(out / "masks") == hashes(root / "masks")
    assert fixed.done == ({"code": "groups", "op": "regroup", "files": 2, "pixels": 0},)


def test_pairs_and_lone_files_are_left_out_and_told(make_set: MakeSet, out: Path) -> None:
    root = make_set(4)
    (root / "masks/003.png").unlink()
    (root / "masks/001.png").write_bytes(b"no picture")
    (root / "README.txt").write_text("about")
    config = DataConfig(root=str(root))
    records = tuple(Record(f"images/{n:03d}", root / f"images/{n:03d}.png", root / f"masks/{n:03d}.png") for n in range(3))
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
    assert [(one["file"], one["code"], one["sha256"] == before[one["file"]]) for one in fixed.left_out] == [
        ("images/001.png", "unreadable", True),
        ("masks/001.png", "unreadable", True),
        ("images/003.png", "unpaired", True),
    ]
    assert document(fixed)["not_copied"] == ["README.txt"]
    assert not (out / "images/001.png").exists()
    assert fixed.copied == {"images": 2, "masks": 2}


def test_everything_left_out_is_refused(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    with pytest.raises(DataError, match="every one of them would be left out"):
        repaired(root, out, finding("unreadable", "leave-out", every_mask(root)))
    assert not out.exists()


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
    back = taken_back(fixed, root)["masks/a.png"]
    assert (back == np.where(mask[..., 0] == 255, 0xFF0000, 0)).all()


def test_a_value_ignored_by_the_configuration_is_255_in_the_copy(make_set: MakeSet, out: Path) -> None:
    root = make_set(3, values=(0, 1, 2))
    repaired(root, out, ignore_index=2)
    assert set(np.unique(pixels(out / "masks/000.png"))) == {0, 1, 255}
    assert open_dataset(DataConfig(root=str(out))).dataset.classes.names == ("background", "foreground")


def test_a_threshold_of_the_configuration_is_done_in_the_copy(make_set: MakeSet, out: Path) -> None:
    root = make_set(2, values=(0, 90, 200))
    repaired(root, out, foreground_from=100)
    assert (pixels(out / "masks/000.png") == (pixels(root / "masks/000.png") >= 100)).all()


def test_names_of_classes_are_kept_and_made_up_ones_end_where_labels_end(make_set: MakeSet, out: Path, tmp_path: Path) -> None:
    named, bare = make_set(2, values=(0, 1, 2, 3)), make_set(2, values=(0, 1, 2, 3))
    (named / "classes.yaml").write_text("sky: 0\nroad: 1\ntree: 2\nmoon: 4\n", encoding="utf-8")
    void = {"table": {3: 255}}
    repaired(named, out, finding("void-after-last", "remap", every_mask(named), **void))
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"sky": 0, "road": 1, "tree": 2, "moon": 3}
    repaired(bare, tmp_path / "two", finding("void-after-last", "remap", every_mask(bare), **void))
    assert yaml.safe_load((tmp_path / "two/classes.yaml").read_text()) == {"class_0": 0, "class_1": 1, "class_2": 2}


@pytest.mark.parametrize("foreground", [1, 255])
def test_named_classes_in_another_order_keep_their_meaning(make_set, out: Path, tmp_path: Path, foreground: int) -> None:
    """The first name is class 0, whatever its value: a threshold and a table must follow that."""
    root = make_set(2, values=(0, 255))
    (root / "classes.yaml").write_text(f"cell: {foreground}\nrest: 0\n", encoding="utf-8")
    repaired(root, out, finding("smoothed", "threshold", every_mask(root), at=128))
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"cell": 0, "rest": 1}
    assert (pixels(out / "masks/000.png") == (pixels(root / "masks/000.png") == 0)).all()
    if foreground == 1:
        repaired(root, tmp_path / "two", finding("zero-255", "remap", every_mask(root), table={255: 1}))
        assert hashes(tmp_path / "two/masks") == hashes(out / "masks")


# taking back


def test_values_turns_and_rows_are_taken_back_from_the_record_alone(tmp_path: Path, out: Path, write_image) -> None:
    """One mask of each kind, and one with all three at once."""
    root = tmp_path / "set"
    rng = np.random.default_rng(3)
    sizes = {"plain": (6, 8), "turned": (8, 6), "short": (5, 7), "all": (7, 5)}
    originals = {name: rng.choice(np.array([1, 2, 9], np.uint8), size) for name, size in sizes.items()}
    for name, mask in originals.items():
        write_image(root / f"images/{name}.png", np.zeros((6, 8, 3), np.uint8))
        write_image(root / f"masks/{name}.png", mask)
    fixed = repaired(
        root, out,
        finding("off-by-one", "remap", every_mask(root), table={1: 0, 2: 1}),
        finding("void-after-last", "remap", every_mask(root), table={9: 255}),
        finding("orientation", "turn-mask", ["masks/turned.png", "masks/all.png"], orientation=6),
        finding("offset", "fit-mask", ["masks/short.png", "masks/all.png"], rows=1, columns=1),
    )  # fmt: skip
    assert all(pixels(out / name).shape == (6, 8) for name in every_mask(root))
    assert [change["op"] for change in document(fixed)["changes"] if change["file"] == "masks/all.png"] == [
        "turn-mask", "fit-mask", "remap", "remap",
    ]  # fmt: skip
    back = taken_back(fixed, root)
    for name, mask in originals.items():
        assert back[f"masks/{name}.png"].tolist() == mask.tolist(), name


def test_what_cannot_be_taken_back_names_the_original(tmp_path: Path, out: Path, write_image) -> None:
    """Greys cut in two, rows cut off, another size, two values made one."""
    root = tmp_path / "set"
    masks = {
        "grey": np.array([[0, 7, 130, 255]] * 4, np.uint8),
        "tall": np.array([[0, 255, 0, 255]] * 5, np.uint8),
        "small": np.array([[0, 255], [255, 0]], np.uint8),
        "merged": np.array([[0, 254, 255, 0]] * 4, np.uint8),
    }
    for name, mask in masks.items():
        write_image(root / f"images/{name}.png", np.zeros((4, 4, 3), np.uint8))
        write_image(root / f"masks/{name}.png", mask)
    fixed = repaired(
        root, out,
        finding("smoothed", "threshold", ["masks/grey.png"], at=128),
        finding("offset", "fit-mask", ["masks/tall.png"], rows=-1, columns=0),
        finding("size-mismatch", "resize-mask", ["masks/small.png"]),
        finding("unknown-values", "remap", ["masks/merged.png"], table={254: 1, 255: 1}),
    )  # fmt: skip
    assert pixels(out / "masks/small.png").tolist() == [[0, 0, 1, 1]] * 2 + [[1, 1, 0, 0]] * 2
    assert pixels(out / "masks/merged.png").tolist() == [[0, 1, 1, 0]] * 4
    back = taken_back(fixed, root)
    for name, mask in masks.items():
        assert back[f"masks/{name}.png"].tolist() == mask.tolist()
        assert any("original" in c["undo"] for c in document(fixed)["changes"] if c["file"] == f"masks/{name}.png")


# what is refused


def test_questions_come_before_anything_is_written(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    asked = Finding(
        "inverted", ("masks/000.png",), "", "warning", Repair("remap", {"table": {0: 1, 1: 0}}, "", "Is 0 foreground?")
    )
    with pytest.raises(RepairQuestion, match="`inverted`: Is 0 foreground"):
        repaired(root, out, asked)
    assert not out.exists()
    repaired(root, out, asked, leave=("inverted",))
    assert hashes(out / "masks") == hashes(root / "masks")


def test_an_answered_question_is_done(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    asked = Finding(
        "inverted", tuple(every_mask(root)), "", "warning", Repair("remap", {"table": {0: 1, 1: 0}}, "", "Is 0 foreground?")
    )
    fixed = repaired(root, out, asked, classes={"rest": 1, "pet": 0})
    assert (pixels(out / "masks/000.png") == 1 - pixels(root / "masks/000.png")).all()
    assert yaml.safe_load((out / "classes.yaml").read_text()) == {"rest": 0, "pet": 1}
    assert fixed.done == ({"code": "inverted", "op": "remap", "files": 2, "pixels": 2 * 24 * 32},)


def test_an_error_without_a_repair_stops_unless_left(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    deep = finding("mixed-depth", None, ["images/000.png"])
    with pytest.raises(RepairQuestion, match="`mixed-depth` must be mended by hand: evidence of mixed-depth"):
        repaired(root, out, deep)
    assert repaired(root, out, deep, leave=("mixed-depth",)).num_images == 2


@pytest.mark.parametrize("place", ["inner", "images/inner", "."])
def test_the_copy_lies_outside_the_source(make_set: MakeSet, place: str) -> None:
    root = make_set(2)
    with pytest.raises(UsageError, match="`--fix` must be a folder outside the data set"):
        repaired(root, root / place, BARE)


def test_a_link_into_the_source_is_seen_through(make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(2)
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(UsageError, match="outside the data set"):
        repaired(root, tmp_path / "link" / "fixed", BARE)


def test_beside_a_csv_is_outside_its_data_set(make_set: MakeSet, tmp_path: Path) -> None:
    """A CSV lists files; only the folders they lie in are the data set."""
    root = make_set(2)
    lines = [f"{root}/images/{n:03d}.png,{root}/masks/{n:03d}.png" for n in range(2)]
    (tmp_path / "mine.csv").write_text("\n".join(["image,mask", *lines]), encoding="utf-8")
    config = DataConfig(root=str(tmp_path / "mine.csv"))
    assert fix(audit_of(config, BARE), config, tmp_path / "fixed").num_images == 2
    with pytest.raises(UsageError, match="outside the data set"):
        fix(audit_of(config, BARE), config, root / "masks" / "fixed")


def test_the_copy_needs_a_new_or_empty_folder(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    out.mkdir()
    assert repaired(root, out, BARE).num_images == 2
    with pytest.raises(UsageError, match=r"`--fix` must be a new or empty folder; got .* which holds 5 things"):
        repaired(root, out, BARE)
    with pytest.raises(UsageError, match=r"must be a new or empty folder; got .*pairs\.csv, a file"):
        repaired(root, out / "pairs.csv", BARE)


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


# what goes wrong half-way


@pytest.fixture
def narrow() -> Iterator[Callable[[int], None]]:
    """narrow(bytes): from now on the kernel refuses to make any file larger, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_takes_no_more_leaves_nothing_that_looks_finished(
    make_set, out: Path, narrow, write_image, there: bool
) -> None:
    root = make_set(3, values=(0, 255))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_image(root / "images/002.png", noise)
    write_image(root / "masks/002.png", noise[..., 0] // 128 * 255)
    if there:
        out.mkdir()
    config = DataConfig(root=str(root))
    audit = audit_of(config, finding("zero-255", "remap", every_mask(root), table={0: 0, 255: 1}))
    before = hashes(root)
    narrow(8_000)  # enough for all but the last image
    with pytest.raises(
        DataError, match=r"must be written whole; writing it to .*repaired stopped: File too large\. Nothing is left"
    ):
        fix(audit, config, out)
    assert out.is_dir() == there
    assert not there or list(out.iterdir()) == []
    assert hashes(root) == before


def test_an_interruption_leaves_nothing(make_set: MakeSet, out: Path) -> None:
    root = make_set(3)
    config = DataConfig(root=str(root))

    def interrupt(done: int, total: int) -> None:
        if done == total - 1:  # while masks are written
            assert (out / ".unfinished-repair" / "masks").is_dir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fix(audit_of(config, BARE), config, out, interrupt)
    assert not out.exists()


def test_what_a_killed_repair_left_is_no_data_set_and_is_named(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    (out / ".unfinished-repair" / "images").mkdir(parents=True)
    with pytest.raises(DataError):
        list_data(DataConfig(root=str(out)))
    with pytest.raises(UsageError, match=r"holds an unfinished repair \(\.unfinished-repair\). Remove it, or choose another"):
        repaired(root, out, BARE)


def test_progress_counts_every_mask_twice(make_set: MakeSet, out: Path) -> None:
    config = DataConfig(root=str(make_set(3)))
    told: list[tuple[int, int]] = []
    fix(audit_of(config, BARE), config, out, lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_the_account_is_json_and_lines(make_set: MakeSet, out: Path) -> None:
    root = make_set(3, values=(0, 255))
    fixed = repaired(
        root, out, finding("zero-255", "remap", every_mask(root)[1:], table={0: 0, 255: 1}),
        finding("exact-duplicates", "leave-out", ["images/000.png"], "warning"),
    )  # fmt: skip
    json.dumps(fixed.to_json())
    lines = str(fixed).splitlines()
    assert lines[0] == f"2 images in {out}, every change in {out}/repairs.json"
    assert lines[1].startswith("zero-255: remap in 2 files, ")
    assert lines[2] == "left out: images/000.png and masks/000.png"
    assert lines[3] == "copied byte for byte: 2 images and 0 masks"
