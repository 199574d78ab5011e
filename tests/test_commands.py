"""Commands that messages propose can be pasted: whatever a name holds, it is quoted as a shell wants it."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import maskwright as mw
from support import TINY, copy_of, data, finished, maskwright

PACKAGE = Path(mw.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
QUOTING = ("as_typed", "flags_of", "command_on", "check_command", "install_command")
# a command or a flag, and the words after it, up to where a value is put in
COMMAND = re.compile(r"(?:\bmaskwright(?: [a-z]+)+|--[a-z][\w.-]*|pip install)(?: (?:[A-Z]+|{}))*[ =]'?$")
# values that hold no name of anybody's: codes of findings, splits and what is computed
PLAIN = {
    "code",
    "split",
    "chosen",
    "listed(idle)",
    "them",
    "value",
    "below",
    "sides",
    "augment",
    "evidence.run",
    "evidence.check",
}  # as they are typed, when the evidence is gathered
ODD = "r;touch X $(touch Y)"


def is_sum(value: ast.expr) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub | ast.Mult)


def unquoted(source: str) -> list[str]:
    """Values put into a command or behind a flag as they are."""
    found: list[str] = []
    for text in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)):
        before = ""
        for part in text.values:
            if isinstance(part, ast.FormattedValue):
                value = ast.unparse(part.value)
                numbers = re.search(r"\b(figures|lr|_?rate|_STRONGER|_more_regular|num_epochs)\b", value) or is_sum(
                    part.value
                )
                if COMMAND.search(before) and not value.startswith(QUOTING) and value not in PLAIN and not numbers:
                    found.append(f"{before[-40:]}{{{value}}}")
                before += "{}"
            else:
                before += str(ast.literal_eval(part))
    return found


@pytest.mark.parametrize("file", FILES)
def test_what_stands_in_a_command_is_quoted(file: str) -> None:
    assert unquoted((PACKAGE / file).read_text(encoding="utf-8")) == []


def test_the_reading_of_sources_sees_what_is_not_quoted() -> None:
    assert unquoted("f'Go on with it: maskwright train --resume {run.root}'")
    assert unquoted("f'Did you mean --data {path}?'") and unquoted("f'maskwright compare {as_typed(a)} {b}'")
    assert not unquoted("f'maskwright compare {as_typed(a)} {as_typed(b)}, {b}'")


def proposed(told: str) -> list[str]:
    """The words of the first command a sentence proposes."""
    return shlex.split(re.sub(r"\.$", "", told[told.index("maskwright ", 1) :]))


def test_a_run_with_an_odd_name_goes_on_by_a_pasted_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy_of(finished(), Path(ODD))
    taken = maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--out", ODD)
    assert taken.code == 2 and f"--resume {shlex.quote(ODD)}" in taken.sentence
    Path(ODD, "model.safetensors").unlink()
    for words in (
        ("predict", ODD, data(), "--out", "p"),
        ("compare", ODD, finished()),
        ("train", "--data", data(), "--weights", ODD),
    ):
        refused = maskwright(*words)
        assert refused.code == 2 and f"maskwright train --resume {shlex.quote(ODD)}" in refused.sentence, words
    resumed = maskwright(*proposed(refused.sentence)[1:])
    assert resumed.code == 0, resumed.err
    assert {path.name for path in tmp_path.iterdir()} == {ODD}


def test_the_advice_of_a_diagnosis_names_the_run_and_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy_of(finished(), Path(ODD))
    Path(ODD, "model.safetensors").unlink()
    text = Path(ODD, "history.csv").read_text().splitlines()
    Path(ODD, "history.csv").write_text("\n".join(text[:3]) + "\n")
    told = maskwright("diagnose", ODD)
    assert told.code == 0 and f"Go on where it stopped with maskwright train --resume {shlex.quote(ODD)}." in told.out
    assert "maskwright check DATA" not in told.out
