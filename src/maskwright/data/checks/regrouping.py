"""One grouping out of several: names may show videos where likeness shows pairs, and a record has one group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from maskwright.data.checks.findings import Finding


def one_grouping(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, with proposals to group made to agree: groups that share a record become one, under the first one's name."""
    told = list(findings)
    places = [at for at, one in enumerate(told) if one.proposal and one.proposal.op == "regroup" and not one.proposal.question]
    name_of: dict[tuple[int, str], str] = {}  # a finding's group → the name it now has
    named: dict[str, str] = {}  # record → its group's name
    for at in places:
        proposal = told[at].proposal
        assert proposal is not None
        for record, group in proposal.values["groups"].items():
            mine = name_of.setdefault((at, str(group)), named.get(record, str(group)))
            other = named.setdefault(record, mine)
            if other != mine:  # two groups met in this record
                name_of = {key: mine if name == other else name for key, name in name_of.items()}
                named = {key: mine if name == other else name for key, name in named.items()}
    for at in places:
        proposal = told[at].proposal
        assert proposal is not None
        groups = {record: named[record] for record in proposal.values["groups"]}
        told[at] = replace(told[at], proposal=replace(proposal, values={**proposal.values, "groups": groups}))
    return told
