"""Every command that `check` proposes, for every finding there is, pasted into a shell: it is accepted and does what it
says.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from cases import CASES, Case

from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.data.opening import open_dataset
from maskwright.errors import DataError
from maskwright.training.gate import open_checked
from support import Outcome, maskwright

IDS = [f"{case.code} {case.name}".strip() for case in CASES]
ODD = "r;touch X $(touch Y)"  # as a folder may be called


def commands(text: str) -> list[str]:
    """The commands a text proposes, each to the end of its line."""
    return list(dict.fromkeys(re.findall(r"(?<![\w`'/])maskwright [a-z]+ .*", text)))


def pasted(command: str, *more: object) -> Outcome:
    words = shlex.split(command)
    assert words[0] == "maskwright"
    return maskwright(*words[1:], *more)


def accepted(command: str) -> None:
    """A check may answer no (1); whatever writes must have written."""
    if command.startswith("maskwright train "):
        open_dataset(load_config(None, parse_overrides(shlex.split(command)[2:])).data).store.close()
    else:
        done = pasted(command)
        assert done.code in ((0,) if " --fix " in command else (0, 1)), (command, done.err)


def asked(document: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """The questions of an audit, and the commands that answer each."""
    proposals = [(one["code"], one["proposal"]) for one in document["findings"] if one["proposal"]]
    return {
        (code, one["question"]): [answer["command"] for answer in one["answers"]]
        for code, one in proposals
        if one["question"]
    }


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_proposed_works_when_it_is_pasted(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word for key, value in case.has(Path(ODD)).items() for word in (f"--data.{key}", str(value))]
    told, questions = maskwright("check", ODD, *given), asked(maskwright("check", ODD, *given, "--json").json)
    assert told.code in (0, 1)
    for (code, question), answers in questions.items():
        assert "--" not in question, "flags stand in the commands"
        for command in answers:
            assert f"    {command}" in told.out.splitlines()
            answered = pasted(command, "--json")
            assert answered.code in (0, 1) and (code, question) not in asked(answered.json), command
    for command in set(commands(told.out)) - {command for answers in questions.values() for command in answers}:
        accepted(command)
    for path in tmp_path.glob("*_repaired"):
        shutil.rmtree(path)
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
    refused = maskwright("check", ODD, *given, "--fix", "a copy").err if questions else ""
    for command in set(commands(refused)) - set(commands(told.out)):
        accepted(command)


def test_what_training_proposes_works_when_it_is_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for case in CASES:
        if case.severity == "error" and not case.op.startswith("leave"):
            keys = case.has(Path(ODD))
            with pytest.raises(DataError) as refused:
                open_checked(Config.model_validate({"data": {"root": ODD, **keys}}), None, None)
            for command in commands(told := str(refused.value)):
                accepted(re.sub(r"[.,]( or go on .*)?$| tells more.*$", "", command))
            given = [word for key, value in keys.items() for word in (f"--data.{key}", str(value))]
            for flag, value in re.findall(
                r"(--data\.[a-z_.]+) ('[^']*'|[^\s']+)", re.sub(r"maskwright check .*", "", told)
            ):
                assert maskwright("check", ODD, *given, flag, *shlex.split(value.rstrip(".,;"))).code in (0, 1), (
                    flag,
                    value,
                )
            shutil.rmtree(ODD)


@pytest.mark.parametrize("kind", ["broken", "unpaired"])
def test_nothing_is_proposed_where_no_pair_would_be_left(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of nothing is no repair, nor is one of what cannot be read."""
    monkeypatch.chdir(tmp_path)
    for index in range(4):
        for folder in ("images", "masks"):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / folder / f"{index}.png").write_text("no picture")
    if kind == "unpaired":
        (tmp_path / "set" / "pairs.csv").write_text(
            "image,mask\n" + "".join(f"{index},m{index}\n" for index in range(4))
        )
    told = maskwright("check", "set")
    assert told.code == 1 and "--fix" not in told.out and "leave" not in told.out, told.out
    refused = maskwright("check", "set", "--fix", "copy")
    assert refused.code == 2 and "maskwright check" not in refused.err and not (tmp_path / "copy").exists(), refused.err
