"""From findings to what is done to each pair: questions stop, answers and --leave let it go on, contradictions are
seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.data.checks.findings import Answer, Audit, Finding, Repair, Severity
from maskwright.data.checks.repair_plan import Plan, RepairQuestion, plan_repairs
from maskwright.data.dataset import MaskForm, Record
from maskwright.errors import MaskwrightError, UsageError

ROOT = Path("/set")
NAMES = ("a", "b", "c")


def finding(code: str, op: str | None = None, files: tuple[str, ...] = ("masks/a.png",), question: str = "",
            severity: Severity = "error", **values: object) -> Finding:  # fmt: skip
    proposal = Repair(op, values, "told", question) if op else None
    return Finding(code, files, f"evidence of {code}.", severity, proposal)


def plan(*findings: Finding, leave: tuple[str, ...] = (), records: tuple[Record, ...] | None = None) -> Plan:
    if records is None:
        records = tuple(Record(f"images/{n}", ROOT / f"images/{n}.png", ROOT / f"masks/{n}.png") for n in NAMES)
    audit = Audit(str(ROOT), "folders", "", len(records), {}, (), (), "", findings, records=records)
    return plan_repairs(audit, leave)


def steps(made: Plan) -> dict[int, list[tuple[str, str]]]:
    return {place: [(step.op, step.code) for step in done] for place, done in made.steps.items()}


def questions(*findings: Finding, **more: object) -> tuple[str, ...]:
    with pytest.raises(RepairQuestion) as refused:
        plan(*findings, **more)  # type: ignore[arg-type]
    assert refused.value.exit_code == 2
    return refused.value.questions


SWAP = finding("inverted", "remap", question="Is 1 the background?", severity="warning", table={"0": 1, "1": 0})
COLOURS = finding(
    "colour-masks", "colours", question="What are the colours?", table={"#000000": 0, "#ff0000": 1}, names=["a", "b"]
)


def test_several_repairs_of_a_mask_are_put_in_order_turn_size_values() -> None:
    both = ("masks/a.png", "masks/c.png")
    made = plan(
        finding("zero-255", "remap", both, table={"0": 0, "255": 1}),
        finding("size-mismatch", "resize-mask", both),
        finding("orientation", "turn-mask", orientation=6),
    )
    assert steps(made) == {
        0: [("turn-mask", "orientation"), ("resize-mask", "size-mismatch"), ("remap", "zero-255")],
        2: [("resize-mask", "size-mismatch"), ("remap", "zero-255")],
    }


def test_image_and_mask_of_one_pair_are_one_repair() -> None:
    assert steps(plan(finding("size-mismatch", "resize-mask", ("images/b.png", "masks/b.png")))) == {
        1: [("resize-mask", "size-mismatch")]
    }


def test_left_out_are_pairs_and_files_of_no_pair() -> None:
    made = plan(
        finding("unpaired", "leave-out", ("images/lost.png",)), finding("unreadable", "leave-out", ("masks/b.png",))
    )
    assert steps(made) == {1: [("leave-out", "unreadable")]}
    assert {file: step.code for file, step in made.lone.items()} == {"images/lost.png": "unpaired"}


def test_values_can_name_fewer_files_than_the_finding() -> None:
    """Of duplicates all are shown and all but one are left out."""
    proposal = Repair("leave-out", {"files": ["images/b.png"]})
    made = plan(Finding("exact-duplicates", ("images/a.png", "images/b.png"), "", "warning", proposal))
    assert steps(made) == {1: [("leave-out", "exact-duplicates")]}


def test_a_file_of_many_masks_stands_for_the_images_the_details_name() -> None:
    records = tuple(
        Record(n, ROOT / f"{n}.png", ROOT / "all.json", form=MaskForm("coco", key=str(k)))
        for k, n in enumerate(NAMES, 1)
    )
    broken = Finding(
        "unreadable", ("all.json",), "", "error", Repair("leave-out"), {"problems": {"b.png": "what is wrong"}}
    )
    assert steps(plan(broken, records=records)) == {1: [("leave-out", "unreadable")]}


def test_a_question_stops_with_the_commands_of_its_answers_and_one_that_leaves_it() -> None:
    answers = (
        Answer("if it is void", {"ignore_index": 11}),
        Answer("if it is a class", {"classes": {"a": 0, "b": 11}}),
    )
    void = Finding(
        "void-after-last", (), "", "warning", Repair("remap", {"table": {"11": 255}}, "", "Is 11 void?", answers)
    )
    broken = Finding("unreadable", ("masks/b.png",), "", "error", Repair("leave-out"))
    with pytest.raises(RepairQuestion) as refused:
        plan(void, broken)
    assert str(refused.value).splitlines() == [
        "`void-after-last`: Is 11 void?",
        "    if it is void:",
        "      maskwright check /set --data.ignore_index 11",
        "    if it is a class:",
        "      maskwright check /set --data.classes '{a: 0, b: 11}'",
        "  To repair the rest and leave this as it is:",
        "    maskwright check /set --fix OUT --leave void-after-last",
    ]


def test_where_a_question_is_all_there_is_no_command_that_repairs_the_rest() -> None:
    leak = Finding("near-leak", (), "", "warning", Repair("leave-out", {}, "", "Decide which side goes without."))
    with pytest.raises(RepairQuestion) as refused:
        plan(leak)
    lines = str(refused.value).splitlines()
    assert lines == ["`near-leak`: Decide which side goes without.", "  There is nothing else to repair."]


def test_all_questions_are_told_at_once() -> None:
    asked = questions(SWAP, COLOURS, finding("mixed-depth"))
    assert [told.partition(":")[0] for told in asked] == [
        "`inverted`",
        "`colour-masks`",
        "`mixed-depth` must be fixed by hand",
    ]
    assert asked[2] == "`mixed-depth` must be fixed by hand: evidence of mixed-depth (masks/a.png)."
    with pytest.raises(RepairQuestion, match=r"--fix OUT --leave groups --leave inverted --leave mixed-depth$"):
        plan(SWAP, finding("mixed-depth"), finding("offset", "resize-mask"), leave=("groups",))
    with pytest.raises(RepairQuestion) as refused:  # what nobody can read cannot be written anew
        plan(SWAP, COLOURS, finding("offset", "resize-mask"))
    assert "--leave" not in str(refused.value)


def test_what_is_left_is_not_asked_and_not_done() -> None:
    assert plan(SWAP, COLOURS, finding("mixed-depth"), leave=("inverted", "colour-masks", "mixed-depth")) == Plan()


def test_remarks_without_a_proposal_are_passed_over() -> None:
    assert plan(finding("imbalance", severity="note"), finding("groups", severity="warning")) == Plan()


def test_leave_without_its_finding_is_remarked_and_a_wrong_code_refused() -> None:
    assert plan(leave=("smoothed",)).notes == ("--leave smoothed has no effect: there is no such finding",)
    with pytest.raises(UsageError, match="Did you mean 'smoothed'"):
        plan(leave=("smoothd",))


def test_several_classes_are_not_cut_in_two() -> None:
    audit = Audit(str(ROOT), "", "", 1, {}, (), (), "", (finding("smoothed", "threshold", at=128),),
                  records=(Record("a", ROOT / "images/a.png", ROOT / "masks/a.png"),))  # fmt: skip
    with pytest.raises(RepairQuestion, match="`smoothed` must be fixed by hand"):
        plan_repairs(audit, (), {0: 0, 1: 1, 2: 2})
    assert plan_repairs(audit, (), {255: 0, 0: 1}).steps[0][0].values == {"at": 128, "low": 1, "high": 0}


def test_which_way_to_turn_is_a_question() -> None:
    asked = questions(finding("orientation", "turn-mask", question="Left or right?", orientation=6))
    assert asked == ("`orientation`: Left or right?",)


def test_repairs_that_agree_go_together() -> None:
    made = plan(finding("zero-255", "remap", table={"0": 0, "255": 1}), finding("smoothed", "threshold", at=128))
    assert steps(made) == {0: [("remap", "zero-255"), ("threshold", "smoothed")]}


def test_a_pair_left_out_asks_nothing_more() -> None:
    made = plan(
        finding("unreadable", "leave-out"),
        finding("smoothed", "threshold", at=100),
        finding("offset", "threshold", at=128),
    )
    assert made.steps[0][0].op == "leave-out"


def test_groups_go_to_the_records_they_name() -> None:
    made = plan(
        finding("groups", "regroup", severity="warning", groups={"images/a": "x", "images/c": "y", "gone": "z"})
    )
    assert steps(made) == {0: [("regroup", "groups")], 2: [("regroup", "groups")]}


def test_one_pair_has_one_group() -> None:
    one, same = {"images/a": "x"}, {"images/a": "x", "images/b": "y"}
    made = plan(finding("near-leak", "regroup", groups=one), finding("near-duplicates", "regroup", groups=same))
    assert steps(made)[0] == [("regroup", "near-leak"), ("regroup", "near-duplicates")]


def test_the_question_is_a_mistake_in_the_input() -> None:
    assert issubclass(RepairQuestion, MaskwrightError)
    told = str(RepairQuestion(["one", "two"], "maskwright check x"))
    assert (
        told
        == "2 questions before anything is repaired:\n  one\n  two\n  To repair the rest alone:\n    maskwright check x"
    )
