"""A reading of how training went, in plain words, each with its evidence and the next thing to try.

    for one in diagnose(Run.open("runs/first")):
        print(one.title, one.evidence, one.advice)

Evidence is gathered first (`diagnose_evidence`); each rule (`diagnose_curves`, `diagnose_rate`, `diagnose_images`)
judges it and says in words what it found. Scores of the test images are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from maskwright.runs import Run
from maskwright.training.diagnose_curves import (
    healthy,
    not_converged,
    overconfident,
    overfitting,
    too_few_epochs,
    underfitting,
    unfinished,
)
from maskwright.training.diagnose_evidence import Diagnosis, Evidence, gather
from maskwright.training.diagnose_images import (
    class_missed,
    collapse,
    label_noise,
    leakage,
    unlooked,
    val_small,
    weak_images,
)
from maskwright.training.diagnose_rate import diverged, late, lr_low, rough

__all__ = ["Diagnosis", "Shared", "diagnose", "diagnose_evidence", "shared_findings"]


RULES = (diverged, rough, collapse, unlooked, late, leakage, overfitting, overconfident, lr_low, not_converged,
         underfitting, class_missed, label_noise, val_small, weak_images, too_few_epochs, unfinished)  # fmt: skip
# a finding that is the other's consequence is not told beside it
EXPLAINED_BY: dict[str, frozenset[str]] = {
    "lr-high": frozenset({"lr-high", "collapse"}),
    "unlooked": frozenset({"collapse"}),
    "overfitting": frozenset({"collapse"}),
    "overconfident": frozenset({"overfitting", "collapse"}),
    "lr-low": frozenset({"lr-high", "collapse"}),
    "not-converged": frozenset({"lr-low", "collapse"}),
    "underfitting": frozenset({"lr-high", "lr-low", "not-converged", "collapse", "overfitting", "overconfident"}),
    "class-missed": frozenset({"collapse"}),
    "weak-images": frozenset({"label-noise"}),
    "few-epochs": frozenset({"lr-high", "collapse"}),
    "unfinished": frozenset({"lr-high"}),
}
# beside one of these it is not said that nothing is wrong
OF_CURVES = {"lr-high", "lr-low", "collapse", "unlooked", "overfitting", "overconfident", "underfitting",
             "not-converged", "few-epochs", "unfinished"}  # fmt: skip
OF_DATA = frozenset({"val-small", "leakage"})  # what runs of one data set have in common


@dataclass(frozen=True)
class Shared:
    """A finding of several runs: the diagnosis with the evidence they share, and what a run's own adds to it."""

    runs: tuple[str, ...]
    diagnosis: Diagnosis
    own: Mapping[str, str]


def diagnose(run: Run) -> tuple[Diagnosis, ...]:
    """What a run shows, most severe first; never empty, for that nothing is wrong is said too."""
    return diagnose_evidence(gather(run))


def diagnose_evidence(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """The same from evidence gathered before."""
    found: dict[str, Diagnosis] = {}
    for rule in RULES:
        one = rule(evidence)
        if one and not (EXPLAINED_BY.get(one.code, frozenset()) & found.keys()):
            found[one.code] = one
    if not found.keys() & OF_CURVES:
        found["healthy"] = healthy(evidence)
    return tuple(sorted(found.values(), key=lambda one: ("warning", "note", "fine").index(one.severity)))


def shared_findings(
    found: Mapping[str, Sequence[Diagnosis]],
) -> tuple[tuple[Shared, ...], dict[str, tuple[Diagnosis, ...]]]:
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
    """One finding of runs that have it, as severe as the most severe; sentences that all begin with are said for
    all.
    """
    sentences = {name: re.split(r"(?<=\.) (?=[A-Z])", one.evidence) for name, one in of_runs.items()}
    num = sum(1 for _ in takewhile(lambda alike: len(set(alike)) == 1, zip(*sentences.values())))
    worst = next((one for one in of_runs.values() if one.severity == "warning"), next(iter(of_runs.values())))
    common = next(iter(sentences.values()))[:num]
    own = {name: " ".join(parts[num:]) for name, parts in sentences.items() if parts[num:]}
    return Shared(tuple(of_runs), replace(worst, evidence=" ".join(common)), own)
