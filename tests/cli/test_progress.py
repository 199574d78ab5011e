"""What is said while something takes long: a line that fits in a terminal, lines that stay, a few in a pipe."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import numpy as np
import pytest
from rich.console import Console

from maskwright import terminal
from maskwright.terminal import Counter, Progress, fitted, goes_on_with
from maskwright.training.progress import Effort, epoch_pieces
from support import TINY, copy_of, data, discs, finished, maskwright, noise, picture

SCORES = {"train_loss": 0.3124, "val_loss": 0.354, "train_iou": 0.71, "val_iou": 0.688}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half a minute is too long for a test."""
    monkeypatch.setattr(terminal, "PULSE", 0.05)
    yield
    terminal.end_progress()


def piped() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80), out


def test_in_a_pipe_something_is_said_while_nothing_passes(often):
    console, out = piped()
    began = time.monotonic()
    with Counter(console, "predicting"):
        while "predicting" not in out.getvalue() and time.monotonic() - began < 20:
            time.sleep(0.01)
    assert re.match(r"predicting, \d s\n", out.getvalue())


def test_in_a_pipe_a_count_tells_how_long_the_rest_takes(often):
    console, out = piped()
    with Counter(console, "reading images", then="looking at what was read") as tell:
        tell(3, 300)
        began = time.monotonic()
        while "reading" not in out.getvalue() and time.monotonic() - began < 20:
            time.sleep(0.01)
        tell(300, 300)
        while "looking" not in out.getvalue() and time.monotonic() - began < 20:
            time.sleep(0.01)
    assert (
        re.search(r"reading images 3/300  \d+ s left\n", out.getvalue())
        and "looking at what was read" in out.getvalue()
    )


def test_nothing_is_said_of_what_is_quick_and_nothing_after_the_end():
    console, out = piped()
    with Counter(console, "reading") as tell:
        for done in range(1, 100):
            tell(done, 100)
    assert out.getvalue() == ""
    ended = Progress(console, lambda width: "still here")
    ended.start()
    terminal.end_progress()
    assert not Progress._running


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (40, "epoch 12/300  IoU 0.710 (val 0.688)"),
        (60, "epoch 12/300  loss 0.312 (val 0.354)  IoU 0.710 (val 0.688)"),
        (80, "epoch 12/300  loss 0.312 (val 0.354)  IoU 0.710 (val 0.688)  lr 0.0018  72 s"),
        (200, "epoch 12/300  loss 0.312 (val 0.354)  IoU 0.710 (val 0.688)  lr 0.0018  72 s"),
    ],
)
def test_a_finished_epoch_is_one_line_of_any_terminal(width, line):
    """What matters less goes first; the epoch stays, whatever the width."""
    assert fitted(epoch_pieces("epoch 12/300", SCORES, 0.0018, 71.8), width) == line
    assert len(line) <= width


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_live_line_keeps_what_it_counts_and_the_time_left(width):
    pieces = [("epoch 12/300", 0), ("1/190", 3), ("35.2 images/s", 2), ("2 h 10 min left", 1)]
    line = fitted(pieces, width, 0.25)
    assert len(line) <= width and line.startswith("epoch 12/300")
    assert ("2 h 10 min left" in line) == (width >= 40) and ("━" in line) == (width >= 40)


def test_the_time_left_knows_that_the_first_epochs_are_quicker():
    """Half the size is a quarter of the pixels; validation costs the same throughout."""
    effort = Effort(epochs=10, batches=100, small=5, validation=20.0)
    assert effort.rest(0) == 5 * 25 + 5 * 100 + 10 * 20
    assert effort.rest(5) == 5 * 120 and effort.rest(10) == 0


