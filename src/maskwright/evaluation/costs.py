"""What predicting costs: time an image, memory, and the network's size."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from maskwright.models.sizing import multiply_adds
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run, processor_name


@dataclass(frozen=True)
class PredictionCost:
    """Of one image on this machine; NaN where it could not be measured.

    Time is from pixels to labels, the median over images. Memory is the most the device held: on a GPU what torch took,
    on a CPU the whole program with its libraries. Multiply-adds (None where they can't be counted) are those of `input`,
    the rows and columns of the first image as the network sees it.
    """

    milliseconds_an_image: float
    peak_memory_mib: float
    parameters: int
    multiply_adds: int | None
    input: tuple[int, int]
    device: str
    precision: str

    def to_json(self) -> dict[str, Any]:
        """The `cost` of evaluation/SPLIT.json."""
        return asdict(self) | {"input": list(self.input)}

    def __str__(self) -> str:
        parts = [f"{self.milliseconds_an_image:.3g} ms an image"] if math.isfinite(self.milliseconds_an_image) else []
        parts += [f"{self.peak_memory_mib:.0f} MiB at most"] if math.isfinite(self.peak_memory_mib) else []
        counted = "" if self.multiply_adds is None else f", {_short(self.multiply_adds)} multiply-adds"
        rows, columns = self.input
        parts.append(f"{_short(self.parameters)} parameters{counted} at {columns} × {rows}")
        return f"{'; '.join(parts)} ({self.device}, {self.precision})"


class PeakMemory:
    """The most memory a device holds from here on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif device.type == "cpu":
            with contextlib.suppress(OSError):  # where the system doesn't allow it the peak since the program's start is told
                Path("/proc/self/clear_refs").write_text("5")

    @property
    def mib(self) -> float:
        """In MiB; NaN where it isn't known."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return _resident_peak() if self.device.type == "cpu" else math.nan


def cost_of(
    run: Run, predictor: Predictor, milliseconds_an_image: float, peak_memory_mib: float, size: tuple[int, int]
) -> PredictionCost:
    """What was measured, and the network's size; `size` is that of an image."""
    model, device = predictor.model, predictor.device
    rows, columns = predictor.view.inner_size(*size)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name() if device.type == "cpu" else "gpu"
    return PredictionCost(
        milliseconds_an_image,
        peak_memory_mib,
        sum(parameter.numel() for parameter in model.parameters()),
        _counted_before(run, (rows, columns)) or multiply_adds(model, predictor.bands.num_channels, rows, columns),
        (rows, columns),
        f"{device.type}: {name}",
        predictor.precision,
    )


def _counted_before(run: Run, size: tuple[int, int]) -> int | None:
    """Multiply-adds as an earlier evaluation told them of an input of this size: they change with nothing else in a run."""
    for path in sorted(run.root.glob("evaluation/*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # another kind of file, or none that can be read
            cost = json.loads(path.read_text(encoding="utf-8"))["cost"]
            if tuple(cost["input"]) == size and cost["multiply_adds"]:
                return int(cost["multiply_adds"])
    return None


def _short(number: int) -> str:
    """
    >>> _short(1962), _short(24_400_000), _short(31_293_702_144)
    ('1,962', '24.4 M', '31.3 G')
    """
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:,}"


def _resident_peak() -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else math.nan
