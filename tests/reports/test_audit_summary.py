"""The report: what it says of the data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_making import Page

from maskwright.reports import audit_summary as module
from maskwright.reports import write_report
from maskwright.reports.audit_summary import AuditSummary, audit_summary
from maskwright.reports.facts import gather
from maskwright.runs import Run
from support import finished


def summary_of(run: Run, data: Path | None = None, **environment: Any) -> AuditSummary:
    facts = gather(run)
    return audit_summary(replace(facts, environment={**facts.environment, **environment}), data)


RECORDED = [
    {"code": "imbalance", "severity": "note", "files": 0, "evidence": "cat has 1 % of the pixels"},
    {"code": "exact-leak", "severity": "error", "files": 2, "evidence": "images/0 and images/5 are the same"},
]
ALLOWED = [{"code": "exact-leak", "files": ["a", "b"], "evidence": "images/0 and images/5 are the same"}]


def test_the_data_is_audited_where_it_is_there(pair: Run) -> None:
    found = summary_of(pair)
    assert "in 7 pairs of image and mask." in found.lead
    assert found.command == f"maskwright check {pair.data['root']} --data.classes '[background, cat]'"


def test_what_is_wrong_now_is_found_and_counted(pair: Run) -> None:
    root = Path(pair.data["root"])
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(root / "masks/3.png")
    shutil.copy(root / "images/3.png", root / "images/4.png")
    before = {row.title for row in summary_of(pair, root).rows}
    assert "masks with background alone" in before
    assert "the same picture twice in a split" in before or "the same picture with different masks" in before


def test_gone_or_large_data_is_told_with_what_was_found_before_training(
    pair: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AUDITED", 7 * 32 * 32 - 1)
    large = summary_of(pair, findings=RECORDED)
    assert large.lead == "7 images are too many to be audited for a report. What was found just before training."
    assert [(row.severity, row.title, row.num_files, row.allowed) for row in large.rows] == [
        ("error", "the same picture in two splits", 2, False), ("note", "classes of very different size", 0, False)
    ]  # fmt: skip
    monkeypatch.setattr(module, "AUDITED", 7 * 32 * 32)
    assert "pairs of image and mask" in summary_of(pair, findings=RECORDED).lead
    shutil.rmtree(pair.data["root"])
    gone = summary_of(pair, findings=RECORDED)
    assert gone.lead.startswith(f"The data folder {pair.data['root']} is not there any more, so it was not audited")
    assert gone.rows == large.rows
    assert summary_of(pair).rows == ()


def test_allowed_errors_are_marked_and_those_no_longer_found_kept(pair: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AUDITED", 0)
    assert [(row.severity, row.allowed) for row in summary_of(pair, findings=RECORDED, allowed=ALLOWED).rows] == [
        ("error", True), ("note", False)
    ]  # fmt: skip
    kept = summary_of(pair, findings=[], allowed=ALLOWED).rows
    assert [(row.severity, row.evidence, row.allowed) for row in kept] == [
        ("error", "images/0 and images/5 are the same", True)
    ]


def test_another_number_of_images_is_told(pair: Run) -> None:
    root = Path(pair.data["root"])
    rows = (root / "pairs.csv").read_text().splitlines()
    (root / "pairs.csv").write_text("\n".join(rows[:-1]) + "\n")
    lead = summary_of(pair).lead
    assert (
        "It holds other images than the run was trained on: "
        "2 train, 1 val and 3 test now, 2 train, 1 val and 4 test then." in lead
    )


def test_training_writes_down_what_it_found() -> None:
    findings = Run.open(finished()).environment["findings"]
    assert {"zero-255"} <= {one["code"] for one in findings}
    assert all({"code", "severity", "files", "evidence"} == one.keys() for one in findings)


def test_data_that_cannot_be_listed_is_told(pair: Run) -> None:
    root = Path(pair.data["root"])
    (root / "pairs.csv").write_text("nonsense\n")
    page = Page.read(write_report(pair))
    assert "The data could not be audited for this report." in page.text


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"code": "near-leak", "severity": "warning"}, "nearly the same picture in two splits"),
        ({"code": "groups", "severity": "warning"}, "groups in the names that the split tears apart"),
        ({"code": "groups", "severity": "note"}, ""),
        ({"code": "near-duplicates", "severity": "note"}, ""),
    ],
)
def test_splits_that_are_not_apart_are_told_beside_the_score(pair: Run, found: dict[str, str], told: str) -> None:
    shutil.rmtree(pair.data["root"])
    caveat = summary_of(pair, findings=[{"files": 2, "evidence": "a and b", **found}]).caveat
    assert caveat.endswith(f"found {told}.") if told else caveat == ""


def test_the_caveat_stands_in_the_head_line_after_the_score(pair: Run) -> None:
    root = Path(pair.data["root"])
    for index in (0, 6):  # of train and test
        Image.fromarray(np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3, np.ones((4, 4), np.uint8))).convert(
            "RGB"
        ).save(root / f"images/{index}.png")
    write_report(pair)
    head = (pair.root / "report.html").read_text().partition('class="verdict">')[2].partition("</p>")[0]
    assert (
        head.index("cat IoU is")
        < head.index("the audit below found the same picture in two splits")
        < head.index("best epoch")
    )
