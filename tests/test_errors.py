"""The exception tree and how its sentences are built."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import pytest

from maskwright import errors
from maskwright.errors import ConfigError, MaskwrightError, closest, install_command, listed, must, printable, unknown

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == "maskwright.errors"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_caught_by_the_base_and_drawn_in_the_tree(kind):
    assert issubclass(kind, MaskwrightError)
    assert kind.exit_code == 2
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


def test_the_tree_names_no_error_that_is_not_there():
    drawn = {line.split()[1] for line in (errors.__doc__ or "").splitlines() if "── " in line}
    assert drawn == {kind.__name__ for kind in KINDS} - {"MaskwrightError"}


@pytest.mark.parametrize("category", ["Cc", "Cf"])
def test_nothing_a_terminal_obeys_is_printable(category):
    """All of Unicode's control characters but line breaks and tabs, and all its marks of direction."""
    signs = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) == category]
    wanted = [sign for sign in signs if category == "Cc" or unicodedata.bidirectional(sign) not in ("BN", "AN", "AL")]
    for sign in wanted:
        assert (printable(f"a{sign}b") == f"a{sign}b") is (sign in "\n\t"), hex(ord(sign))
    assert printable("Grüße, 训练 👩‍🔬 [a]: 5 µm") == "Grüße, 训练 👩‍🔬 [a]: 5 µm"


def test_one_problem_of_a_configuration_is_one_line_and_more_are_counted():
    assert str(ConfigError(["a"])) == "a"
    assert str(ConfigError(["a", "b"])) == "2 problems in the configuration:\n  a\n  b"
    assert ConfigError(["a", "b"]).problems == ("a", "b")


def test_a_sentence_says_what_must_hold_what_was_found_and_the_fix():
    assert must("count", "at least 1", 0) == "`count` must be at least 1; got 0."
    assert must("count", "at least 1", 0, "Add one.").endswith("got 0. Add one.")


def test_near_names_are_at_most_five_and_the_best_comes_first():
    names = [f"resnet{number}" for number in range(18, 40)]
    assert closest("resnet34", names)[0] == "resnet34"
    assert len(closest("resnet3", names)) == 5
    assert closest("zzz", names) == []
    assert closest("RESNET34", names, limit=1) == ["resnet34"]


def test_an_unknown_name_shows_close_ones_or_all_when_they_are_few():
    names = [f"name{i}" for i in range(9)]
    assert unknown("loss", "dise", ["dice", "ce"]) == "Unknown loss 'dise'. Did you mean 'dice'?"
    assert unknown("loss", "zzz", ["a", "b", "c"]) == "Unknown loss 'zzz'. Did you mean 'a', 'b' or 'c'?"
    assert unknown("loss", "zzz", names) == f"Unknown loss 'zzz'. Choose from {listed(names, limit=20)}."
    assert unknown("loss", "zzz", names, "See the list.").endswith("See the list.")
    assert unknown("loss", "zzz", [], "Leave it out.", "loss.0.name") == (
        "Unknown loss 'zzz' in `loss.0.name`. Leave it out."
    )


def test_every_unknown_name_is_said_by_the_one_helper():
    """No sentence of its own about a name that is not known, and no question that quotes its names otherwise."""
    own = re.compile(r"must be (one that is|a) known|[Dd]id you mean (`|\{(?!meant|listed\(names))")
    source = Path(errors.__file__).parent
    found = {path.name: own.findall(path.read_text("utf-8")) for path in source.rglob("*.py")}
    assert not {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcde"), "a, b, c, d and e"),
        (list("abcdefg"), "a, b, c, d, e and 2 more"),
    ],
)
def test_a_list_in_prose(items, text):
    assert listed(items) == text


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"dir_info": {"editable": True}, "url": "CLONE"}, "{pip} install -c constraints.txt -e '.[geo]'"),
        ({"dir_info": {}, "url": "CLONE"}, "{pip} install -c constraints.txt '.[geo]'"),
        ({"vcs_info": {"vcs": "git"}, "url": "https://example.org/maskwright"}, "{pip} install 'maskwright[geo]'"),
        (None, "{pip} install 'maskwright[geo]'"),
    ],
)
def test_an_extra_is_installed_from_where_maskwright_came_from(tmp_path, source, line):
    """The package's own record of where it came from is written as pip writes it, before the real one on the path."""
    clone, record = tmp_path / "my clone", tmp_path / "site" / "maskwright-0.1.0.dist-info"
    clone.mkdir()
    record.mkdir(parents=True)
    (clone / "constraints.txt").touch()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: maskwright\nVersion: 0.1.0\n")
    if source:
        (record / "direct_url.json").write_text(json.dumps(source).replace("CLONE", clone.as_uri()))
    asked = "from maskwright.errors import install_command as line; print(line('geo'))"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(record.parent), str(Path(errors.__file__).parents[1])]),
    }
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=clone, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == line.format(pip=shlex.quote(str(Path(sys.executable).with_name("pip"))))


def test_the_line_that_installs_an_extra_here_names_what_is_there():
    pip, install, *words, wish = shlex.split(install_command("search"))
    assert os.access(pip, os.X_OK) and install == "install"
    if "-e" in words:
        clone = Path(wish.removesuffix("[search]"))
        assert Path(words[words.index("-c") + 1]).is_file()
        assert "search" in tomllib.loads((clone / "pyproject.toml").read_text())["project"]["optional-dependencies"]
