"""Training on several devices of one machine, with a process for each: data-parallel, as torch's DDP is.

Every batch is divided among the processes, and their gradients and counts are summed, so that a step is that of one
device with the whole batch but for batch-norm, which each process computes on its own part. The process that was
started is rank 0: it alone decides, writes and prints. The others are sent the resolved plan, whose pixels they map,
and end with it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from maskwright import custom, runtime
from maskwright.errors import MaskwrightError, TrainingError, UsageError, is_out_of_memory, one_line
from maskwright.runs import Run
from maskwright.training.plan import Plan

T = TypeVar("T")
_PROGRAM = "from maskwright.training.ranks import follow; follow()"
_TIMEOUT = datetime.timedelta(minutes=10)  # one device may have to wait while rank 0 writes a checkpoint
_END = 60.0  # seconds for a process to end after its last step


@dataclass(frozen=True)
class Ranks:
    """This process's place among those of a training; with one of them nothing is exchanged."""

    rank: int = 0
    world: int = 1

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def gather(self, values: list[T]) -> list[T]:
        """Those of all processes, one after the other."""
        if self.world == 1:
            return values
        found: list[list[T]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(found, values)
        return [value for one in found for value in one]

    def agree(self, decide: Callable[[], T]) -> T:
        """What rank 0 decides."""
        if self.world == 1:
            return decide()
        answer: list[Any] = [decide() if self.rank == 0 else None]
        distributed.broadcast_object_list(answer, src=0)
        return answer[0]

    def average_gradients(self, parameters: Iterable[nn.Parameter], weight: float, scale: float) -> None:
        """Put the sum of all processes' gradients, over their weights' sum, times `scale`, in each one's place."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_full((1,), weight)])
        distributed.all_reduce(flat)
        flat *= scale / flat[-1]
        for gradient, mean in zip(
            gradients, flat[:-1].split([gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(mean.view(gradient.shape))

    def average_buffers(self, model: nn.Module) -> None:
        """The mean of batch-norm's running statistics, which each process has of its own parts."""
        for buffer in model.buffers() if self.world > 1 else ():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= self.world


@contextlib.contextmanager
def start_ranks(run: Run, plan: Plan, checkpoint: Path | None) -> Iterator[Ranks]:
    """The other processes of a training, and this one's place among them; at the end they have ended."""
    world = plan.config.train.num_devices
    if world == 1:
        yield Ranks()
        return
    words = [sys.executable, "-P", "-c", _PROGRAM]  # -P: no module comes from the current folder
    light = replace(plan, opened=replace(plan.opened, inspected=()))
    code = custom.carried(one.source for one in plan.config.custom_code().values())
    try:
        sent = pickle.dumps((run.root, light, checkpoint, code))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        fix = "Define it in a file of its own, or train on one device."
        lines = "what was handed over must be such that other processes can import it"
        raise UsageError(f"{lines}; {type(error).__name__}: {one_line(str(error))}. {fix}") from error
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        # in sessions of their own: an interrupt is rank 0's to answer
        others = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
                  for _ in range(1, world)]  # fmt: skip
        over = threading.Event()
        try:
            for rank, process in enumerate(others, 1):
                assert process.stdin
                # where the modules are that the classes of objects stand in, if any were handed over
                pickle.dump((Ranks(rank, world), folder, sys.path if code[0] else None, sent), process.stdin)
                process.stdin.flush()
            if not all(process.stdout and process.stdout.readline() for process in others):
                raise RuntimeError("a process of another device has ended")
            _join(Ranks(0, world), folder, plan.config.train.devices)
            if plan.config.train.devices == "gpu":
                threading.Thread(target=_watch, args=(others, over), daemon=True).start()
            yield Ranks(0, world)
            over.set()
            distributed.destroy_process_group()  # as the others do now: NCCL's is a call of all, or it waits
            with contextlib.suppress(subprocess.TimeoutExpired):
                for process in others:
                    process.wait(_END)
        except (RuntimeError, OSError) as error:  # what torch says when another process is gone
            lines = [sentence for process in others if (sentence := _sentence(process))]
            if not lines:
                raise
            raise TrainingError(lines[0]) from error
        finally:
            over.set()
            for process in others:
                process.kill()
                process.communicate()
            if distributed.is_initialized():
                _leave()


def _leave() -> None:
    """End this process's part alone: NCCL would wait for the others, and even its abort may."""
    is_nccl = distributed.is_nccl_available() and torch.cuda.is_available()
    end = distributed.distributed_c10d._abort_process_group if is_nccl else distributed.destroy_process_group
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(10)


def _watch(others: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """End this process where another one is gone and it does not find out by itself, which NCCL may never."""
    while not over.wait(1):
        gone = next((process for process in others if process.poll()), None)
        if gone and not over.wait(20):
            print(f"maskwright: {_sentence(gone)}", file=sys.stderr, flush=True)
            os._exit(2)


def follow() -> None:
    """What the processes that `start_ranks` starts do: train as rank 0 does, and write nothing."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    runtime.tune_allocator()
    ranks, folder, path, sent = pickle.load(sys.stdin.buffer)
    sys.path[:] = path or sys.path
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    try:
        from maskwright.training.fit import fit_rank

        root, plan, checkpoint, code = pickle.loads(sent)
        custom.receive(*code)
        answers.write("ready\n")
        answers.flush()
        _join(ranks, folder, plan.config.train.devices)
        fit_rank(Run.open(root), plan, checkpoint, ranks)
        distributed.destroy_process_group()
    except Exception as error:  # noqa: BLE001 - whatever it is, rank 0 is to be told
        if isinstance(error, MaskwrightError) or is_out_of_memory(error):
            answers.write(str(error))
            answers.flush()
        else:
            traceback.print_exc()
        os._exit(1)  # at once: what NCCL does as Python ends may wait for the others


def _join(ranks: Ranks, folder: str, device: str) -> None:
    """Meet the other processes, of this machine alone."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if device == "gpu":
        torch.cuda.set_device(ranks.rank)
    backend = "cpu:gloo,cuda:nccl" if device == "gpu" else "gloo"
    meeting = Path(folder, "ranks").as_uri()
    distributed.init_process_group(backend, meeting, _TIMEOUT, ranks.world, ranks.rank)


def _end_with_rank_0() -> None:
    # until rank 0 closes it, or is gone; not by sys.stdin, whose lock workers that are forked would inherit
    while os.read(0, 1):
        pass
    os._exit(1)


def _sentence(process: subprocess.Popen[bytes]) -> str:
    """Why a process ended, in its own words; empty where it goes on, or ended well."""
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        return ""
    assert process.stdout
    output = process.stdout.read().decode()
    return output or (
        f"the process of another device ended with code {code}; what it said stands above" if code else ""
    )
