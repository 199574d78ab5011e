"""What a person at a terminal sees: a cursor that comes back, lines that fit, no colours where none are wanted."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from support import PROGRAM, TINY, data, environment, finished, picture, rows

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*[349][0-9]")


class Terminal:
    """A command at a terminal of so many columns; `said` is everything it printed, control codes included."""

    def __init__(self, *words: object, columns: int = 60, **variables: str) -> None:
        command = [PROGRAM, *map(str, words)]
        env = {key: value for key, value in environment().items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, command, {**env, "TERM": "xterm-256color", **variables})
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.said, self.code = "", None

    def read(self, until: Callable[[], bool] = lambda: False, seconds: float = 90.0) -> None:
        """Read on until something is so, or the command has ended."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, self.said
            if not select.select([self.file], [], [], 0.01)[0]:
                continue
            with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
                if piece := os.read(self.file, 65536):
                    self.said += piece.decode()
                    continue
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.file)
            return

    def press_ctrl_c(self) -> None:
        os.write(self.file, b"\x03")

    @property
    def cursor(self) -> bool:
        """Whether the cursor can be seen."""
        return self.said.rfind(SHOW) >= self.said.rfind(HIDE)


def lines(said: str) -> list[str]:
    """What stood on a line at any time, without control codes."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))


def test_an_interrupted_training_gives_the_cursor_back_and_its_bar_fits(tmp_path):
    run = tmp_path / "run"
    shown = Terminal("train", "--data", data(), *TINY, "--epochs", 400, "--train.repeats", 20, "--out", run)
    shown.read(lambda: rows(run) >= 3 and HIDE in shown.said)  # the third is told after it is written
    shown.press_ctrl_c()
    shown.read()
    assert shown.code == 130 and "Traceback" not in shown.said
    assert shown.cursor, "the cursor stays hidden"
    assert COLOUR.search(shown.said)
    # the terminal's own echo
    bar = [line.removesuffix("^C") for line in lines(shown.said) if line.startswith("epoch ")]
    assert [line for line in bar if len(line) > 60] == [] and any("images/s" in line for line in bar)
    kept = [line for line in lines(shown.said) if re.fullmatch(r"epoch \d/400  loss .* IoU .*", line)]
    assert [line.split()[1] for line in kept[:2]] == ["1/400", "2/400"], "epochs that are done stay as lines"
    assert lines(shown.said.rstrip())[-1] == f"maskwright: interrupted; go on with: maskwright train --resume {run}"


def test_a_training_that_fails_gives_the_cursor_back_and_has_no_colours_where_none_are_wanted(tmp_path):
    words = ("--lr", "1e30", "--optim.clip", "null", "--loss", "ce", "--model.norm", "none", "--train.average", "none")
    shown = Terminal("train", "--data", data(), *TINY, *words, "--epochs", 400, "--out", tmp_path / "run", NO_COLOR="1")
    shown.read()
    assert shown.code == 2 and "the loss must stay a finite number" in shown.said
    assert HIDE in shown.said and shown.cursor
    assert COLOUR.search(shown.said) is None


def test_an_interrupt_while_the_cursor_is_being_hidden_gives_it_back(tmp_path):
    """As files begin to be read: the line that counts them is not there yet to be taken away."""
    shown = Terminal("train", "--data", data(), *TINY, "--epochs", 400, "--out", tmp_path / "run")
    shown.read(lambda: HIDE in shown.said)
    shown.press_ctrl_c()
    shown.read()
    assert shown.code == 130 and shown.cursor


def test_tables_fit_a_narrow_terminal():
    shown = Terminal("losses")
    shown.read()
    assert shown.code == 0 and "cross-entropy" in shown.said.lower()
    assert max(map(len, lines(shown.said))) <= 60


def test_an_audit_is_wrapped_between_words_and_its_commands_stay_whole(tmp_path):
    for path in (data() / "masks").iterdir():
        mask = np.asarray(Image.open(path)) // 255
        picture(
            tmp_path / "set of mine" / "masks" / path.name.replace("mask", "image"),
            np.where(np.arange(40) < 10, 2, mask),
        )
    for path in (data() / "images").iterdir():
        picture(tmp_path / "set of mine" / "images" / path.name, np.asarray(Image.open(path)))
    root = tmp_path / "set of mine"
    terminal = Terminal("check", root, "--data.classes", "[bg, piece]", columns=60)
    terminal.read()
    shown = lines(terminal.said)
    commands = [line for line in shown if line.lstrip().startswith("maskwright ")]
    assert terminal.code == 1
    assert f"    maskwright check '{root}' --data.classes '{{bg: 0, piece: 1, class_a: 2}}'" in commands
    assert max(len(line) for line in shown if line not in commands) <= 60
    told = " ".join(" ".join(line.split()) for line in shown)
    assert (
        "2 comes right after the last of 2 classes, 0 to 1; it holds " in told
        and "the commands below them, or fix" in told
    )


def test_an_error_stands_on_a_line_of_its_own_after_a_count(tmp_path):
    """A count is drawn over one line; what comes after must not stand behind it."""
    images, out = shutil.copytree(data() / "images", tmp_path / "images"), tmp_path / "out"
    (images / "z").mkdir()
    (images / "image-0.png").rename(images / "z" / "image-0.png")
    out.mkdir()
    (out / "predictions.csv").write_text("file,image,sha256\n")
    (out / "z").write_text("no folder")
    shown = Terminal("predict", finished(), images, "--out", out)
    shown.read()
    assert shown.code == 2
    told = [line for line in lines(shown.said) if "maskwright: " in line]
    assert len(told) == 1 and told[0].startswith("maskwright: could not write")
