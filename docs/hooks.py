"""For mkdocs: a page of every command's help, as it is printed, and the how-to pages as they lie in their folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

HOW_TO = Path(__file__).with_name("how-to")


class Doctests(Extension):
    """Examples of docstrings as code, without the remarks for their test."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^>>> (?:.+\n?)+", _fenced, obj.docstring.value)


def _fenced(found: re.Match[str]) -> str:
    return f"```pycon\n{re.sub(r'  # doctest: .*', '', found[0]).rstrip()}\n```\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    pages = [f"how-to/{path.name}" for path in sorted(HOW_TO.glob("*.md"))]
    config.nav = [{"How to": pages} if "How to" in entry else entry for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, "commands.md", content=_commands()))
    return files


def _commands() -> str:
    from maskwright.cli import COMMANDS

    parts = ["# Command line\n\nEvery command as `maskwright COMMAND --help` prints it.\n"]
    parts += [f"## {name}\n\n```text\n{_help(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def _help(name: str) -> str:
    environment = {**os.environ, "COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb"}
    words = [sys.executable, "-m", "maskwright", *name.split(), "--help"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()
