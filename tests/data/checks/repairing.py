"""What the tests of repairs share: audits put together by hand, a copy made by them, and an undoing by repairs.json alone."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from maskwright.config.data import DataConfig
from maskwright.data.checks.findings import Audit, Finding, Repair, Severity
from maskwright.data.checks.repair import Fixed, fix
from maskwright.data.dataset import Record
from maskwright.data.opening import list_data

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
