"""What is to be done to each pair, read from an audit's findings; or the questions a person has to answer first.

    plan = plan_repairs(audit, leave=["inverted"])
    plan.steps[0]              # what is done to the first record, in order

Nothing is decided here that a finding does not say: a proposal with a question and an error without a proposal
all stop the repair, unless `leave` says to leave them; a configuration that answers is asked no question by the audit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.data.checks.facts import folder_of, name_in
from maskwright.data.checks.findings import CODES, Audit, Finding, Repair
from maskwright.data.checks.repair_operations import OF_PAIRS, OPERATIONS, numbers
from maskwright.data.dataset import IGNORE
from maskwright.errors import DataError, UsageError, listed, unknown

OF_MEANING = frozenset(
    {
        "unknown-values",
        "unclear-classes",
        "void-after-last",
        "off-by-one",
        "smoothed",
        "lossy-masks",
        "colour-masks",
        "one-class",
    }
)


class RepairQuestion(DataError):
    """A person has to decide before anything is repaired; `questions` holds a sentence for each, `otherwise` another
    command.

    `remark` ends the message.
    """

    def __init__(self, questions: Sequence[str], otherwise: str = "", remark: str = "") -> None:
        self.questions = tuple(questions)
        head = "" if len(self.questions) == 1 else f"{len(self.questions)} questions before anything is repaired:\n  "
        message = (
            "To repair the rest and leave this as it is" if len(self.questions) == 1 else "To repair the rest alone"
        )
        rest = [f"{message}:\n    {otherwise}"] if otherwise else [remark] if remark else []
        super().__init__("\n  ".join([head + self.questions[0], *self.questions[1:], *rest]))


@dataclass(frozen=True)
class Step:
    """One operation on one pair, and the finding that asked for it."""

    op: str
    values: dict[str, Any]
    code: str
    message: str = ""


@dataclass(frozen=True)
class Plan:
    """steps: of each record (by its place), in the order they are applied; lone: files of no pair that are left out."""

    steps: dict[int, tuple[Step, ...]] = field(default_factory=dict)
    lone: dict[str, Step] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan_repairs(
    audit: Audit, leave: Collection[str] = (), named: Mapping[int, int] | None = None, out: Path = Path("OUT")
) -> Plan:
    """Sort out an audit's proposals by pair; stops with every question at once.

    `named` holds the class number of each value that has a name: what a rule proposes is such a value, or 255 for
    ignored. `out` is where the copy goes, for the command that leaves the questions aside.
    """
    _refuse_unknown(leave)
    questions: list[str] = []
    open_codes: list[str] = []
    unrepairable = False
    steps: dict[int, list[Step]] = defaultdict(list)
    lone: dict[str, Step] = {}
    places = _Places(audit)
    for finding in audit.findings:
        if finding.code in leave:
            continue
        proposal = finding.proposal
        # classes with other values cannot be told apart by being black or white
        several = proposal and proposal.op == "threshold" and named and set(named) not in ({0, 1}, {0, IGNORE})
        if proposal is None or proposal.question or several:
            asked = _question(finding, audit)
            questions += asked
            open_codes += [finding.code] if asked else []
            unrepairable |= not can_be_left(finding) or not audit.records
            continue
        step = Step(proposal.op, in_numbers(proposal, named or {}), finding.code, proposal.message)
        found, others = places.of(finding, proposal)
        for place in found:
            if step not in steps[place]:
                steps[place].append(step)
        lone.update({file: step for file in others if step.op == "leave-out"})
    order = {op: place for place, op in enumerate((*OF_PAIRS, *OPERATIONS))}
    ready = {
        place: tuple(sorted(done, key=lambda step: order[step.op])) for place, done in sorted(steps.items()) if done
    }
    if questions:
        left = [word for code in dict.fromkeys([*leave, *open_codes]) for word in ("--leave", code)]
        more = bool(ready or lone)
        rest = "" if unrepairable or not more else audit.command(more=["--fix", out, *left])
        raise RepairQuestion(list(dict.fromkeys(questions)), rest, "" if more else "There is nothing else to repair.")
    found_codes = {finding.code for finding in audit.findings}
    idle = [code for code in leave if code not in found_codes]
    notes = (f"--leave {listed(idle)} has no effect: there is no such finding",) if idle else ()
    return Plan(ready, lone, notes)


def can_be_left(finding: Finding) -> bool:
    """Whether masks can be written anew while a finding stays: not while nobody can say what their values mean.

    Nor can what is unreadable be written at all.
    """
    if finding.code == "unreadable":
        return False
    values = finding.proposal is not None and finding.proposal.op == "remap" and finding.code == "unknown-values"
    return finding.severity != "error" or finding.code not in OF_MEANING or values


def in_numbers(proposal: Repair, named: Mapping[int, int]) -> dict[str, Any]:
    """What an operation needs, with class numbers where the proposal has the values of named classes.

    >>> in_numbers(Repair("remap", {"table": {255: 1, 7: 255}}), {1: 0, 0: 1})
    {'table': {255: 0, 7: 255}}
    """
    values = dict(proposal.values)
    if not named:
        return values
    if proposal.op == "remap":
        table = numbers(values["table"])
        values["table"] = {value: label if label == IGNORE else named[label] for value, label in table.items()}
    if proposal.op == "threshold":
        values |= {"low": named[0], "high": named[1] if 1 in named else named[IGNORE]}
    return values


class _Places:
    """Where each file of the data set stands among the records."""

    def __init__(self, audit: Audit) -> None:
        root = folder_of(audit.root)
        self.ids = {record.id: place for place, record in enumerate(audit.records)}
        self.files: dict[str, list[int]] = defaultdict(list)
        self.shared: set[str] = set()  # files of many masks, each of which stands for none of its images
        for place, record in enumerate(audit.records):
            self.files[name_in(root, record.image)].append(place)
            mask = name_in(root, record.mask)
            if record.form.key:
                self.shared.add(mask)
            else:
                self.files[mask].append(place)

    def of(self, finding: Finding, proposal: Repair) -> tuple[list[int], list[str]]:
        """The records a proposal is about, and files that belong to none."""
        if proposal.op == "regroup":
            return [self.ids[name] for name in proposal.values["groups"] if name in self.ids], []
        files = list(proposal.values.get("files", finding.files))
        if self.shared & set(files):  # which of its masks are meant, the details say by image
            files = [file for file in files if file not in self.shared] + list(finding.details.get("problems", ()))
        places = [place for file in files for place in self.files.get(file, ())]
        return list(dict.fromkeys(places)), [file for file in files if file not in self.files]


def _question(finding: Finding, audit: Audit) -> list[str]:
    """What needs a person, with the commands of the answers; nothing for a remark that proposes nothing."""
    proposal = finding.proposal
    if proposal is None or not proposal.question:
        if finding.severity != "error":
            return []
        files = f" ({listed(finding.files)})" if finding.files else ""
        return [f"`{finding.code}` must be fixed by hand: {finding.evidence.rstrip('.')}{files}."]
    answers = [f"\n    {answer.message}:\n      {audit.command(**answer.keys)}" for answer in proposal.answers]
    return [f"`{finding.code}`: {proposal.question.strip()}{''.join(answers)}"]


def _refuse_unknown(leave: Collection[str]) -> None:
    for code in leave:
        if code not in CODES:
            raise UsageError(unknown("finding", code, CODES))
