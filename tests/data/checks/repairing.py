"""What the tests of repairs share: audits put together by hand, and a copy made by them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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
    return Finding(
        code, tuple(files), f"evidence of {code}", severity, Repair(op, values, f"told of {code}") if op else None
    )


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
