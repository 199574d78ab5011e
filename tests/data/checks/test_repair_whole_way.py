"""The whole way: a broken set, the audit's own proposals, a repaired copy, and an audit of the copy that finds nothing
of it.

Every code whose proposal can be carried out has a case; where the audit asks first, the repair must refuse until the
configuration answers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.findings import CODES
from maskwright.data.checks.repair import RepairQuestion, fix
from maskwright.data.opening import open_dataset
from maskwright.data.synthetic import GENERATORS
from support import TINY, maskwright

SIZE = (40, 56)


@dataclass(frozen=True)
class Case:
    """How a good set is spoilt, the finding it should lead to, and the configuration that answers its question."""

    code: str
    spoil: Callable[[Path], None]
    answer: dict[str, Any] = field(default_factory=dict)
    values: tuple[int, ...] = (0, 1)


def scene(number: int, values: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Blobs of every value but the first on a background of the first, each brighter than what is below it."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = np.full(SIZE, values[0], np.uint8)
    for place, value in enumerate(values[1:], start=1):
        middle = 8 + rng.random(2) * (np.array(SIZE) - 16)
        mask[(rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 60 - 6 * place] = value
        mask[10 + place, 10:14] = value  # each value is in each mask
    image = rng.integers(0, 60, (*SIZE, 3), np.uint8) + (mask[..., None] != values[0]) * np.uint8(150)
    return image.astype(np.uint8), mask


@pytest.fixture
def good_set(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Path]:
    """good_set(values) → eight pairs nothing is wrong with."""

    def make(values: tuple[int, ...]) -> Path:
        root = tmp_path / "set"
        for number in range(8):
            image, mask = scene(number, values)
            write_image(root / f"images/{number}.png", image)
            write_image(root / f"masks/{number}.png", mask)
        return root

    return make


def masks(root: Path) -> list[Path]:
    return sorted((root / "masks").iterdir())


def change(root: Path, how: Callable[[np.ndarray], np.ndarray], every: int = 1) -> None:
    """Every so manieth mask done anew."""
    for path in masks(root)[::every]:
        with Image.open(path) as image:
            array = np.asarray(image)
        Image.fromarray(how(array)).save(path)


def as_jpeg(root: Path) -> None:
    for path in masks(root):
        with Image.open(path) as image:
            Image.fromarray(np.asarray(image) * np.uint8(255)).convert("RGB").save(path.with_suffix(".jpg"), quality=75)
        path.unlink()


def turned_image(root: Path) -> None:
    """The camera's way: pixels as they come and a number that says how to hold them; the mask is of the bare pixels."""
    for number in (1, 4):
        path = root / f"images/{number}.png"
        with Image.open(path) as image:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(path, exif=exif)


def named(root: Path, *names: str) -> None:
    (root / "classes.yaml").write_text(
        "".join(f"{name}: {value}\n" for value, name in enumerate(names)), encoding="utf-8"
    )


def colours(mask: np.ndarray) -> np.ndarray:
    return np.array([(0, 0, 0), (200, 30, 30), (20, 40, 220)], np.uint8)[mask]


def tinted(mask: np.ndarray) -> np.ndarray:
    """Greys that are not quite grey, and not black and white either."""
    return np.array([(2, 0, 4), (90, 92, 95)], np.uint8)[mask]


def cut(root: Path) -> None:
    path = root / "masks/3.png"
    path.write_bytes(path.read_bytes()[:60])


def lost(root: Path) -> None:
    (root / "masks/2.png").unlink()


def larger(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(mask).resize((SIZE[1] * 2, SIZE[0] * 2), Image.Resampling.NEAREST))


def one_more(root: Path) -> None:
    change(root, lambda mask: np.pad(mask, ((0, 1), (0, 0)), mode="edge"), 3)


def one_less(root: Path) -> None:
    change(root, lambda mask: mask[:, :-1], 2)


def begin_at_one(root: Path) -> None:
    named(root, "ground", "tree", "house")
    change(root, lambda mask: mask + 1)


def void_named(root: Path) -> None:
    named(root, "ground", "tree")


