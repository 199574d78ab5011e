"""Repairing: what is asked or refused before anything is written, what is left when it stops half-way, and its
account.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from repairing import BARE, MakeSet, audit_of, every_mask, finding, hashes, repaired

from maskwright.config.data import DataConfig
from maskwright.data.checks.findings import Finding, Repair
from maskwright.data.checks.repair import RepairQuestion, fix
from maskwright.errors import RunError, UsageError

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


def test_an_error_without_a_repair_stops_unless_left(make_set: MakeSet, out: Path) -> None:
    root = make_set(2)
    deep = finding("mixed-depth", None, ["images/000.png"])
    with pytest.raises(RepairQuestion, match="`mixed-depth` must be fixed by hand: evidence of mixed-depth"):
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
    with pytest.raises(
        RunError, match=r"`--fix` must be a new or empty folder; got .* which holds classes\.yaml, images, masks"
    ):
        repaired(root, out, BARE)
    with pytest.raises(RunError, match=r"must be a new or empty folder; got .*pairs\.csv, a file"):
        repaired(root, out / "pairs.csv", BARE)


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
    with pytest.raises(RunError, match=r"could not write .*repaired: File too large\. Nothing is left of it"):
        fix(audit, config, out)
    assert out.is_dir() == there
    assert not there or list(out.iterdir()) == []
    assert hashes(root) == before


def test_an_interruption_leaves_nothing(make_set: MakeSet, out: Path) -> None:
    root = make_set(3)
    config = DataConfig(root=str(root))

    def interrupt(done: int, total: int) -> None:
        if done == 2 * total // 3 - 1:  # while masks are written
            assert [path.name for path in out.glob(".maskwright-*/*")] == ["masks"] or len(
                list(out.glob(".maskwright-*/*"))
            ) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fix(audit_of(config, BARE), config, out, interrupt)
    assert not out.exists()


def test_progress_counts_every_pair_three_times(make_set: MakeSet, out: Path) -> None:
    config = DataConfig(root=str(make_set(3)))
    told: list[tuple[int, int]] = []
    fix(audit_of(config, BARE), config, out, lambda done, total: told.append((done, total)))
    assert told == [(n, 9) for n in range(1, 10)]


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
