"""Every finding code: a data set that has it, and one near it that has not."""

from __future__ import annotations

import functools
import json
import tracemalloc
from pathlib import Path

import pytest
from cases import CASES, Case
from makers import NAMES, VIDEOS, Maker, image, mask, named_like, sound, truncated, without_a_mask, write

from data.layouts import LAYOUTS
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.findings import CODES, Audit
from maskwright.data.checks.repair_operations import OF_PAIRS, OPERATIONS
from maskwright.data.opening import open_dataset
from maskwright.errors import DataError
from support import session_folder

OF_DUPLICATES = {"exact-duplicates", "exact-leak", "near-duplicates", "near-leak", "different-masks"}
IDS = [f"{case.code} {case.name}".strip() for case in CASES]


def audited(maker: Maker, root: Path) -> tuple[Audit, DataConfig]:
    config = DataConfig.model_validate({"root": str(root), **maker(root)})
    return audit(config), config


@functools.cache
def of_case(case: Case, which: str) -> tuple[Audit, DataConfig]:
    """The audit of what a case `has`, or of what is `near` it; each is made once, and not to be changed."""
    root = session_folder() / "cases" / f"{CASES.index(case)}-{which}"
    root.mkdir(parents=True)
    return audited(getattr(case, which), root)


def test_every_code_has_its_case() -> None:
    assert {case.code for case in CASES} == set(CODES)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_wrong_is_found(case: Case) -> None:
    found, config = of_case(case, "has")
    finding = next((one for one in found.findings if one.code == case.code), None)
    assert finding is not None, [one.code for one in found.findings]
    assert finding.severity == case.severity
    assert set(case.files) <= set(finding.files)
    assert config.root and all((Path(config.root) / file).exists() for file in finding.files)
    assert finding.evidence.endswith((".", "?")) and "\n" not in finding.evidence
    assert (finding.proposal.op if finding.proposal else "") == case.op or case.code.split("-")[0] in (
        "exact",
        "near",
        "different",
    )
    if case.op:
        assert finding.proposal is not None and finding.proposal.op in (*OF_PAIRS, *OPERATIONS)
        assert bool(finding.proposal.question) == case.asks


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_near_is_not_found(case: Case) -> None:
    found, _ = of_case(case, "near")
    assert not [one.evidence for one in found.findings if one.code == case.code and one.severity == case.severity]


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("which", ["has", "near"])
def test_an_audit_without_errors_means_that_the_data_can_be_opened(case: Case, which: str) -> None:
    """And the other way round: what cannot be opened is never called clean."""
    found, config = of_case(case, which)
    try:
        open_dataset(config).store.close()
        opened = True
    except DataError:
        opened = False
    assert opened or not found.clean, [one.code for one in found.findings]


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 1, 2, 3), (0, 1, 2, 255)])
def test_a_sound_set_is_quiet(values: tuple[int, ...], tmp_path: Path) -> None:
    found, _ = audited(sound(values), tmp_path)
    assert found.clean and not [one for one in found.findings if one.severity != "note"]
    assert {one.code for one in found.findings} <= {"zero-255"}
    assert found.num_images == 8 and sum(found.splits.values()) == 8 and sum(found.class_shares) == pytest.approx(1)


# ------------------------------------------------------------------ clean means that training starts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_clean_and_opens(layout: str, tmp_path: Path) -> None:
    """The small sets of the reader contract, as an audit sees them; tiny and few, they may lack a class in a split."""
    LAYOUTS[layout](tmp_path)
    config = DataConfig(root=str(tmp_path))
    found = audit(config)
    assert found.reader == layout and found.clean, [(one.code, one.evidence) for one in found.errors]
    opened = open_dataset(config)
    opened.store.close()
    assert found.splits == opened.dataset.sizes()
    assert found.classes == opened.dataset.classes.names
    assert found.class_shares == pytest.approx(opened.dataset.class_shares())


