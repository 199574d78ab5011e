"""maskwright check: what a person reads, what a program reads, exit codes, and files written only where asked."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from maskwright.cli.check import _without_root
from maskwright.data.checks.findings import name_of_copy
from support import TINY, Outcome, copy_of, data, maskwright, noise, picture


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A copy of the puzzle set, to be spoilt."""
    return copy_of(data(), tmp_path / "mine")


@pytest.fixture
def halved(mine: Path) -> Path:
    """One mask of half its image's size."""
    picture(mine / "masks" / "mask-1.png", np.zeros((16, 20), np.uint8))
    return mine


def codes(outcome: Outcome) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in outcome.json["findings"]}


# ------------------------------------------------------------------ what is told


def test_a_sound_set_exits_with_0_and_says_what_comes_next():
    outcome = maskwright("check", data())
    lines = outcome.out.splitlines()
    assert outcome.code == 0 and outcome.err == ""
    assert lines[0].startswith("reader   csv: pairs.csv lists 8 pairs")
    assert lines[1] == "images   8 (4 train, 2 val, 2 test), 40x32"
    assert lines[2].startswith("classes  background ")
    assert lines[-1] == f"no errors; next: maskwright train --data {data()}"


def test_errors_exit_with_1_and_come_first(halved):
    outcome = maskwright("check", halved)
    lines = outcome.out.splitlines()
    assert outcome.code == 1
    first = next(line for line in lines if line.startswith(("error", "warning", "note  ")))
    assert first.startswith("error    size-mismatch: ")
    assert "  files: masks/mask-1.png" in lines
    assert any(line.startswith("  repair: ") for line in lines)
    assert lines[-1].startswith(f"1 error; next: maskwright check {halved} --fix mine_repaired")


def test_at_most_four_files_are_named(mine):
    for number in range(6):
        picture(mine / "masks" / f"mask-{number}.png", np.zeros((16, 20), np.uint8))
    assert any(
        line.startswith("  files: ") and line.endswith(" and 2 more")
        for line in maskwright("check", mine).out.splitlines()
    )


def test_a_question_without_commands_asks_to_fix_the_files(mine):
    for number in range(2):
        picture(mine / "masks" / f"mask-{number}.png", np.zeros((40, 80), np.uint8))
    asked = maskwright("check", mine)
    lines = asked.out.splitlines()
    assert any(line.startswith("question size-mismatch: ") for line in lines)
    assert lines[-1] == "1 error; fix the files, then check again"


def test_a_question_is_asked_and_a_flag_answers_it(mine):
    for path in (mine / "masks").iterdir():
        picture(path, np.where(np.asarray(Image.open(path)) == 255, 190, 37).astype(np.uint8))
    (mine / "classes.yaml").unlink(missing_ok=True)
    asked = maskwright("check", mine)
    lines = asked.out.splitlines()
    assert asked.code == 1 and "question unclear-classes: Which class is each value?" in lines
    assert f"    maskwright check {mine} --data.classes '{{class_a: 37, class_b: 190}}'" in lines
    assert lines[-1].endswith(
        "answer the questions above with the commands below them, or fix the files, then check again"
    )
    flags = ("--data.classes", "{ground: 37, piece: 190}")
    answered = maskwright("check", mine, *flags)
    assert answered.code == 0
    assert answered.out.splitlines()[-1].endswith(
        f"next: maskwright train --data {mine} --data.classes '{{ground: 37, piece: 190}}'"
    )


def test_a_copy_is_proposed_in_the_current_folder_and_never_inside_the_data(halved, monkeypatch):
    for here, name in (
        (halved.parent, "mine_repaired"),
        (halved, "../mine_repaired"),
        (halved / "masks", "../../mine_repaired"),
    ):
        monkeypatch.chdir(here)
        assert name_of_copy(str(halved)) == name_of_copy(f"{halved}/") == name
        assert name_of_copy(str(halved / "pairs.csv")).endswith("pairs_repaired")


