"""A reading of how training went, in plain words, each with its evidence and the next thing to try.

    for one in diagnose(Run.open("runs/first")):
        print(one.title, one.evidence, one.advice)

Evidence is gathered first (`diagnose_evidence`), judged by pure rules (`diagnose_rules`), and put into words last
(`diagnose_words`). Scores of the test images are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from maskwright.files import plain
from maskwright.runs import Run
from maskwright.training.diagnose_evidence import Evidence, gather
from maskwright.training.diagnose_rules import Severity, judge
from maskwright.training.diagnose_words import words_of

OF_DATA = frozenset({"val-small", "leakage"})  # what runs of one data set have in common


@dataclass(frozen=True)
class Diagnosis:
    """One thing a run's curves and counts show: what, on what evidence, and what to try next."""

    code: str
    severity: Severity
    title: str
    evidence: str
    advice: str
    figures: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; what is undefined is null."""
        return {"code": self.code, "severity": self.severity, "title": self.title, "evidence": self.evidence,
                "advice": self.advice, "figures": plain(dict(self.figures))}  # fmt: skip

    def __str__(self) -> str:
        return f"{self.title}. {self.evidence} {self.advice}"


@dataclass(frozen=True)
class Shared:
    """A finding of several runs: the diagnosis with the evidence they have in common, and what a run's own adds to it."""

    runs: tuple[str, ...]
    diagnosis: Diagnosis
    own: Mapping[str, str]


def diagnose(run: Run) -> tuple[Diagnosis, ...]:
    """What a run shows, gravest first; never empty, for that nothing is wrong is said too."""
    return diagnose_evidence(gather(run))


def diagnose_evidence(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """The same from evidence gathered before."""
    return tuple(
        Diagnosis(one.code, one.severity, *words_of(one.code, one.figures, evidence.check, evidence.run), one.figures)
        for one in judge(evidence)
    )


def told_once(found: Mapping[str, Sequence[Diagnosis]]) -> tuple[tuple[Shared, ...], dict[str, tuple[Diagnosis, ...]]]:
    """What several runs show of their data, to be said once, and what is left to say of each run."""
    alike: dict[tuple[str, str, str], dict[str, Diagnosis]] = {}
    for name, diagnoses in found.items():
        for one in diagnoses:
            if one.code in OF_DATA:
                alike.setdefault((one.code, one.title, one.advice), {})[name] = one
    several = {key: of_runs for key, of_runs in alike.items() if len(of_runs) > 1}
    left = {
        name: tuple(one for one in diagnoses if (one.code, one.title, one.advice) not in several)
        for name, diagnoses in found.items()
    }
    return tuple(map(_shared, several.values())), left


def _shared(of_runs: Mapping[str, Diagnosis]) -> Shared:
    """One finding of runs that have it, as grave as the gravest; sentences that all begin with are said for all."""
    sentences = {name: re.split(r"(?<=\.) (?=[A-Z])", one.evidence) for name, one in of_runs.items()}
    num = sum(1 for _ in takewhile(lambda alike: len(set(alike)) == 1, zip(*sentences.values())))
    gravest = next((one for one in of_runs.values() if one.severity == "warning"), next(iter(of_runs.values())))
    common = next(iter(sentences.values()))[:num]
    own = {name: " ".join(parts[num:]) for name, parts in sentences.items() if parts[num:]}
    return Shared(tuple(of_runs), replace(gravest, evidence=" ".join(common)), own)
