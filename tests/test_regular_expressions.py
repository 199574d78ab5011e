"""No regular expression of the package tries every way of cutting a text: names and lines are whatever people have."""

from __future__ import annotations

import ast
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import maskwright
from maskwright.data.groups import _RULES

PACKAGE = Path(maskwright.__file__).parent
LINE, NAME = 3000, 250  # letters of a line in a file, and of a file's name
PUMPS = (
    "1",
    "٣",
    "a",
    " ",
    "_",
    "a_",
    "1_",
    "1,",
    ",",
    ": ",
    "copy",
    "_copy1",
    "-",
    ".",
    "'",
    '"',
    "`",
    "--a",
    "\n",
    "a1",
    "1/",
)
BEFORE, AFTER = ("", "a", "1", "a:", "x_copy", "'"), ("", "!", "1")
# in a process of its own: a search that hangs cannot be stopped from within
SEARCH = """
import json, re, sys, time
for where, pattern, flags, method, texts in map(json.loads, sys.stdin):
    find = getattr(re.compile(pattern, flags), method)
    for text in texts:
        print(f"{where} on {text[:9]!a} and so on to {text[-9:]!a}", flush=True)
        started = time.process_time()
        find(text)
        if time.process_time() - started > 0.1:
            sys.exit(1)
"""
Case = tuple[str, str, int, str]  # where it stands, pattern, flags, the method that runs it


def written_out() -> Iterator[Case]:
    """Every pattern that stands in a call of `re`, with the method it is used by."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^import re$", text, re.MULTILINE):
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=method),
                    args=[ast.Constant(value=str(pattern)), *_],
                ):
                    name = re.match(r"(\w+) = re\.compile\(", text.splitlines()[node.lineno - 1])
                    used = set(re.findall(rf"\b{name[1]}\.(\w+)\(", text)) if name else {method}
                    flags = re.DOTALL if "DOTALL" in ast.dump(node) else 0
                    where = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
                    yield from ((where, pattern, flags, one) for one in used & {"fullmatch", "match"} or {"findall"})


def too_slow(cases: list[Case], length: int) -> str:
    """Which pattern was, and on what; empty where none was."""
    texts = [
        before + pump * (length // len(pump)) + after for before, pump, after in itertools.product(BEFORE, PUMPS, AFTER)
    ]
    lines = "\n".join(json.dumps([*case, texts]) for case in cases)
    words = [sys.executable, "-I", "-c", SEARCH]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        try:
            told, _ = process.communicate(lines, timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate()
    return told.splitlines()[-1] if process.returncode else ""


def test_no_line_makes_a_pattern_slow() -> None:
    cases = list(written_out())
    assert len(cases) > 30
    assert too_slow(cases, LINE) == ""


def test_no_name_makes_a_rule_of_groups_slow() -> None:
    rules = [(rule.message, rule.pattern.replace("TAIL", tail), 0, "search") for rule in _RULES for tail in ("", "_x")]
    assert too_slow(rules, NAME) == ""