def test_masks_of_0_and_255_with_classes_0_and_1_can_be_named_as_they_are(mine):
    (mine / "classes.yaml").unlink(missing_ok=True)
    outcome = maskwright("check", mine, "--data.classes", "{bg: 0, piece: 1}")
    assert outcome.code == 1 and "not one pixel would be piece" in outcome.out
    told = f"  or name the values as they are:\n    maskwright check {mine} --data.classes '{{bg: 0, piece: 255}}'\n"
    assert told in outcome.out
    assert "; next: a command after `or` above, or maskwright check " in outcome.out.splitlines()[-1]
    assert maskwright("check", mine, "--data.classes", "{bg: 0, piece: 255}").code == 0


def test_a_value_after_the_last_class_is_as_soon_a_class_as_void(mine):
    (mine / "classes.yaml").unlink(missing_ok=True)
    for path in (mine / "masks").iterdir():
        mask = np.asarray(Image.open(path)) // 255
        picture(path, np.where(np.arange(mask.shape[1]) < 10, 2, mask).astype(np.uint8))
    outcome = maskwright("check", mine, "--data.classes", "[bg, piece]")
    assert outcome.out.splitlines()[-7:-2] == [
        "question void-after-last: Is 2 a class?",
        "  if 2 is a class, name it:",
        f"    maskwright check {mine} --data.classes '{{bg: 0, piece: 1, class_a: 2}}'",
        "  if it marks unlabelled pixels:",
        f"    maskwright check {mine} --data.classes '[bg, piece]' --data.ignore_index 2",
    ]
    assert "--fix" not in outcome.out


