"""The gate before training: the checks of an audit, on the files that were just read, and what was allowed.

The facts are taken while opening has each pair decoded, so nothing is read twice. Near-duplicates are looked for where
opening has not kept them on one side already: where the data set names its splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwright.config import Config
from maskwright.config.data import DataConfig
from maskwright.config.typed import flags_of
from maskwright.data.checks.audit import alike_sets, judge, list_tolerantly
from maskwright.data.checks.duplicates import near_pairs
from maskwright.data.checks.facts import PairFacts, facts_of, folder_of
from maskwright.data.checks.findings import CODES, Finding
from maskwright.data.checks.survey import Survey
from maskwright.data.dataset import Record
from maskwright.data.description import check_command, described
from maskwright.data.images import Head
from maskwright.data.opening import Opened, Progress, open_dataset
from maskwright.data.raw import Raw
from maskwright.data.signatures import Signature
from maskwright.errors import ConfigError, DataError, listed, unknown

# of `data`, what is done with pixels after they are read
_AFTER_READING = {"view", "letterbox", "size", "scale", "tiles", "outside", "sampling", "crop_focus"}
_NAME = "Name the values that the masks hold in data.classes, or deal the splits otherwise; see"


@dataclass(frozen=True)
class Passed:
    """What the gate let through: errors that were allowed, warnings to look at; `findings` is all it saw."""

    allowed: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


OpenData = Callable[[Config, Path | None, Progress | None], tuple[Opened, Passed]]


class SharedData:
    """Data that several trainings open one after the other: read and audited once, as long as they read them alike.

    `folder` is where pixels go that are too many for memory; None while there is no such place.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._found: tuple[Opened, Passed] | None = None
        self._read_as: Any = None

    def __enter__(self) -> SharedData:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, config: Config, cache_folder: Path | None, progress: Progress | None) -> tuple[Opened, Passed]:
        """As `open_checked`; whoever it is given to closes it as their own, and it stays for the next."""
        said = config.data.model_fields_set - _AFTER_READING
        read_as = (config.data.model_dump(exclude=_AFTER_READING), said, config.train.allow)
        if self._found is None or self._read_as != read_as or self._wants_folder(config.data.cache):
            self.close()
            self._found, self._read_as = open_checked(config, self.folder, progress), read_as
        opened, passed = self._found
        return replace(opened, store=opened.store.lend(), config=described(config.data)[0]), passed

    def close(self) -> None:
        """Let go of the pixels."""
        if self._found:
            self._found[0].store.close()
        self._found = None

    def _wants_folder(self, wish: str) -> bool:
        """Whether pixels that were too many for memory have a place on the disk by now."""
        assert self._found is not None
        store = self._found[0].store
        return (
            bool(self.folder) and not store.has_folder and (wish == "disk" or (wish, store.place) == ("auto", "none"))
        )


def open_checked(config: Config, cache_folder: Path | None, progress: Progress | None) -> tuple[Opened, Passed]:
    """Open the data for training; stops at errors that `train.allow` does not name."""
    refuse_unknown(config.train.allow)
    root = folder_of(config.data.root)

    def inspect(record: Record, raw: Raw, head: Head | None, signed: Signature) -> PairFacts:
        return facts_of(record, raw, root, head, signed)

    try:
        opened = open_dataset(config.data, cache_folder, progress, inspect)
    except DataError as error:
        raise DataError(f"{error}{_hint(config, str(error))}") from error
    try:
        return opened, _pass(config, opened, root)
    except BaseException:
        opened.store.close()
        raise


def refuse_unknown(allowed: list[str]) -> None:
    """Codes that no finding has."""
    problems = [unknown("finding", code, CODES, key="train.allow") for code in allowed if code not in CODES]
    if problems:
        raise ConfigError(problems)


def _pass(config: Config, opened: Opened, root: Path) -> Passed:
    records = [item.record for item in opened.dataset.items]
    facts = tuple(replace(one, record=record) for one, record in zip(opened.inspected, records, strict=True))
    near = None if _kept_together(opened) else near_pairs(facts)
    alike = opened.near if near is None else alike_sets(facts, near)
    survey = Survey(opened.config, opened.listing, root, facts, opened.dataset.classes, near=alike)
    findings = judge(survey, near)
    _refuse_one_class(config, opened, findings)
    allow = config.train.allow
    errors = [finding for finding in findings if finding.severity == "error"]
    refused = [finding for finding in errors if finding.code not in allow]
    if refused:
        message = listed([f"{finding.code}{_files(finding)}" for finding in refused], "and", 8)
        flags = " ".join(f"--allow {code}" for code in dict.fromkeys(finding.code for finding in refused))
        fix = f"See {check_command(config.data)}, or go on in spite of it with {flags}."
        raise DataError(f"`{config.data.root}` must hold no errors to be trained on; found {message}. {fix}")
    idle = [code for code in allow if code not in {finding.code for finding in errors}]
    notes = (f"train.allow {listed(idle)} has no effect: no such error was found",) if idle else ()
    warnings = [finding for finding in findings if finding.severity == "warning" and finding.code != "class-missing"]
    return Passed(tuple(errors), tuple(warnings), notes, findings)  # opening notes missing classes itself


def _kept_together(opened: Opened) -> bool:
    """Whether every set of pictures that are nearly the same lies in one split."""
    splits = [item.record.split for item in opened.dataset.items]
    return opened.near is not None and all(len({splits[place] for place in places}) == 1 for places in opened.near)


def _refuse_one_class(config: Config, opened: Opened, findings: tuple[Finding, ...]) -> None:
    """Where the training masks have pixels of no class or of one there is nothing to learn, whatever is allowed."""
    items = [item for item in opened.dataset.items if item.record.split == "train"]
    names = opened.dataset.classes.names
    shown = [name for label, name in enumerate(names) if any(item.class_pixels[label] for item in items)]
    if len(shown) > 1:
        return
    found = f"they hold {listed(shown)} alone" if shown else "they hold no class"
    proposals = [finding.proposal for finding in findings if finding.severity == "error" and finding.proposal]
    ways = [answer for proposal in proposals for answer in proposal.answers if not proposal.question]
    fix = (
        f"{ways[0].message[:1].upper()}{ways[0].message[1:]}:{flags_of(DataConfig.model_validate(ways[0].keys))}."
        if ways
        else f"{_NAME} {check_command(config.data)}."
    )
    why = " ".join(
        finding.evidence for finding in findings if finding.proposal in proposals and finding.proposal.answers
    )
    raise DataError(
        f"`{config.data.root}` must show two classes or more in its training masks; {found}"
        f"{f': {why}' if why else '.'} {fix}{' --allow is of no help here.' if config.train.allow else ''}"
    )


def _files(finding: Finding) -> str:
    return f" ({listed(finding.files, 'and', 4)})" if finding.files else ""


def _hint(config: Config, message: str) -> str:
    """Where to look next, when an audit gets further than this; a line of its own after several."""
    try:
        list_tolerantly(config.data)
    except DataError:  # what nobody can list, an audit says no more of
        return ""
    more = " What cannot be read cannot be allowed either." if config.train.allow else ""
    line = "\n" if "\n" in message else " "
    return f"{more}{line}{check_command(config.data)} tells more, and what can be fixed in a copy."
