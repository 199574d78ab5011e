"""A copy of a data set in any layout reads as the data set does: same classes, splits and pixels, whatever form the
masks had.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.layouts import LAYOUTS
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import list_tolerantly
from maskwright.data.checks.findings import Audit, Finding, Repair
from maskwright.data.checks.repair import Fixed, fix
from maskwright.data.opening import load_pair, open_dataset
from maskwright.data.readers import list_records
from maskwright.errors import DataError


def copied(root: Path, out: Path, *findings: Finding) -> Fixed:
    config, listing, gaps = list_tolerantly(DataConfig(root=str(root)))
    assert not gaps
    audit = Audit(
        str(root), listing.reader, "", len(listing.records), {}, (), (), "", findings, records=listing.records
    )
    return fix(audit, config, out)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "geotiff"])
def test_a_copy_reads_as_its_source_does(layout: str, tmp_path: Path) -> None:
    expected = LAYOUTS[layout](tmp_path / "set")
    copied(tmp_path / "set", tmp_path / "out")
    opened = open_dataset(DataConfig.model_validate({"root": str(tmp_path / "out"), "split": {"group": None}}))
    dataset = opened.dataset
    assert dataset.classes.names == expected.classes
    moved = json.loads((tmp_path / "out/repairs.json").read_text(encoding="utf-8"))["named_anew"]
    listed = {record.id: record.split for record in list_records(DataConfig(root=str(tmp_path / "out"))).records}
    seen = set()
    for item in dataset.items:
        image = item.record.image.relative_to(tmp_path / "out").as_posix()
        source = tmp_path / "set" / moved.get(image, image)
        assert item.record.image.read_bytes() == source.read_bytes()
        name = source.relative_to(tmp_path / "set").with_suffix("").as_posix()
        seen.add(name)
        _, labels, _ = load_pair(item.record, dataset.classes, dataset.bands)
        assert labels.tolist() == expected.labels[name].tolist()
        assert listed[item.record.id] == expected.splits[name]
    assert seen == set(expected.labels)


def test_one_image_of_a_shared_file_can_be_left_out(tmp_path: Path) -> None:
    """All masks are in one JSON file: the finding's details say which image it is about."""
    expected = LAYOUTS["coco"](tmp_path / "set")
    _, listing, _ = list_tolerantly(DataConfig(root=str(tmp_path / "set")))
    record = listing.records[1]
    shared, image = (path.relative_to(tmp_path / "set").as_posix() for path in (record.mask, record.image))
    finding = Finding(
        "unreadable", (shared,), "", "error", Repair("leave-out", {}, "leave it out"), {"problems": {image: "why"}}
    )
    fixed = copied(tmp_path / "set", tmp_path / "out", finding)
    assert fixed.num_images == len(expected.labels) - 1
    assert [one["file"] for one in fixed.left_out] == [image]


def test_rasters_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    LAYOUTS["geotiff"](tmp_path / "set")
    with pytest.raises(DataError, match=r"`--fix` must have ordinary pictures; 0\.tif, .* are rasters"):
        copied(tmp_path / "set", tmp_path / "out")
    assert not (tmp_path / "out").exists()
