"""Findings are data: a code, its severity, the files, the evidence, and what could be done; and an audit in lines.

    audit.findings[0].code, audit.findings[0].files, audit.findings[0].proposal

A rule makes findings; a page, a table or a JSON document shows them; `--fix` carries out what is `proposal`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maskwright.config.data import DataConfig
from maskwright.config.typed import command_on
from maskwright.data.dataset import RGB, Bands, ClassMap, Record
from maskwright.runs import ShownInNotebook

# error: train refuses; warning: a person should look; note: good to know
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Code:
    """What a finding's code stands for, and its usual severity. `cheap` ones need no look at all pictures at once."""

    severity: Severity
    title: str
    cheap: bool = True


@dataclass(frozen=True)
class Answer:
    """An answer to a question, or another way out than a repair: in words, and as the `data:` keys that say so."""

    message: str
    keys: dict[str, Any]


@dataclass(frozen=True)
class Repair:
    """A change `--fix` can make to the named files: `op` is a name in `repair.OPERATIONS`, `values` what it needs.

    `question` is set where a person has to decide first; then nothing is done, and `--fix` stops with it.
    `answers` are what may be said to it; without a question they are other ways out, which need no copy.
    """

    op: str
    values: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    question: str = ""
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing an audit found. Files are relative to the data set's root."""

    code: str
    files: tuple[str, ...]
    evidence: str
    severity: Severity
    proposal: Repair | None = None
    details: dict[str, Any] = field(default_factory=dict)  # numbers behind the evidence, for JSON and pages

    def to_json(self, audit: Audit) -> dict[str, Any]:
        """For a program, with the commands of the answers."""
        proposal = self.proposal
        return {
            "code": self.code,
            "severity": self.severity,
            "title": CODES[self.code].title,
            "files": list(self.files),
            "evidence": self.evidence,
            "details": self.details,
            "proposal": None if proposal is None else {
                "op": proposal.op, "values": proposal.values, "message": proposal.message,
                "question": proposal.question or None,
                "answers": [{"message": one.message, "command": audit.command(**one.keys)} for one in proposal.answers],
            },
        }  # fmt: skip