CASES = [
    Case("unreadable", cut),
    Case("unpaired", lost),
    Case("size-mismatch", lambda root: change(root, larger, 2)),
    Case("orientation", turned_image),
    Case("offset", one_more),
    Case("offset", one_less),
    Case("smoothed", as_jpeg),
    Case("smoothed", lambda root: change(root, tinted), {"foreground_from": 50}),
    Case("off-by-one", begin_at_one, values=(0, 1, 2)),
    Case("off-by-one", lambda root: change(root, lambda m: m + 1), {"classes": {"a": 1, "b": 2, "c": 3}}, (0, 1, 2)),
    Case("void-after-last", void_named, values=(0, 1, 2)),
    Case("zero-255", lambda root: (named(root, "ground", "tree"), change(root, lambda m: m * np.uint8(255)))[0]),
    Case("zero-255", lambda root: change(root, lambda m: m * np.uint8(255), 2), {"foreground_from": 1}),
    Case("unknown-values", lambda root: (named(root, "a", "b"), change(root, lambda m: m * np.uint8(7), 4))[0],
         {"classes": {"a": 0, "b": 1, "c": 7}}),
    Case("colour-masks", lambda root: change(root, colours),
         {"classes": {"g": "#000000", "t": "#c81e1e", "h": [20, 40, 220]}}, (0, 1, 2)),
    Case("inverted", lambda root: change(root, lambda m: 1 - m), {"classes": {"background": 1, "foreground": 0}}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{place}" for place, case in enumerate(CASES)])
def test_what_was_found_is_repaired_and_found_no_more(case: Case, good_set, tmp_path: Path) -> None:
    root, out = good_set(case.values), tmp_path / "out"
    case.spoil(root)
    config = DataConfig(root=str(root))
    found = audit(config)
    assert case.code in [finding.code for finding in found.findings], found.findings
    if case.answer:
        with pytest.raises(RepairQuestion, match=f"`{case.code}`"):
            fix(found, config, out)
        config = DataConfig.model_validate({"root": str(root), **case.answer})
        found = audit(config)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    fix(found, config, out)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before

    again = audit(DataConfig(root=str(out)))
    left = {finding.code for finding in again.findings if finding.severity != "note"}
    assert case.code not in left, again.findings
    assert again.clean
    opened = open_dataset(DataConfig(root=str(out)))
    assert sum(opened.dataset.sizes().values()) == (7 if case.code in ("unreadable", "unpaired") else 8)


def test_equal_pictures_that_were_dealt_apart_get_one_group(good_set, tmp_path: Path) -> None:
    """Where dealing looks at no pictures (split.group null), the copy's groups keep them together; no pixel is
    touched.
    """

    def config(folder: Path) -> DataConfig:
        return DataConfig.model_validate({"root": str(folder), "split": {"group": None}})

    root, out = good_set((0, 1)), tmp_path / "out"
    codes: list[str] = []
    twin = -1
    while "exact-leak" not in codes:  # which of them dealing separates is its own business
        twin += 1
        for folder in ("images", "masks"):
            shutil.copyfile(root / f"{folder}/{twin}.png", root / f"{folder}/twin.png")
        found = audit(config(root))
        codes = [finding.code for finding in found.findings]
    fix(found, config(root), out)
    assert (out / "pairs.csv").read_text(encoding="utf-8").startswith("image,mask,group\n")
    assert "exact-leak" not in [finding.code for finding in audit(config(out)).findings]
    assert (out / f"masks/{twin}.png").read_bytes() == (root / f"masks/{twin}.png").read_bytes()


def test_exposures_of_one_thing_are_kept_together_and_the_copy_can_be_trained_on(tmp_path: Path, write_image) -> None:
    """Six exposures of five tiles, called as if they were six films: likeness tells the tiles, and the copy says so."""
    root, out = tmp_path / "set", tmp_path / "out"
    for tile in range(5):
        drawn, mask = GENERATORS["landcover"].draw(np.random.default_rng((7, tile)), 90, 120)
        for exposure in range(1, 7):
            name = f"exp{exposure}_num_{100 * tile + 7 * exposure}"
            write_image(root / f"images/{name}.png", np.clip(drawn * (0.4 + 0.1 * exposure), 0, 255).astype(np.uint8))
            write_image(root / f"masks/{name}.png", (mask > 0).astype(np.uint8))
    found = audit(DataConfig(root=str(root)))
    assert "groups" not in {finding.code for finding in found.findings}
    assert "near-leak" not in {finding.code for finding in found.findings}
    assert any("the names were not followed" in note for note in found.notes)
    fixed = fix(found, DataConfig(root=str(root)), out)
    assert fixed.notes == ()
    dataset = open_dataset(DataConfig(root=str(out))).dataset
    groups: dict[str | None, set[int]] = {}
    for item in dataset.items:
        groups.setdefault(item.record.group, set()).add(int(item.record.id.rpartition("_")[2]) // 100)
    assert sorted(map(sorted, groups.values())) == [[0], [1], [2], [3], [4]]
    assert set(dataset.sizes().values()) != {0} and all(dataset.sizes().values())


def test_the_repaired_masks_are_the_good_ones_again(good_set, tmp_path: Path) -> None:
    """JPEG and a doubled size do no lasting harm to blobs; a row that was added goes."""
    for place, spoil in enumerate((as_jpeg, one_more, lambda root: change(root, larger))):
        root, out = good_set((0, 1)), tmp_path / f"out{place}"
        good = {path.stem: scene(int(path.stem), (0, 1))[1] for path in masks(root)}
        spoil(root)
        config = DataConfig(root=str(root))
        fix(audit(config), config, out)
        for name, mask in good.items():
            with Image.open(out / f"masks/{name}.png") as image:
                assert (np.asarray(image) != mask).mean() <= (0.01 if spoil is as_jpeg else 0), name
        for path in masks(root):
            path.unlink()


def test_every_code_of_the_cases_is_known() -> None:
    assert {case.code for case in CASES} <= set(CODES)


def test_training_starts_on_a_repaired_copy(good_set, tmp_path: Path) -> None:
    """What `train` refuses before, it takes after."""
    root, out = good_set((0, 1)), tmp_path / "out"
    as_jpeg(root)
    refused = maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", tmp_path / "no")
    assert refused.code == 2
    config = DataConfig(root=str(root))
    fix(audit(config), config, out)
    done = maskwright("train", "--data", out, *TINY, "--epochs", 1, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "model.safetensors").is_file()
