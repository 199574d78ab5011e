"""Findings are data: a code, how grave it is, the files, the evidence, and what could be done.

    audit.findings[0].code, audit.findings[0].files, audit.findings[0].proposal

A rule makes findings; a page, a table or a JSON document shows them; `--fix` carries out what is `proposal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from maskwright.config.data import DataConfig
from maskwright.config.typed import command_on
from maskwright.data.dataset import RGB, Bands, ClassMap, Record
from maskwright.runs import ShownInNotebook

Severity = Literal["error", "warning", "note"]  # error: train refuses; warning: a person should look; note: good to know


@dataclass(frozen=True)
class Code:
    """What a finding's code stands for, and how grave it mostly is. `cheap` ones need no look at all pictures at once."""

    severity: Severity
    title: str
    cheap: bool = True


@dataclass(frozen=True)
class Answer:
    """An answer to a question, or another way out than a repair: in words, and as the `data:` keys that say so."""

    told: str
    keys: dict[str, Any]


@dataclass(frozen=True)
class Repair:
    """A change `--fix` can make to the named files: `op` is a name in `repair.OPERATIONS`, `values` what it needs.

    `question` is set where a person has to decide first; then nothing is done, and `--fix` stops with it.
    `answers` are what may be said to it; without a question they are other ways out, which need no copy.
    """

    op: str
    values: dict[str, Any] = field(default_factory=dict)
    told: str = ""
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
                "op": proposal.op, "values": proposal.values, "told": proposal.told, "question": proposal.question or None,
                "answers": [{"told": one.told, "command": audit.command(**one.keys)} for one in proposal.answers],
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
_GRAVITY: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


def grave_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings, notes; each in the order of `CODES`, but of the warnings those first that spoil every score."""
    place = {code: index for index, code in enumerate(CODES)}

    def gravity(one: Finding) -> tuple[int, bool, int]:
        return _GRAVITY[one.severity], one.severity == "warning" and one.code not in LEAKS, place[one.code]

    return tuple(sorted(findings, key=gravity))


@dataclass(frozen=True)
class Audit(ShownInNotebook):
    """What a data set holds and every finding about it.

    `pairs` are small facts of each pair, for pages: {"id", "image", "mask", "split", "height", "width", "pixels": {class: n}}.
    `ignored` holds the share of all pixels that each ignored value has (`nodata`: what a raster says it knows nothing of).
    `records` are the pairs themselves, as listed and in the splits they were dealt; `class_map` is None while nobody can say
    what the masks' values mean; `config` is what was asked. None of them is part of the JSON.
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
                {"name": name, "share": round(share, 6)} for name, share in zip(self.classes, self.class_shares, strict=True)
            ],
            "classes_reason": self.classes_reason,
            "ignored": [{"value": value, "share": round(share, 6)} for value, share in self.ignored.items()],
            "notes": list(self.notes),
            "findings": [finding.to_json(self) for finding in self.findings],
            "clean": self.clean,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        from maskwright.data.checks.telling import told  # which knows findings

        return "\n".join(told(self)).rstrip().replace("\u00a0", " ")

    __repr__ = __str__
