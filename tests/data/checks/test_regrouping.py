"""Proposals to group that share records agree with each other."""

from __future__ import annotations

from maskwright.data.checks.findings import Finding, Repair
from maskwright.data.checks.regrouping import one_grouping


def asking(code: str, groups: dict[str, str], question: str = "") -> Finding:
    return Finding(code, (), "", "note", Repair("regroup", {"groups": groups}, question=question))


def groups_of(*findings: Finding) -> list[dict[str, str]]:
    return [found.proposal.values["groups"] for found in one_grouping(findings) if found.proposal]


def test_groups_that_share_nothing_stay_as_they_are() -> None:
    assert groups_of(asking("groups", {"a": "x", "b": "x"}), asking("near-duplicates", {"c": "y"})) == [
        {"a": "x", "b": "x"},
        {"c": "y"},
    ]


def test_a_shared_record_makes_two_groups_one() -> None:
    found = groups_of(asking("near-duplicates", {"a": "n", "c": "n"}), asking("groups", {"a": "x", "b": "x", "c": "z", "d": "z"}))
    assert found == [{"a": "n", "c": "n"}, {"a": "n", "b": "n", "c": "n", "d": "n"}]


def test_groups_meet_later_too() -> None:
    found = groups_of(asking("groups", {"a": "x", "b": "x", "c": "z", "d": "z"}), asking("near-duplicates", {"b": "n", "c": "n"}))
    assert len({group for tree in found for group in tree.values()}) == 1


def test_what_is_asked_of_a_person_is_left_alone() -> None:
    asked = asking("groups", {"a": "x"}, "Which?")
    assert one_grouping([asked, asking("near-duplicates", {"a": "n"})])[0] is asked
