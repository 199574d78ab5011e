"""A reading of how training went, in plain words, each with its evidence and the next thing to try.

    for one in diagnose(Run.open("runs/first")):
        print(one.title, one.evidence, one.advice)

Evidence is gathered first (`diagnose_evidence`), judged by pure rules (`diagnose_rules`), and put into words last
(`diagnose_words`). Scores of the test images are never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwright.runs import Run, plain
from maskwright.training.diagnose_evidence import Evidence, gather
from maskwright.training.diagnose_rules import Severity, judge
from maskwright.training.diagnose_words import words_of


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


def diagnose(run: Run) -> tuple[Diagnosis, ...]:
    """What a run shows, gravest first; never empty, for that nothing is wrong is said too."""
    return diagnose_evidence(gather(run))


def diagnose_evidence(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """The same from evidence gathered before."""
    return tuple(
        Diagnosis(finding.code, finding.severity, *words_of(finding.code, finding.figures), finding.figures)
        for finding in judge(evidence)
    )
