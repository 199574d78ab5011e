"""A command's --help: all that its docstring says, with an example that can be typed."""

from __future__ import annotations

import importlib
import inspect
import itertools

import pytest

from maskwright.cli import COMMANDS, GROUPS
from maskwright.config.flags import parse_overrides
from support import maskwright

TARGETS = {tuple(name.split()): f"maskwright.cli.{target}" for name, (target, _) in COMMANDS.items()}


def docstring(words: tuple[str, ...]) -> str:
    module, _, name = TARGETS[words].partition(":")
    return inspect.getdoc(getattr(importlib.import_module(module), name)) or ""


def test_the_whole_docstring_is_told(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    told = " ".join(maskwright(*words, "--help").out.split())
    paragraphs = docstring(words).partition("\n\nParameters\n")[0].split("\n\n")
    for paragraph in paragraphs:
        assert " ".join(paragraph.split()) in told
    assert len(paragraphs) > 1


def test_examples_keep_their_lines_and_prose_fills_them(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = [line.rstrip() for line in maskwright(*words, "--help").out.splitlines()]
    paragraphs = docstring(words).partition("\n\nParameters\n")[0].split("\n\n")
    examples = [line.strip() for one in paragraphs if one.startswith("maskwright ") for line in one.splitlines()]
    assert any(example.startswith(f"maskwright {' '.join(words)}") for example in examples)
    assert not [example for example in examples if len(example) <= 100 and example not in lines]
    body = lines[: next((at for at, line in enumerate(lines) if line.startswith("╭")), len(lines))]
    prose = [(line, after) for line, after in itertools.pairwise(body) if after and not after.startswith("maskwright ")]
    # a line ends only where the next word would not have fitted
    assert not [line for line, after in prose if line and len(line) + 1 + len(after.split()[0]) <= 99]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "words" in metafunc.fixturenames:
        metafunc.parametrize("words", TARGETS, ids=" ".join)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_tells_a_line_of_each_of_its_commands(group: str) -> None:
    told = " ".join(maskwright(group, "--help").out.split())
    assert all(about in told for name, (_, about) in COMMANDS.items() if name.startswith(f"{group} "))


def test_flags_named_in_the_help_of_train_are_flags() -> None:
    text = docstring(("train",)).partition("Flags for common keys:")[2].partition("Any other key")[0]
    named = [word.strip(",.") for word in text.split() if word.startswith("--")]
    assert len(named) > 12
    for flag in named:
        value = [] if flag.startswith("--freeze") else ["1"]
        assert parse_overrides([flag, *value])
