"""What is known of the data behind a run: the findings of an audit in short, and what was allowed in spite of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from markupsafe import Markup

from maskwright.data.checks.findings import CODES, LEAKS, Severity
from maskwright.data.description import check_command
from maskwright.errors import MaskwrightError, listed
from maskwright.reports.audit_words import marked, sentence
from maskwright.reports.facts import Facts
from maskwright.reports.wording import counted

AUDITED = 500_000_000  # pixels a report reads to audit the data anew: some ten seconds
WORDS: dict[Severity, str] = {"error": "Error", "warning": "Warning", "note": "Note"}


@dataclass(frozen=True)
class Row:
    """One finding: how grave, what it is called, the evidence, how many files, and whether it was allowed."""

    severity: Severity
    word: str
    title: str
    evidence: Markup
    num_files: int
    allowed: bool


@dataclass(frozen=True)
class AuditSummary:
    """The findings gravest first; `lead` says how many there are and when it was looked, `command` tells more.

    `caveat` belongs beside the score: splits that share pictures or groups; "" where none was found.
    """

    lead: str
    rows: tuple[Row, ...]
    command: str
    caveat: str = ""


def audit_summary(facts: Facts, data: Path | None = None) -> AuditSummary:
    """Audit the data where it is there and not too much; else tell what was found before training; else say so."""
    root = data or Path(facts.document["root"])
    command = check_command(facts.config.data.model_copy(update={"root": str(root)}))
    found, lead = _look(facts, root)
    if found is None:
        recorded = facts.environment.get("findings")
        found, told = (recorded, "What was found just before training.") if recorded is not None else ([], "")
        lead = f"{lead} {told}".strip()
    allowed = [(one["code"], one["evidence"]) for one in facts.environment.get("allowed", [])]
    rows = [_row(one, {code for code, _ in allowed}, str(root)) for one in found]
    shown = {one["code"] for one in found}
    rows += [Row("error", WORDS["error"], CODES[code].title if code in CODES else code, marked(evidence, str(root)), 0, True)
             for code, evidence in allowed if code not in shown]  # fmt: skip
    order = get_args(Severity)
    caveat = _caveat([*found, *facts.environment.get("allowed", [])])
    return AuditSummary(lead, tuple(sorted(rows, key=lambda row: order.index(row.severity))), command, caveat)


def _caveat(found: Sequence[Mapping[str, Any]]) -> str:
    """What makes scores look better than they are on new images."""
    leaks = [one["code"] for one in found if one["code"] in LEAKS and one.get("severity") != "note"]
    if not leaks:
        return ""
    told = listed([CODES[code].title for code in dict.fromkeys(leaks)])
    return f"The splits are not apart, so scores may look better than on new images: the audit below found {told}."


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
    trained = {split: len(entries) for split, entries in facts.document["splits"].items()}
    other = "" if done.splits == trained else (
        f" It holds other images than the run was trained on: {_dealt(done.splits)} now, {_dealt(trained)} then.")  # fmt: skip
    found = [{"code": one.code, "severity": one.severity, "evidence": one.evidence, "files": len(one.files)}
             for one in done.findings]  # fmt: skip
    return found, f"{_told([one['severity'] for one in found])} in {counted(done.num_images, 'pair')} of image and mask.{other}"


def _told(severities: Sequence[str]) -> str:
    """
    >>> _told(["note", "note", "warning"]), _told([])
    ('1 warning and 2 notes', 'Nothing was found')
    """
    by = Counter(severities)
    parts = [counted(by[word], word) for word in get_args(Severity) if by[word]]
    return listed(parts) if parts else "Nothing was found"


def _row(one: Mapping[str, Any], allowed: set[str], root: str) -> Row:
    code, severity = one["code"], one["severity"]
    title = CODES[code].title if code in CODES else code
    return Row(severity, WORDS[severity], sentence(title).rstrip("."), marked(sentence(one["evidence"]), root),
               int(one["files"]), severity == "error" and code in allowed)  # fmt: skip


def _dealt(splits: Mapping[str, int]) -> str:
    return listed([f"{num} {split}" for split, num in splits.items()])
