"""What is known of the data behind a run: the findings of an audit in short, and what was allowed in spite of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from maskwright.data.checks.findings import CODES, LEAKS, Severity
from maskwright.data.description import check_command
from maskwright.errors import MaskwrightError, counted, listed
from maskwright.reports.facts import Facts

AUDITED = 500_000_000  # pixels a report reads to audit the data anew: some ten seconds
_ORDER = get_args(Severity)


class Row(NamedTuple):
    """One finding: how severe, what it is called, the evidence, how many files, and whether it was allowed."""

    severity: Severity
    title: str
    evidence: str
    num_files: int
    allowed: bool


class AuditSummary(NamedTuple):
    """The findings by severity; `lead` says how many there are and when it was looked, `command` shows more.

    `caveat` belongs beside the score: splits that share pictures or groups; "" where none was found.
    """

    lead: str
    rows: tuple[Row, ...]
    root: str
    command: str
    caveat: str = ""


def audit_summary(facts: Facts, data: Path | None = None) -> AuditSummary:
    """Audit the data if it is there and not too much; else what was found before training, or why nothing is known."""
    root = data or Path(facts.document["root"])
    found, lead = _look(facts, root)
    if found is None:
        recorded = facts.environment.get("findings")
        found = recorded or []
        lead += "" if recorded is None else " What was found just before training."
    allowed = facts.environment.get("allowed", [])
    codes = {one["code"] for one in allowed}
    rows = [
        Row(one["severity"], _title(one["code"]), one["evidence"], int(one["files"]),
            one["severity"] == "error" and one["code"] in codes)
        for one in found
    ]  # fmt: skip
    gone = [one for one in allowed if one["code"] not in {other["code"] for other in found}]
    rows += [Row("error", _title(one["code"]), one["evidence"], 0, True) for one in gone]
    rows.sort(key=lambda row: _ORDER.index(row.severity))
    command = check_command(facts.config.data.model_copy(update={"root": str(root)}))
    return AuditSummary(lead, tuple(rows), str(root), command, _caveat([*found, *allowed]))


def _title(code: str) -> str:
    return CODES[code].title if code in CODES else code


def _caveat(found: Sequence[Mapping[str, Any]]) -> str:
    """What makes scores look better than they are on new images."""
    leaks = dict.fromkeys(one["code"] for one in found if one["code"] in LEAKS and one.get("severity") != "note")
    names = listed(map(_title, leaks))
    text = f"The splits are not apart, so scores may look better than on new images: the audit below found {names}."
    return text if leaks else ""


def _look(facts: Facts, root: Path) -> tuple[Sequence[Mapping[str, Any]] | None, str]:
    """The findings of an audit made now and a sentence on them; None where there could be none, and why."""
    if not root.exists():
        return None, f"The data folder {root} is not there any more, so it was not audited for this report."
    sizes = [entry["size"] for entries in facts.document["splits"].values() for entry in entries]
    if sum(height * width for height, width in sizes) > AUDITED:
        return None, f"{counted(len(sizes), 'image')} are too many to be audited for a report."
    from maskwright.data.checks.audit import audit

    try:
        done = audit(facts.config.data.model_copy(update={"root": str(root)}))
    except MaskwrightError as error:
        return None, f"The data could not be audited for this report. {error}"
    by = Counter(one.severity for one in done.findings)
    severities = [counted(by[word], word) for word in _ORDER if by[word]]
    lead = listed(severities) if severities else "Nothing was found"
    lead = f"{lead} in {counted(done.num_images, 'pair')} of image and mask."
    trained = {split: len(entries) for split, entries in facts.document["splits"].items()}
    if done.splits != trained:
        now, then = (listed(f"{num} {split}" for split, num in splits.items()) for splits in (done.splits, trained))
        lead += f" It holds other images than the run was trained on: {now} now, {then} then."
    found = [{"code": one.code, "severity": one.severity, "evidence": one.evidence, "files": len(one.files)}
             for one in done.findings]  # fmt: skip
    return found, lead
