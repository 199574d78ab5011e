"""Trainings in processes of their own, which outlive the app: planned, begun, followed, stopped as by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from maskwright.app.answers import text_of
from maskwright.app.runs import Found, Runs
from maskwright.errors import MaskwrightError
from maskwright.files import plain
from maskwright.folders import worker_of
from maskwright.runs import Run, plain_name

LOGS = ".maskwright"  # in the runs' folder: what trainings that were begun here say
_LOOK = 0.5  # seconds between two looks at a run that is trained
_PLAN_SECONDS = 300
_BUDGET, _NAME = re.compile(r"\d{1,9}(\.\d{1,3})?[smhd]"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(/[A-Za-z0-9_.+-]+)?")  # a name; neither a path nor code


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Trainings:
    """The processes begun here. `datasets` gives the paths that may be trained on."""

    runs: Runs
    datasets: Callable[[], list[str]]
    _children: dict[str, _Child] = field(default_factory=dict)
    _scoring: dict[tuple[str, str], _Child] = field(default_factory=dict)

    def plan(self, wish: dict[str, Any]) -> dict[str, Any]:
        """What would be trained, as `maskwright train --plan` tells it."""
        words = [*self._words(wish), "--plan"]
        try:
            done = subprocess.run(
                _command(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=_PLAN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise HTTPException(
                504, f"a plan must be ready within {_PLAN_SECONDS} seconds; it was not. Train without it."
            ) from None
        told = (done.stdout + done.stderr).decode("utf-8", "replace")
        lines = [line for line in told.splitlines() if line.strip()]
        return {"lines": [line.removeprefix("maskwright: ") for line in lines], "ok": done.returncode == 0}

    def train(self, wish: dict[str, Any], data: str = "", flags: Sequence[str] = ()) -> str:
        """Begin a training and return its run's id. `data` and `flags` are the app's own, never a page's."""
        words = [*self._words(wish, data), *flags]
        self.runs.folder.mkdir(parents=True, exist_ok=True)
        name = wish.get("name") or self._free_name(Path(data or str(wish["data"])))
        if not _NAME.fullmatch(str(name)):
            raise HTTPException(
                422, "a name must be 1 to 64 letters, digits, dots and dashes, no dot first; got another. Choose one."
            )
        root = self.runs.folder / str(name)
        if root.exists() or name in self._children:
            raise HTTPException(409, f"a name must be new; {name} is there already. Choose another.")
        self._children[str(name)] = self._start([*words, "--out", str(root)], str(name))
        return str(name)

    def evaluate(self, run: Run, id: str, split: str) -> None:
        """Begin to score a split."""
        if split not in run.data["splits"] or not run.data["splits"][split]:
            raise HTTPException(422, "`split` must be one of the run's that has images; got another.")
        if split not in self.evaluating(id):
            self._scoring[id, split] = self._start(["evaluate", str(run.root), "--split", split], f"{id}-{split}")

    def evaluating(self, id: str) -> list[str]:
        """The splits of a run that are scored now."""
        return [split for (one, split), child in self._scoring.items() if one == id and child.process.poll() is None]

    def stop(self, id: str) -> None:
        """Stop a training as one Ctrl-C does, whoever began it."""
        child = self._children.get(id)
        alive = child is not None and child.process.poll() is None
        found = self.runs.found(0.0).get(id)
        process = worker_of(found.root) if found else None
        process = process or (child.process.pid if child and alive else None)
        if process is None:
            raise HTTPException(
                409, "a run must be in training on this machine to be stopped; this one is not. Reload the page."
            )
        os.kill(process, signal.SIGINT)

    def rows(self) -> list[dict[str, Any]]:
        """All runs, those first that were begun here and have no folder yet."""
        rows = [self._with_child(row) for row in self.runs.rows()]
        begun = {row["id"] for row in rows}
        return [row for id in self._children if id not in begun and (row := self.unborn(id))] + rows

    def row(self, id: str) -> dict[str, Any]:
        """A run's row, of one begun here even before it has a folder."""
        found = self.runs.found().get(id) or self.runs.found(0.0).get(id)
        if found is None and (row := self.unborn(id)):
            return row
        return self._with_child(self.runs.row(self.runs.get(id)))

    def unborn(self, id: str) -> dict[str, Any] | None:
        """The row of a training that reads its data, or that ended before it had a folder."""
        child = self._children.get(id)
        if child is None:
            return None
        empty = self.runs.row(Found(id, self.runs.folder / id, "run"))
        return self._with_child(empty | {"progress": 0.0})

    def _with_child(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the process that trains a run tells beyond its folder."""
        child = self._children.get(row["id"])
        if child is None or row["status"] in ("finished", "training"):  # by somebody else, where ours has ended
            return row
        code = child.process.poll()
        if code is None:
            return row | {"status": "training"}
        stopped = code in (130, -signal.SIGINT)
        return row | {
            "status": "stopped" if stopped else "failed",
            "error": None if stopped else _last_words(child.log),
        }

    async def events(self, id: str, closing: Callable[[], bool]) -> AsyncIterator[str]:
        """Server-sent events of a run: new rows of its history, its status, its newest panels, until it ends."""
        row = await run_in_threadpool(self.row, id)  # 404 before the first byte
        shown, panels, last = 0, {}, None
        while True:
            history, newest = await run_in_threadpool(self._seen, id)
            if len(history) != shown:
                start = shown if len(history) > shown else 0
                yield _event("history", {"from": start, "rows": history[start:]})
                shown = len(history)
            for name, stamp in newest.items():
                if panels.get(name) != stamp:
                    yield _event("panel", {"name": name, "url": f"/api/runs/{id}/panels/{name}?v={stamp}"})
            panels = newest
            if row != last:
                yield _event("status", row)
                last = row
            if row["status"] != "training" or closing():
                return
            yield ": \n\n"  # a connection that was closed is noticed by writing to it
            await asyncio.sleep(_LOOK)
            row = await run_in_threadpool(self.row, id)

    def _seen(self, id: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
        found = self.runs.found().get(id)
        try:
            history = plain(Run(found.root).history) if found else []
        except MaskwrightError:  # spoilt, which the row tells
            history = []
        return history, {name: path.stat().st_mtime_ns for name, path in panels_of(found.root).items()} if found else {}

    def _words(self, wish: dict[str, Any], data: str = "") -> list[str]:
        """The words of a training's command; what a page sends is a known name, or of letters that mean nothing."""
        asked, budget, model, weights = (wish.get(key) for key in ("data", "budget", "model", "weights"))
        if not data and asked not in self.datasets():
            fix = "Start the app with it: maskwright app --data DATA"
            raise HTTPException(
                422, f"`data` must be the app's data set or one that a run here was trained on; got another. {fix}"
            )
        if not _BUDGET.fullmatch(str(budget)):
            raise HTTPException(
                422, "`budget` must be a time with its unit, such as 30s, 10m or 2h; got another. Give one."
            )
        if model and not _MODEL.fullmatch(str(model)):
            raise HTTPException(
                422, "`model` must be a name, such as unet or unet/resnet34; got another. See maskwright models."
            )
        words = [
            "train",
            "--data",
            data or str(asked),
            "--budget",
            str(budget),
            *(["--model", str(model)] if model else []),
        ]
        if weights in ("none", "imagenet"):
            words += ["--weights", str(weights)]
        elif weights:
            words += ["--weights", str(self.runs.get(str(weights)).root)]
        return words

    def _free_name(self, data: Path) -> str:
        stem = plain_name(data.stem).lstrip("._-")[:50] or "run"
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", stem)
        taken = {path.name for path in self.runs.folder.iterdir()} | set(self._children)
        return next(name for number in range(1, 1_000_000) if (name := f"{stem}-{number}") not in taken)

    def _start(self, words: list[str], name: str) -> _Child:
        log = self.runs.folder / LOGS / f"{plain_name(name)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_symlink() or not log.resolve().is_relative_to(self.runs.folder):
            raise HTTPException(422, f"{log} must be a file of the runs' folder; it is a link out of it. Remove it.")
        with log.open("wb") as file:
            process = subprocess.Popen(
                _command(*words), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        return _Child(process, log)


def panels_of(root: Path) -> dict[str, Path]:
    """The newest pictures that a training drew, by name."""
    folder = root / "panels"
    found = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    return {
        text_of(path.stem): path for path in found if path.suffix == ".png" and path.is_file() and path.name[0] != "."
    }


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "maskwright", *words]


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=True)}\n\n"


def _last_words(log: Path) -> str:
    """The sentence a command ended with."""
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    told = [line.removeprefix("maskwright: ") for line in lines if line.startswith("maskwright: ")]
    return (told or lines or ["the training ended without a word."])[-1][:2000]
