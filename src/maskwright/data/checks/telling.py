"""An audit in lines for a person, in a terminal and in a notebook."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from maskwright.data.checks.findings import CODES, Audit, Finding

_FILES = 4


def told(audit: Audit) -> list[str]:
    """The audit for a person: what was recognised, classes, the findings, errors first, and at the end what is asked.

    A command stands on a line of its own, which is to stay whole; what is not to be parted has a no-break space.
    """
    splits = ", ".join(f"{number} {split}" for split, number in audit.splits.items() if number)
    images = f"{audit.num_images}{f' ({splits})' if splits else ''}{_sizes(audit)}"
    lines = [f"reader   {audit.reader}: {audit.reason}", f"images   {images}"]
    if audit.classes:
        shares = ", ".join(f"{name}\u00a0{share:.1%}" for name, share in zip(audit.classes, audit.class_shares, strict=True))
        lines.append(f"classes  {shares} ({audit.classes_reason})")
    if audit.ignored:
        shares = ", ".join(f"{value} {share:.1%}" for value, share in audit.ignored.items())
        lines.append(f"ignored  {shares} of all pixels, neither learned nor scored")
    lines += [f"note     {note}" for note in audit.notes]
    for finding in audit.findings:
        lines += ["", *_finding(finding, audit)]
    for finding in audit.findings:
        if finding.proposal and finding.proposal.question:
            lines += ["", f"question {finding.code}: {finding.proposal.question}", *_answers(finding, audit)]
    return [*lines, ""]


def is_command(line: str) -> bool:
    """Whether a line is to be pasted."""
    return line.lstrip().startswith("maskwright ")


def _answers(finding: Finding, audit: Audit) -> list[str]:
    answers = finding.proposal.answers if finding.proposal else ()
    return [line for one in answers for line in (f"  {one.told}:", f"    {audit.command(**one.keys)}")]


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
    wide, high = [f"{min(side)} to {max(side)}" if len({*side}) > 1 else str(side[0]) for side in zip(*sizes, strict=True)]
    return f"{wide} pixels wide and {high} high"


def _finding(finding: Finding, audit: Audit) -> list[str]:
    number = f" ({len(finding.files)} files)" if len(finding.files) > 1 else ""
    lines = [f"{finding.severity.ljust(8)} {finding.code}: {CODES[finding.code].title}{number}", f"  {finding.evidence}"]
    if finding.files:
        lines.append(f"  files: {_some(finding.files)}")
    proposal = finding.proposal
    if proposal and proposal.question:
        lines.append("  see the question below")
    elif proposal:
        lines += [f"  repair: {proposal.told or proposal.op}", *(f"  or {line.lstrip()}" if not is_command(line) else line
                  for line in _answers(finding, audit))]  # fmt: skip
    return lines


def _some(files: Sequence[str]) -> str:
    more = f" and {len(files) - _FILES} more" if len(files) > _FILES else ""
    return ", ".join(files[:_FILES]) + more
