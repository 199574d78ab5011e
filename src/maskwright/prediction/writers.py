"""Predictions of many files: read, predicted and written at the same time, of any size; resumed after a stop."""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from maskwright.data.pictures import indexed_png
from maskwright.data.record import validate_outside_data
from maskwright.data.tiles import predict_bands
from maskwright.errors import DataError, counted, is_out_of_memory
from maskwright.files import write_atomically, writing
from maskwright.folders import new_folder
from maskwright.prediction.inputs import Inputs, find_inputs, names_for, refuse_among
from maskwright.prediction.ledger import Ledger, refuse_used_folder
from maskwright.prediction.network import Network
from maskwright.prediction.outputs import ENDS, LEGEND, Outputs, Wanted, legend
from maskwright.prediction.sources import Picture, Raster, Source, load_source
from maskwright.runs import size_name
from maskwright.runtime import free_memory

_T = TypeVar("_T")
_AHEAD = 2  # images whose files are being written while the next are predicted


@dataclass(frozen=True)
class Written:
    """Files written for the images that could be read, and a sentence for each that couldn't."""

    out: Path
    images: tuple[Path, ...]
    problems: tuple[str, ...]
    replaced: int = 0  # files that were there before
    notes: tuple[str, ...] = ()  # masks in a folder, and what cannot be read there, such as links that lead nowhere
    earlier: int = 0  # images that a call before, which did not end, had done

    def __str__(self) -> str:
        message = f"{counted(len(self.images), 'image')} predicted into {self.out}"
        message += f", {self.earlier} of them before" if self.earlier else ""
        message += f", {counted(self.replaced, 'file')} there replaced" if self.replaced else ""
        return message + (f"; {len(self.problems)} could not be predicted" if self.problems else "")


def predict_files(
    network: Network, images: Inputs | Sequence[str | Path], out: str | Path, wanted: Wanted | None = None,
    batch_size: int = 1, progress: Callable[[int, int], None] | None = None,
) -> Written:  # fmt: skip
    """Predict image files and folders of them; a bad file is reported at the end and the rest is done.

    `out` is new, empty, or of an earlier call, and nothing but what such a call wrote is replaced; it lies apart from
    the images, and from those that the network was trained on. Where an earlier call of the same settings was stopped,
    or found bad files, what it has done stays.
    """
    inputs = images if isinstance(images, Inputs) else find_inputs(images)
    files = inputs.files
    names = names_for(files, inputs.folders)
    out = Path(out)
    wanted = wanted or Wanted()
    wanted = replace(wanted, threshold=network.threshold_for(wanted.threshold))
    refuse_among(out, inputs.folders, files)
    for data in network.data:
        validate_outside_data(out, data)
    with new_folder(out, partial(refuse_used_folder, out)), Ledger(out) as ledger, _one_thread_of_opencv():
        ledger.refuse_changed([LEGEND, *(f"{name}{end}" for name in names for end in ENDS)])
        job = _Job(network, out, wanted, ledger, batch_size)
        before = ledger.go_on(job.key)
        job.predict(files, names, before, progress)
        if job.done and len(network.classes.names) > 2:  # of two, each overlay takes a colour its image has little of
            ledger.write(LEGEND, "", legend(network.classes.names))
        if not job.problems:
            ledger.end()
    done = tuple(path for path in files if path in job.done)
    problems = tuple(job.problems[path] for path in files if path in job.problems)
    return Written(out, done, problems, job.replaced, tuple(inputs.notes), len(before & {str(path) for path in files}))


@contextmanager
def _one_thread_of_opencv() -> Iterator[None]:
    """Pictures are drawn beside the network, which needs the cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@dataclass
class _Job:
    """One call: while an image is predicted the next is read, and the files of those before are written."""

    network: Network
    out: Path
    wanted: Wanted
    ledger: Ledger
    batch_size: int
    done: set[Path] = field(default_factory=set)
    problems: dict[Path, str] = field(default_factory=dict)
    replaced: int = 0

    @property
    def key(self) -> str:
        """Another where the same images would give other files."""
        return hashlib.sha256(f"{self.network.identity}\n{self.wanted}\n{self.network.view}".encode()).hexdigest()

    def predict(
        self, files: Sequence[Path], names: Sequence[str], before: set[str], progress: Callable[[int, int], None] | None
    ) -> None:
        """Predict what was not done before."""
        self.done = {path for path in files if str(path) in before}
        left = [(path, name) for path, name in zip(files, names, strict=True) if path not in self.done]
        waiting: deque[tuple[Path, Future[bool]]] = deque()

        def gather(leave: int) -> None:
            while len(waiting) > leave:
                path, written = waiting.popleft()
                if self._tried(path, written.result):
                    self.done.add(path)
            if progress:
                progress(len(self.done) + len(self.problems), len(files))

        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            writer.submit(int).result()  # its thread begins now: there may be no memory for one beside a large image
            loading = [reader.submit(self._load, path) for path, _ in left[:1]]
            for at, (path, name) in enumerate(left):
                source = self._tried(path, loading.pop().result)
                loading = [reader.submit(self._load, path) for path, _ in left[at + 1 : at + 2]]
                if isinstance(source, Raster):
                    gather(0)  # its files are written in this thread, as they are opened in it
                written = self._tried(path, partial(self._predict, source, path, name, writer)) if source else None
                waiting += [(path, written)] if written else []
                gather(_AHEAD)
            gather(0)

    def _load(self, path: Path) -> Source:
        return load_source(path, self.network.bands, self.network.any_depth)

    def _predict(self, source: Source, path: Path, name: str, writer: ThreadPoolExecutor) -> Future[bool]:
        """Predict an image; its files are there when the future is done."""
        network = self.network
        with writing(self.out / name, "write"), ExitStack() as stack:
            stack.enter_context(source)
            outputs = stack.enter_context(Outputs(self.out, name, path, source, self.wanted, network.classes.names))
            shape = source.height, source.width
            bands = predict_bands(
                source.read, *shape, network.view, network.forward, self.batch_size, self.wanted.reduce(network)
            )
            for top, planes in bands:
                outputs.add(top, planes)
            kept = stack.pop_all()
        if isinstance(source, Picture):
            return writer.submit(self._write, kept, outputs, path)
        written: Future[bool] = Future()
        written.set_result(self._write(kept, outputs, path))
        return written

    def _write(self, kept: ExitStack, outputs: Outputs, path: Path) -> bool:
        with writing(outputs.out / outputs.name, "write"), kept:
            files = []
            for file, content in outputs.finish():
                self.replaced += self.ledger.write(file, path, content)
                files.append(file)
            self.ledger.note_done(path, files)
        return True

    def _tried(self, path: Path, step: Callable[[], _T]) -> _T | None:
        """What a step gives; where the file is to blame that is reported at the end, and the rest is done."""
        try:
            return step()
        except DataError as error:
            self.problems[path] = str(error)
        except Exception as error:
            if is_out_of_memory(error):
                message = f"predicting it took more than the {size_name(free_memory())} that are free"
                fix = "Cut it into parts, or use a machine with more."
                self.problems[path] = f"`{path}` must fit into memory; {message}. {fix}"
            elif isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG:
                message = f"must have a name that leaves room for {ENDS[0]}; it is too long. Rename it."
                self.problems[path] = f"`{path}` {message}"
            else:
                raise
        return None


def write_labels(path: Path, labels: np.ndarray, num_classes: int) -> None:
    """An indexed PNG: its values are the class numbers."""
    write_atomically(path, lambda temporary: temporary.write_bytes(indexed_png(labels, num_classes)))
