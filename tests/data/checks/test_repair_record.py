"""repairs.json: it says all of a change, and is enough to take every change back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from repairing import MakeSet, document, every_mask, finding, hashes, pixels, repaired, taken_back


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