CODES: dict[str, Code] = {
    # files
    "swapped": Code("error", "images and masks that look swapped"),
    "unreadable": Code("error", "files that cannot be read whole"),
    "unpaired": Code("error", "images or masks without a partner"),
    "unlisted": Code("error", "parts of the listing that say nothing usable"),
    "listed-twice": Code("error", "the same item listed in two splits"),
    "size-mismatch": Code("error", "masks of another size than their image"),
    "orientation": Code("error", "image and mask turned differently (EXIF)"),
    "offset": Code("error", "masks a row or column larger or smaller than their image"),
    # what masks hold
    "unknown-values": Code("error", "mask values outside the class map"),
    "unclear-classes": Code("error", "mask values that do not say which class they are"),
    "off-by-one": Code("error", "labels that begin at 1"),
    "void-after-last": Code("warning", "a value right after the last class, perhaps void"),
    "smoothed": Code("error", "values between those of the classes (soft borders, resizing or JPEG)"),
    "lossy-masks": Code("error", "masks of class numbers kept as JPEG, which changes them"),
    "colour-masks": Code("error", "colour masks without a map of colours"),
    "zero-255": Code("note", "masks of 0 and 255"),
    "palette": Code("note", "palette masks, read by index"),
    "inverted": Code("warning", "foreground and background may be swapped"),
    "ignored": Code("warning", "pixels that are left out as ignored"),
    "empty-masks": Code("warning", "masks with background alone"),
    "one-class": Code("error", "masks that hold one value only, all of them"),
    # what images hold
    "mixed-channels": Code("note", "images of different channels"),
    "mixed-depth": Code("error", "images of different bit depth"),
    "constant-image": Code("warning", "images of one colour"),
    "not-finite": Code("warning", "image pixels that are no numbers (NaN, infinite or ±3.4e38)"),
    # the set as a whole
    "no-split": Code("error", "splits that cannot be made"),
    "class-missing": Code("warning", "a class that a split lacks"),
    "imbalance": Code("note", "classes of very different size"),
    "exact-duplicates": Code("warning", "the same picture twice in a split"),
    "exact-leak": Code("error", "the same picture in two splits"),
    "near-duplicates": Code("note", "nearly the same picture twice in a split", cheap=False),
    "near-leak": Code("warning", "nearly the same picture in two splits", cheap=False),
    "different-masks": Code("warning", "the same picture with different masks"),
    "groups": Code("warning", "groups in the names that the split tears apart"),
}
LEAKS = ("listed-twice", "exact-leak", "near-leak", "groups")  # splits that are not apart: scores look too good
_FILES_SHOWN = 4
_SEVERITIES: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings, notes; each in the order of `CODES`, but of the warnings those first that spoil every score."""
    place = {code: index for index, code in enumerate(CODES)}

    def rank(one: Finding) -> tuple[int, bool, int]:
        return _SEVERITIES[one.severity], one.severity == "warning" and one.code not in LEAKS, place[one.code]

    return tuple(sorted(findings, key=rank))


@dataclass(frozen=True)
class Audit(ShownInNotebook):
    """What a data set holds and every finding about it.

    `pairs` are small facts of each pair, for pages: {"id", "image", "mask", "split", "height", "width", "pixels":
    {class: n}}. `ignored` holds the share of all pixels that each ignored value has (`nodata`: what a raster says it
    knows nothing of). `records` are the pairs themselves, as listed and in the splits they were assigned; `class_map`
    is None while nobody can say what the masks' values mean; `config` is what was asked. None of them is part of the
    JSON.
    """

    root: str
    reader: str
    reason: str
    num_images: int
    splits: dict[str, int]
    classes: tuple[str, ...]
    class_shares: tuple[float, ...]
    classes_reason: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    pairs: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    records: tuple[Record, ...] = ()
    class_map: ClassMap | None = None
    bands: Bands = RGB
    ignored: dict[str, float] = field(default_factory=dict)
    config: DataConfig = field(default_factory=DataConfig)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def clean(self) -> bool:
        """Nothing that stops training."""
        return not self.errors

    def command(self, command: str = "check", more: Sequence[object] = (), **changes: Any) -> str:
        """A command on this data set as it was audited, with changes to its `data:` keys, ready to be pasted."""
        return command_on(self.config.model_copy(update={"root": self.root}), command, more, **changes)

    def to_json(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "reader": self.reader,
            "reason": self.reason,
            "images": self.num_images,
            "splits": self.splits,
            "classes": [
                {"name": name, "share": round(share, 6)}
                for name, share in zip(self.classes, self.class_shares, strict=True)
            ],
            "classes_reason": self.classes_reason,
            "ignored": [{"value": value, "share": round(share, 6)} for value, share in self.ignored.items()],
            "notes": list(self.notes),
            "findings": [finding.to_json(self) for finding in self.findings],
            "clean": self.clean,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        return "\n".join(format_audit(self)).rstrip().replace("\u00a0", " ")

    __repr__ = __str__


def format_audit(audit: Audit) -> list[str]:
    """The audit for a person: what was recognised, classes, the findings, errors first, and at the end what is asked.

    A command stands on a line of its own, which is to stay whole; what is not to be parted has a no-break space.
    """
    splits = ", ".join(f"{number} {split}" for split, number in audit.splits.items() if number)
    images = f"{audit.num_images}{f' ({splits})' if splits else ''}{_sizes(audit)}"
    lines = [f"reader   {audit.reader}: {audit.reason}", f"images   {images}"]
    if audit.classes:
        shares = ", ".join(
            f"{name}\u00a0{share:.1%}" for name, share in zip(audit.classes, audit.class_shares, strict=True)
        )
        lines.append(f"classes  {shares} ({audit.classes_reason})")
    if audit.ignored:
        shares = ", ".join(f"{value} {share:.1%}" for value, share in audit.ignored.items())
        lines.append(f"ignored  {shares} of all pixels, neither learned nor scored")
    lines += [f"note     {note}" for note in audit.notes]
    for finding in audit.findings:
        lines += ["", *_format_finding(finding, audit)]
    for finding in audit.findings:
        if finding.proposal and finding.proposal.question:
            lines += ["", f"question {finding.code}: {finding.proposal.question}", *_answers(finding, audit)]
    return [*lines, ""]


def is_command(line: str) -> bool:
    """Whether a line is to be pasted."""
    return line.lstrip().startswith("maskwright ")


def _answers(finding: Finding, audit: Audit) -> list[str]:
    answers = finding.proposal.answers if finding.proposal else ()
    return [line for one in answers for line in (f"  {one.message}:", f"    {audit.command(**one.keys)}")]


def name_of_copy(root: str) -> str:
    """Where to propose a repaired copy: in the current folder, as data may lie where nothing can be written.

    >>> name_of_copy("/data/pets/"), name_of_copy("/data/pets.csv")
    ('pets_repaired', 'pets_repaired')
    """
    path = Path(root).resolve()
    name = path.name.removesuffix(".csv") + "_repaired"
    folder = path.parent if path.is_file() else path
    here = Path.cwd().resolve()
    return os.path.relpath(folder.parent / name, here) if here.is_relative_to(folder) else name


def _sizes(audit: Audit) -> str:
    """Width × height, or the ranges of both."""
    sizes = {(pair["width"], pair["height"]) for pair in audit.pairs if pair["height"]}
    if len(sizes) > 1:
        return f", {format_ranges(sizes)}"
    return "".join(f", {width}x{height}" for width, height in sizes)


def format_ranges(sizes: Collection[tuple[int, int]]) -> str:
    """The widths and heights of images, each from the least to the most.

    >>> format_ranges({(116, 383), (599, 244), (512, 383)})
    '116 to 599 pixels wide and 244 to 383 high'
    """
    wide, high = [
        f"{min(side)} to {max(side)}" if len({*side}) > 1 else str(side[0]) for side in zip(*sizes, strict=True)
    ]
    return f"{wide} pixels wide and {high} high"


def _format_finding(finding: Finding, audit: Audit) -> list[str]:
    number = f" ({len(finding.files)} files)" if len(finding.files) > 1 else ""
    lines = [
        f"{finding.severity.ljust(8)} {finding.code}: {CODES[finding.code].title}{number}",
        f"  {finding.evidence}",
    ]
    if finding.files:
        lines.append(f"  files: {_some_files(finding.files)}")
    proposal = finding.proposal
    if proposal and proposal.question:
        lines.append("  see the question below")
    elif proposal:
        lines += [f"  repair: {proposal.message or proposal.op}",
                  *(f"  or {line.lstrip()}" if not is_command(line) else line
                  for line in _answers(finding, audit))]  # fmt: skip
    return lines


def _some_files(files: Sequence[str]) -> str:
    more = f" and {len(files) - _FILES_SHOWN} more" if len(files) > _FILES_SHOWN else ""
    return ", ".join(files[:_FILES_SHOWN]) + more