def test_the_audit_deals_as_training_does(tmp_path: Path) -> None:
    """Near-duplicates included: two copies of each picture stay together in both."""
    for index, name in enumerate(NAMES[:6]):
        for copy, pixels in enumerate((image(index, 120, 160), image(index, 120, 160)[:, ::-1])):
            write(tmp_path / "images" / f"{name}{'ab'[copy]}.png", pixels.copy())
            write(tmp_path / "masks" / f"{name}{'ab'[copy]}.png", mask(index, (0, 1), 120, 160))
    config = DataConfig(root=str(tmp_path))
    found = audit(config)
    opened = open_dataset(config)
    opened.store.close()
    assert {one.id: one.split for one in found.records} == {
        one.record.id: one.record.split for one in opened.dataset.items
    }
    assert "near-leak" not in {one.code for one in found.findings}


@pytest.mark.parametrize(("group", "severity"), [("auto", "note"), (None, "warning"), (".+", "")])
def test_names_are_told_as_groups_until_a_person_says_otherwise(
    group: str | None, severity: str, tmp_path: Path
) -> None:
    named_like(VIDEOS)(tmp_path)
    found = audit(DataConfig.model_validate({"root": str(tmp_path), "split": {"group": group}}))
    assert [one.severity for one in found.findings if one.code == "groups"] == [severity] * bool(severity)


# ------------------------------------------------------------------ memory and time


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    """Four times as many pairs cost a small part of their pixels; near-duplicates, which look at all at once, aside."""
    for index in range(32):
        write(tmp_path / "images" / f"{index:02d}.png", image(index, 240, 320))
        write(tmp_path / "masks" / f"{index:02d}.png", mask(index, (0, 1, 2), 240, 320))

    def peak(count: int) -> int:
        splits = ["train", "val"] * (count // 2)
        rows = [f"images/{index:02d}.png,masks/{index:02d}.png,{split}" for index, split in enumerate(splits)]
        (tmp_path / f"{count}.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
        tracemalloc.start()
        audit(DataConfig(root=str(tmp_path / f"{count}.csv")), cheap_only=True)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(8)  # imports and caches
    assert peak(32) - peak(8) < 24 * 240 * 320 * 4 / 12


def test_progress_is_told_pair_by_pair(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    sound()(tmp_path)
    audit(DataConfig(root=str(tmp_path)), lambda done, total: told.append((done, total)))
    assert told == [(number, 8) for number in range(1, 9)]


def test_cheap_checks_leave_near_duplicates_aside(tmp_path: Path) -> None:
    case = next(one for one in CASES if one.code == "near-leak")
    config = DataConfig.model_validate({"root": str(tmp_path), **case.has(tmp_path)})
    codes = {one.code for one in audit(config, cheap_only=True).findings}
    assert all(CODES[code].cheap for code in codes) and "near-leak" not in codes


def test_findings_are_data(tmp_path: Path) -> None:
    found, _ = audited(next(one for one in CASES if one.code == "smoothed").has, tmp_path)
    tree = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [one["code"] for one in tree["findings"]] == [one.code for one in found.findings]
    gravity = ["error", "warning", "note"]
    assert [gravity.index(one.severity) for one in found.findings] == sorted(
        gravity.index(one.severity) for one in found.findings
    )
    assert not tree["clean"] and tree["images"] == 8


def test_what_is_certain_is_audited_beside_what_is_not(tmp_path: Path) -> None:
    """A file without partner, a truncated one and a mask of another size are told in one go."""
    sound()(tmp_path)
    without_a_mask(tmp_path)
    truncated(tmp_path)
    write(tmp_path / "masks" / "daisy.png", mask(3, (0, 1), 20, 28))
    found = audit(DataConfig(root=str(tmp_path)))
    assert {one.code for one in found.errors} == {"unpaired", "unreadable", "size-mismatch"}
    assert found.num_images == 7


def test_where_nothing_can_be_looked_at_there_is_no_audit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold a folder of images"):
        audit(DataConfig(root=str(tmp_path)))
    for index in range(3):
        write(tmp_path / "images" / f"{'abc'[index]}.png", image(index))
        write(tmp_path / "masks" / f"{'xyz'[index]}.png", mask(index))
    with pytest.raises(DataError, match="without a mask: a, b and c"):
        audit(DataConfig(root=str(tmp_path)))
