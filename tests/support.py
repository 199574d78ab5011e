"""What the tests of configuration, training, prediction, evaluation and the command line share.

Folders from `data()` and `finished()` are made once a session and must not be changed; `copy_of` gives one to spoil.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PROGRAM = str(Path(sys.executable).with_name("maskwright"))
EPOCHS = 4
TAGS = {"loss/train": "train_loss", "loss/val": "val_loss", "iou/train": "train_iou", "iou/val": "val_iou",
        "dice/train": "train_dice", "dice/val": "val_dice", "accuracy/train": "train_accuracy",
        "accuracy/val": "val_accuracy", "lr": "lr"}  # fmt: skip
SCORES = tuple(TAGS.values())[:-1]
# a network and inputs so small that an epoch takes a tenth of a second
TINY = ("--model.width", "2", "--model.depth", "2", "--size", "32", "--train.repeats", "2", "--batch-size", "4",
        "--precision", "fp32", "--devices", "cpu", "--lr", "0.01", "--data.view", "whole")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: Any
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line on stderr that is no progress; fails when there are more or none."""
        lines = [line for line in self.err.splitlines() if line.startswith("maskwright: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("maskwright: ")


def maskwright(*words: object) -> Outcome:
    """Run a command in this process."""
    from maskwright.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
    return Outcome(code, out.getvalue(), err.getvalue())


@functools.cache
def session_folder() -> Path:
    """A folder that lives as long as the tests do."""
    root = Path(tempfile.mkdtemp(prefix="maskwright-tests-"))
    atexit.register(shutil.rmtree, root, True)
    return root


@functools.cache
def data() -> Path:
    """Eight puzzle images of 32 × 40 pixels, split 4/2/2. Not to be changed."""
    from maskwright.data.synthetic import make

    root = session_folder() / "puzzle"
    make("puzzle", root, count=8, size=(32, 40))
    return root


@functools.cache
def trained() -> Outcome:
    """What `maskwright train --json` said when it trained `finished()`."""
    return maskwright("train", "--data", data(), *TINY, "--epochs", EPOCHS, "--out", session_folder() / "run", "--json")


def finished() -> Path:
    """A run trained to its end. Not to be changed."""
    assert trained().code == 0, trained().err
    return session_folder() / "run"


@functools.cache
def evaluated() -> Outcome:
    """What `maskwright evaluate --json` said of `finished()`."""
    return maskwright("evaluate", finished(), "--json")


PLANTED = {13: "a disc that isn't labelled", 16: "a square labelled where nothing is"}


@functools.cache
def planted() -> Path:
    """A run that knows discs, scored on eight test images, the labels of two of which are wrong. Not to be changed."""
    root, splits = session_folder() / "planted", ["train"] * 10 + ["val"] * 2 + ["test"] * 8
    found = disc_data(root / "data", [(48, 48)] * len(splits), splits)
    erased, added = (found / "masks" / f"{index}.png" for index in PLANTED)
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(erased)
    mask = np.asarray(Image.open(added)).copy()
    corners = [(rows, columns) for rows in (slice(2, 14), slice(-14, -2)) for columns in (slice(2, 14), slice(-14, -2))]
    mask[next(corner for corner in corners if not mask[corner].any())] = 255  # away from its disc
    Image.fromarray(mask).save(added)
    words = (*TINY[:-2], "--lr", "0.02", "--size", 48, "--model.width", 4, "--epochs", 6, "--augment", "none")
    for command in (("train", "--data", found, *words, "--out", root / "run"), ("evaluate", root / "run")):
        outcome = maskwright(*command)
        assert outcome.code == 0, outcome.err
    return root / "run"


def copy_of(folder: Path, to: Path) -> Path:
    """A copy that a test may change; what other tests made of a run is left out."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("evaluation", "report.html"))
    return to


def columns(run: Path, without: Sequence[str] = ("seconds", "images_per_second")) -> list[dict[str, str]]:
    """history.csv as text, less what a clock decides."""
    with (run / "history.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


@contextlib.contextmanager
def in_no_time(seconds: int) -> Iterator[None]:
    """What waits for a pipe or never ends is interrupted."""

    def waited(number: int, frame: object) -> None:
        raise TimeoutError("it did not end by itself")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def picture(path: Path, pixels: np.ndarray) -> Path:
    """Write an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture of coloured noise over a ramp."""
    ramp = np.linspace(0, 200, width)[None, :, None]
    return (np.random.default_rng(seed).uniform(0, 55, (height, width, 3)) + ramp).astype(np.uint8)


def discs(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image with a bright disc, and its mask of 0 and 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = (y - rng.uniform(0, height)) ** 2 + (x - rng.uniform(0, width)) ** 2 < (0.4 * min(height, width)) ** 2
    image = np.where(inside[..., None], 200, 60) + rng.integers(0, 40, (height, width, 3))
    return image.astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def disc_data(root: Path, sizes: Sequence[tuple[int, int]], splits: Sequence[str] | None = None) -> Path:
    """A data set of discs of the given sizes, with pairs.csv when splits are named."""
    rows = ["image,mask,split"]
    for index, (height, width) in enumerate(sizes):
        image, mask = discs(height, width, index)
        picture(root / "images" / f"{index}.png", image)
        picture(root / "masks" / f"{index}.png", mask)
        rows.append(f"images/{index}.png,masks/{index}.png,{splits[index] if splits else ''}")
    if splits:
        (root / "pairs.csv").write_text("\n".join(rows) + "\n")
    return root


def _in_child(words: list[str], log: str, as_program: bool = False) -> None:
    with Path(log).open("w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        from maskwright.cli import main

        if as_program:
            sys.argv = [PROGRAM, *words]
        main(None if as_program else words)


@functools.cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["maskwright.cli.train", "maskwright.training.fit", "torch.utils.tensorboard", "torch._dynamo"]
    )
    return context


def start(log: Path, *words: object) -> Any:
    """A command in a process of its own, to be killed; forked from one that has torch imported, to save the seconds."""
    return start_call(_in_child, [str(word) for word in words], str(log))


def start_program(log: Path, *words: object) -> Any:
    """The same, as the installed program begins: it takes no more memory than there is."""
    return start_call(_in_child, [str(word) for word in words], str(log), True)


def start_call(function: Callable[..., object], *arguments: object) -> Any:
    """The same of a function that a test module or this one defines."""
    child = _server().Process(target=function, args=arguments)
    child.start()
    return child


def kill(child: Any) -> None:
    """End a process as nothing it does can prevent."""
    child.kill()
    child.join()


def wait_until(what: Callable[[], bool], alive: Callable[[], bool], seconds: float = 120.0) -> None:
    """Look every millisecond until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert alive(), "the process ended before it was so"
        assert time.monotonic() < end, "it has not become so in time"
        time.sleep(0.001)


def rows(run: Path) -> int:
    """How many epochs history.csv tells of."""
    path = run / "history.csv"
    return max(0, len(path.read_text().splitlines()) - 1) if path.is_file() else 0


def environment() -> dict[str, str]:
    """This process's environment, less what would change how a child writes to a pipe."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


def leftovers(folder: Path) -> list[str]:
    """Temporary files of atomic writes."""
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".")]


_watched: list[list[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        _watched[-1].append(str(arguments[0]))


# sees every file this process opens; it cannot be taken away again, so it only looks when asked
sys.addaudithook(_hook)


@contextlib.contextmanager
def opened() -> Iterator[list[str]]:
    """Every path that is opened inside, in order."""
    paths: list[str] = []
    _watched.append(paths)
    try:
        yield paths
    finally:
        _watched.remove(paths)


@contextlib.contextmanager
def on_loopback(app: Any, port: int = 0) -> Iterator[Any]:
    """A client of an app that a thread serves on a port of this machine: for many connections, answers that go on."""
    import httpx
    import uvicorn

    from maskwright.serving.server import listen

    opened = listen("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        address = f"http://127.0.0.1:{opened.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        opened.close()