def test_smoothed_masks_can_be_read_by_a_threshold_without_a_copy(mine):
    (mine / "classes.yaml").unlink(missing_ok=True)
    for path in (mine / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        picture(path, np.where(np.roll(mask, 1, 1) != mask, 250, mask).astype(np.uint8))
    outcome = maskwright("check", mine)
    told = f"  or have them read so, without a copy:\n    maskwright check {mine} --data.foreground_from 128\n"
    assert told in outcome.out
    assert maskwright("check", mine, "--data.foreground_from", 128).code == 0


def test_json_is_one_document(halved):
    outcome = maskwright("check", halved, "--json")
    assert outcome.code == 1 and outcome.err == ""
    told = outcome.json
    assert told["clean"] is False and told["images"] == 8 and told["reader"] == "csv"
    found = next(one for one in told["findings"] if one["code"] == "size-mismatch")
    assert found["files"] == ["masks/mask-1.png"] and found["severity"] == "error" and found["title"]
    told = found["proposal"]["message"]
    assert found["proposal"] == {"op": "resize-mask", "values": {}, "message": told, "question": None, "answers": []}
    assert found["details"]["sizes"]["masks/mask-1.png"] == {"image": [32, 40], "mask": [16, 20]}
    assert maskwright("check", data(), "--json").json["clean"] is True


def test_the_set_can_be_named_as_for_train(halved):
    assert maskwright("check", "--data", halved).code == 1
    assert maskwright("check", f"--data.root={halved}", "--json").json["root"] == str(halved)
    assert _without_root(["--data", "x", "--size", "3", "--data.root=y"]) == ["--size", "3"]


def test_nothing_is_written_unless_asked(halved):
    before = contents(halved)
    assert maskwright("check", halved).code == 1
    assert contents(halved) == before and [path.name for path in halved.parent.iterdir()] == ["mine"]


def test_folders_that_look_swapped_are_told_first_and_alone(tmp_path):
    """Grey photographs read as masks had 200 classes, and a note for each."""
    for index in range(8):
        drawn = np.zeros((40, 56), np.uint8)
        drawn[10:20, 10:30] = 1 + index % 2
        picture(tmp_path / "a" / f"{index}.png", noise(40, 56, index)[..., 0])
        picture(tmp_path / "b" / f"{index}.png", drawn)
    told = maskwright("check", tmp_path, "--data.images", "b", "--data.masks", "a")
    lines = told.out.splitlines()
    assert told.code == 1 and len(lines) < 15 and not [line for line in lines if line.startswith(("note", "classes"))]
    assert lines[3].startswith("error    swapped: ") and lines[4].startswith("  images and masks look swapped: ")
    command = f"maskwright check {tmp_path} --data.images a --data.masks b"
    assert f"    {command}" in lines
    assert maskwright(*shlex.split(command)[1:]).code == 0


@pytest.mark.parametrize("named", [("images", "images"), ("masks", "masks/")])
def test_one_folder_named_for_both_is_told_as_that(tmp_path, named):
    copy_of(data(), tmp_path / "set")
    (tmp_path / "set" / "pairs.csv").unlink()
    told = maskwright("check", tmp_path / "set", "--data.images", named[0], "--data.masks", named[1])
    assert (
        told.code == 2
        and "they name the same" in told.sentence
        and "--data.images images --data.masks masks" in told.sentence
    )


# ------------------------------------------------------------------ input errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "`data.root` must be named"),
        (("nowhere",), "nowhere is not there"),
        (("nowhere", "--data.clases", "x"), "Did you mean 'data.classes'?"),
        (("nowhere", "--fx", "x"), "Unknown flag '--fx'. See maskwright train --help."),
        (("nowhere", "--leave", "offset"), "`--leave` must stand with --fix"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("check", *words)
    assert outcome.code == 2 and outcome.out == "" and told in outcome.sentence


def test_a_folder_nobody_knows(tmp_path):
    outcome = maskwright("check", tmp_path)
    assert outcome.code == 2 and "must hold a folder of images and a folder of masks" in outcome.sentence


# ------------------------------------------------------------------ --write


def test_the_description_is_written_and_used(tmp_path):
    root = tmp_path / "set"
    for index in range(8):
        picture(root / "images" / f"s{index % 4}_f{index:02d}.png", noise(24, 32, index))
        mask = np.full((24, 32), 2, np.uint8)
        mask[5:15, 5:20] = 7
        mask[0, :2] = 9, 4
        picture(root / "masks" / f"s{index % 4}_f{index:02d}.png", mask)
    words = ("--data.classes", "{ground: 2, piece: 7}", "--data.ignore_index", "[9, 4]")
    outcome = maskwright("check", root, *words, "--write")
    assert outcome.code == 0 and f"description in {root / 'dataset.yaml'}" in outcome.out
    text = (root / "dataset.yaml").read_text()
    tree = yaml.safe_load(text)
    assert tree["classes"] == {"ground": 2, "piece": 7} and tree["ignore_index"] == [9, 4]
    assert "ignored  9 0.1%, 4 0.1% of all pixels, neither learned nor scored" in outcome.out.splitlines()
    assert (tree["reader"], tree["images"], tree["masks"]) == ("folders", "images", "masks")
    assert all(lines[0].startswith("# ") for lines in (part.splitlines() for part in text.split("\n\n")))

    plain = maskwright("check", root, "--json")
    assert plain.code == 0 and [one["name"] for one in plain.json["classes"]] == ["ground", "piece"]
    assert any(note.startswith("dataset.yaml gives ") for note in plain.json["notes"])
    out = tmp_path / "run"
    trained = maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", out)
    assert trained.code == 0, trained.err
    assert "note    dataset.yaml gives " in trained.err and "; ground " in trained.err
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["data"]["classes"] == {"ground": 2, "piece": 7} and config["data"]["ignore_index"] == [9, 4]
    assert json.loads((out / "data.json").read_text())["classes"]["ignore_values"] == [9, 4]
    scored = maskwright("evaluate", out, "--json")
    assert scored.code == 0 and scored.json["classes"] == ["ground", "piece"]
    assert "0.3% of the pixels are ignored (values 9 and 4)" in trained.err


def test_a_description_is_not_overwritten(mine):
    (mine / "dataset.yaml").write_text("reader: csv\n")
    outcome = maskwright("check", mine, "--write")
    assert outcome.code == 2 and "must not be there yet" in outcome.sentence
    assert (mine / "dataset.yaml").read_text() == "reader: csv\n"


def test_a_colour_to_be_ignored_is_given_as_it_is_typed(mine):
    """As a question's command has it, and several of them; what is ignored is no class to be named."""
    (mine / "classes.yaml").unlink(missing_ok=True)
    for path in (mine / "masks").iterdir():
        mask = (np.asarray(Image.open(path)) > 0).astype(int)
        mask[:2] = 2, *[3] * (len(mask[0]) - 1)
        picture(path, np.array([(0, 0, 0), (255, 0, 0), (155, 155, 155), (1, 200, 1)], np.uint8)[mask])
    asked = maskwright("check", mine, "--data.ignore_index", '["#9b9b9b", "#01c801"]', "--json").json["findings"][0]
    command = asked["proposal"]["answers"][0]["command"]
    assert command.endswith(
        """--data.classes '{class_a: "#000000", class_b: "#ff0000"}' --data.ignore_index '["#9b9b9b", "#01c801"]'"""
    )
    told = maskwright(*shlex.split(command)[1:], "--json")
    assert told.code == 0 and [one["value"] for one in told.json["ignored"]] == ["#9b9b9b", "#01c801"]
    one = maskwright(
        "check", mine, "--data.classes", '{a: "#000000", b: "#ff0000", c: "#01c801"}', "--data.ignore_index", "#9b9b9b"
    )
    assert one.code == 0 and "--data.ignore_index '#9b9b9b'" in one.out.splitlines()[-1]


def test_an_undecided_set_is_written_with_a_proposal_to_fill_in(mine):
    (mine / "classes.yaml").unlink(missing_ok=True)
    for path in (mine / "masks").iterdir():
        mask = np.asarray(Image.open(path)) > 0
        picture(path, np.array([(0, 0, 0), (255, 0, 0)], np.uint8)[mask.astype(int)])
    outcome = maskwright("check", mine, "--write")
    assert outcome.code == 1
    text = (mine / "dataset.yaml").read_text()
    assert "classes" not in yaml.safe_load(text)
    lines = text.splitlines()
    start = lines.index("# classes:")
    filled = "\n".join(
        line.removeprefix("# ") if index >= start and line.startswith("# ") else line
        for index, line in enumerate(lines)
    )
    (mine / "dataset.yaml").write_text(filled)
    assert maskwright("check", mine).code == 0


# ------------------------------------------------------------------ --fix and --html


def test_the_repaired_copy_is_clean_and_the_source_untouched(halved, tmp_path):
    before = contents(halved)
    out = tmp_path / "repaired"
    outcome = maskwright("check", halved, "--fix", out)
    assert outcome.code == 0, outcome.err
    assert f"next: maskwright check {out}" in outcome.out
    assert contents(halved) == before
    assert "size-mismatch" in (out / "repairs.json").read_text()
    again = maskwright("check", out, "--json")
    assert again.code == 0 and "error" not in codes(again).values()


def test_the_repair_is_part_of_the_json(halved, tmp_path):
    outcome = maskwright("check", halved, "--fix", tmp_path / "repaired", "--json")
    assert outcome.code == 0 and outcome.json["fixed"]["out"] == str(tmp_path / "repaired")


def test_a_repair_with_an_open_question_is_refused(mine, tmp_path):
    (mine / "classes.yaml").unlink(missing_ok=True)
    for path in (mine / "masks").iterdir():
        picture(path, np.where(np.asarray(Image.open(path)) == 255, 190, 37).astype(np.uint8))
    outcome = maskwright("check", mine, "--fix", tmp_path / "repaired")
    assert outcome.code == 2 and "Which class is each value?" in outcome.err
    assert not (tmp_path / "repaired").exists()


def test_a_page_that_would_cost_a_file_is_refused_before_the_work(halved, tmp_path):
    (tmp_path / "mine.html").write_text("my own")
    outcome = maskwright("check", halved, "--html", tmp_path / "mine.html")
    assert outcome.code == 2 and outcome.out == "" and "`--html` must be a new file" in outcome.sentence
    assert (tmp_path / "mine.html").read_text() == "my own"


def test_the_page_is_written(halved, tmp_path):
    outcome = maskwright("check", halved, "--html", tmp_path / "audit.html")
    assert outcome.code == 1 and f"page in {tmp_path / 'audit.html'}" in outcome.out
    text = (tmp_path / "audit.html").read_text()
    assert "size-mismatch" in text and "masks/mask-1.png" in text