def test_every_epoch_of_a_training_is_a_line(tmp_path):
    outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 5, "--out", tmp_path / "run")
    lines = [line for line in outcome.err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == [f"{epoch}/5" for epoch in range(1, 6)]
    assert all(re.search(r"  loss \d\.\d{3} \(val \d\.\d{3}\)  IoU .* lr \S+  \d+ s$", line) for line in lines)


def test_while_pictures_are_compared_something_is_said(often, tmp_path):
    """Thousands that are nearly the same take minutes, after the last of them was read."""
    for index in range(40):
        image = noise(48, 48)
        image[index % 48, 3] = index
        picture(tmp_path / "set" / "images" / f"{index}.png", image)
        picture(tmp_path / "set" / "masks" / f"{index}.png", np.tri(48, dtype=np.uint8))
    outcome = maskwright("check", tmp_path / "set", "--fix", tmp_path / "copy")
    assert len(re.findall(r"^comparing pictures, \d+ s$", outcome.err, re.M)) > 1 and outcome.code in (0, 2), (
        outcome.err
    )


def test_within_one_large_image_something_is_said(often, tmp_path):
    for number in range(6):
        image, mask = discs(900, 1200, number)
        picture(tmp_path / "images" / f"{number}.png", image)
        picture(tmp_path / "masks" / f"{number}.png", mask)
    predict = ("predict", finished(), tmp_path / "images" / "0.png", "--out", tmp_path / "out")
    for command in (predict, ("check", tmp_path)):
        said = maskwright(*command).err
        assert re.search(r"^(predicting|looking at pairs)(, | \d+/\d+)", said, re.M), said


def test_a_training_says_how_it_sees_images_in_plain_words(tmp_path):
    words = ("--epochs", 2, "--data.view", "crop", "--train.grow", "0.5", "--size", 16, "--batch-size", 3)
    said = maskwright("train", "--data", data(), *TINY, *words, "--out", tmp_path / "run").err
    assert "windows of 16 × 16 pixels out of each image; the first 50% of the epochs at 8 × 8, which is faster" in said
    assert "plan    2 epochs of 4 images, each shown in 2 windows: 3 steps an epoch, batches of 3; 32-bit arith" in said
    assert "view whole" not in said and "inputs a step" not in said


def test_the_next_command_is_one_that_runs(tmp_path):
    """Where there are no test images the run is scored on validation."""
    images = tmp_path / "data"
    for split, number in (("train", 4), ("val", 2)):
        for index in range(number):
            picture(images / split / "images" / f"{split}{index}.png", noise(32, 32, 10 * number + index))
            mask = np.zeros((32, 32), np.uint8)
            mask[8 : 16 + number * index] = 255
            picture(images / split / "masks" / f"{split}{index}.png", mask)
    trained = maskwright("train", "--data", images, *TINY, "--epochs", 1, "--out", tmp_path / "run")
    assert trained.code in (0, None), trained.err
    command = trained.out.rpartition("next: maskwright ")[2].split()
    assert command == ["evaluate", str(tmp_path / "run"), "--split", "val"]
    scored = maskwright(*command)
    assert scored.code in (0, None), scored.err
    assert maskwright(*scored.out.rpartition("next: maskwright ")[2].split()).code in (0, None)


@pytest.mark.parametrize(
    ("saved", "told"), [(False, "nothing was saved yet; begin anew with: x"), (True, "go on with: x")]
)
def test_an_interrupt_promises_to_go_on_only_from_what_was_saved(tmp_path, saved, told):
    (tmp_path / "config.yaml").touch()
    if saved:
        (tmp_path / "last.ckpt").touch()
    with (
        pytest.raises(KeyboardInterrupt, match=f"^{told}$"),
        goes_on_with("x", tmp_path / "config.yaml", tmp_path / "last.ckpt"),
    ):
        raise KeyboardInterrupt


def test_a_resume_of_a_run_that_saved_nothing_says_that_it_begins_anew(tmp_path):
    run = copy_of(finished(), tmp_path / "run")
    for name in ("model.safetensors", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        (run / name).unlink()
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    assert f"nothing was saved before {run} stopped: it begins anew" in outcome.err.splitlines()
