"""What a cell takes, measured in a process of its own: parameters, memory, disk, seconds of a step.

The process imports what it needs once and forks for each cell (where the system can), so that a peak of memory is of
one cell alone, and a cell that takes more than there is ends nothing else.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from maskwright.config import Config
from maskwright.config.base import seconds_of
from maskwright.data.opening import Opened
from maskwright.errors import MaskwrightError, is_out_of_memory
from maskwright.runtime import limit_memory
from maskwright.training.plan import Plan

_PROGRAM = "from maskwright.comparison.measuring import serve; serve()"
_LENGTH = struct.Struct("<Q")
_MEMORY_SHARE = 0.9  # of what is free, for a trial


@dataclass(frozen=True)
class Task:
    """What was settled, and the data, whose pixels are decoded anew when they are asked for."""

    plan: Plan
    num_test: int


@dataclass(frozen=True)
class Measured:
    """What a cell takes. `memory` and `disk` are bytes; `seconds` of training and scoring a whole cell."""

    parameters: int
    multiply_adds: float
    step: float
    epochs: int
    memory: int
    disk: int
    seconds: float


class Measurer:
    """A process that measures cells, started when the first one is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def measure(self, task: Task) -> Measured | str:
        """What a cell takes, or the sentence that says why it cannot be."""
        process = self._started()
        assert process.stdin and process.stdout
        try:
            _send(process.stdin, task)
            return _receive(process.stdout)
        except (BrokenPipeError, EOFError):  # without fork the process itself was ended
            self.close()
            return _ENDED

    def close(self) -> None:
        """End the process."""
        if self._process:
            process, self._process = self._process, None
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe:
                        pipe.close()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            words = [sys.executable, "-P", "-c", _PROGRAM]  # -P: no module comes from the current folder
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return self._process


@contextlib.contextmanager
def measurer() -> Iterator[Measurer]:
    """A measurer that is closed at the end."""
    found = Measurer()
    try:
        yield found
    finally:
        found.close()


_NO_MEMORY = "a step needs more memory than there is. Lower train.batch_size or data.size."
_ENDED = "its step was ended by the system, most likely for want of memory. Lower train.batch_size or data.size."


def serve() -> None:
    """Answer tasks from stdin until it is closed; for the process that `Measurer` starts."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    import maskwright.training.fit  # noqa: F401  # once, before any cell

    while True:
        try:
            task = _receive(requests)
        except EOFError:
            return
        if not hasattr(os, "fork"):
            _send(answers, _attempt(task))
            continue
        child = os.fork()
        if child == 0:
            _spare_others()
            _send(answers, _attempt(task))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            _send(answers, _ENDED)


def _spare_others() -> None:
    """A cell that needs more memory than there is must not take other programs' of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to be ended, where the system ends any
    limit_memory(_MEMORY_SHARE)


def _attempt(task: Task) -> Measured | str:
    try:
        return measure(task)
    except MaskwrightError as error:
        return " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - whatever building or a step stumbles over is this cell's answer
        if is_out_of_memory(error):
            return _NO_MEMORY
        return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"


def measure(task: Task) -> Measured:
    """Build the network, make a few steps and look at an image; memory is the peak of this process until now."""
    import torch

    from maskwright.models import build_model
    from maskwright.models.devices import torch_device
    from maskwright.models.sizing import multiply_adds
    from maskwright.training import timing
    from maskwright.training.batch_size import settle_batch
    from maskwright.training.build import training_inputs

    opened, bands = task.plan.opened, task.plan.opened.dataset.bands.num_channels
    torch.manual_seed(task.plan.config.train.seed)
    model = build_model(task.plan.config.model, opened.dataset.classes, bands)
    config = settle_batch(task.plan, model, training_inputs(task.plan.config, opened)[0]).config
    train = config.train
    samples, keys = training_inputs(config.replace({"train.epochs": "auto"}), opened)  # at full size from the first epoch on
    step, image = timing.measure(config, model, samples, keys, opened)
    disk = _disk(config, model)
    if torch_device(train.devices).type == "cpu":
        _take(2 * disk.last + disk.weights)
    memory = _peak(opened)
    epoch = timing.epoch_seconds(config, step, image, keys, len(opened.dataset.split("val")))
    epochs = max(1, int(seconds_of(train.budget) / epoch)) if train.budget is not None else train.epochs
    assert epochs != "auto"
    assert config.data.size != "auto"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    adds = multiply_adds(model, bands, config.data.size)
    seconds = epochs * epoch + task.num_test * image
    return Measured(parameters, math.nan if adds is None else float(adds), step, epochs, memory, disk.total, seconds)


def _peak(opened: Opened) -> int:
    """The most memory so far, and the pixels that training keeps near; on a GPU, the GPU's."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_reserved()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak + (_pixels(opened) if opened.cache == "ram" else 0)


def _pixels(opened: Opened) -> int:
    deep = opened.dataset.bands.num_channels + 1
    return sum(height * width * deep for height, width in opened.store.sizes)


@dataclass(frozen=True)
class _Disk:
    """Bytes of the files of a run: the weights, and last.ckpt, which has the average and the optimiser as well."""

    weights: int
    last: int

    @property
    def total(self) -> int:
        return 2 * self.weights + self.last  # best.ckpt holds the weights, too


def _disk(config: Config, model: Any) -> _Disk:
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    learned = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    moments = {"muon": 1, "sgd": 1 if config.optim.momentum else 0}.get(config.optim.name, 2)
    return _Disk(weights, weights + moments * learned + (learned if config.train.average == "ema" else 0))


def _take(amount: int) -> None:
    """Hold so many bytes for a moment: a checkpoint is written from memory, where it stands twice, beside the best weights."""
    taken = bytearray(amount)
    taken[::4096] = b"x" * len(range(0, amount, 4096))  # a page that nothing was written to takes no memory


def _send(pipe: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    length = _LENGTH.unpack(head)[0]
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
