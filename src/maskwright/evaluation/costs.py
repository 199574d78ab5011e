"""What predicting costs: time an image, memory, and the network's size."""

from __future__ import annotations

import contextlib
import math
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.data.dataset import SPLITS
from maskwright.errors import RunError
from maskwright.evaluation.intervals import format_latency
from maskwright.models.sizing import multiply_adds
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run, processor_name

# at most so many timed passes, the last begun within so many seconds of passes; two at least
PASSES, BEGUN_WITHIN = 5, 0.5


@dataclass(frozen=True)
class PredictionCost:
    """Of one image on this machine; NaN where it could not be measured.

    Time is from pixels to labels, of one image again and again while nothing else runs in this program: the median, the
    fastest and the slowest pass. Memory is the most the device held: on a GPU what torch took, on a CPU the whole
    program
    with its libraries. Multiply-adds (None where not counted) and time are those of `input`, the rows and columns
    of that image as the network sees it.
    """

    milliseconds_an_image: float
    milliseconds_low: float
    milliseconds_high: float
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
        parts = [
            f"{format_latency(self.milliseconds_an_image, self.milliseconds_low, self.milliseconds_high)} an image"
        ]
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
            # where the system doesn't allow it the peak since the program's start is given
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    @property
    def mib(self) -> float:
        """In MiB; NaN where it isn't known."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return _resident_peak() if self.device.type == "cpu" else math.nan


def cost_of(run: Run, predictor: Predictor, pixels: np.ndarray, peak_memory_mib: float) -> PredictionCost:
    """What predicting one image costs, time measured now; H W C uint8, one that was just predicted, so that all is
    warm.

    What an earlier evaluation measured of this run, with an input of this size, is not measured again.
    """
    model, device = predictor.model, predictor.device
    rows, columns = predictor.view.inner_size(*pixels.shape[:2])
    earlier = _earlier_costs(run, (rows, columns))
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else processor_name()
        if device.type == "cpu"
        else "gpu"
    )
    where = (f"{device.type}: {name}", predictor.precision)
    latency = next((kept for cost in earlier if (kept := _latency(cost, where))), None)
    counted = next((cost["multiply_adds"] for cost in earlier if isinstance(cost.get("multiply_adds"), int)), None)
    return PredictionCost(
        *(latency or measure_latency(predictor, pixels)),
        peak_memory_mib,
        sum(parameter.numel() for parameter in model.parameters()),
        counted or multiply_adds(model, predictor.bands.num_channels, rows, columns),
        (rows, columns),
        *where,
    )


def measure_latency(predictor: Predictor, pixels: np.ndarray) -> tuple[float, float, float]:
    """Milliseconds from an image's pixels to labels: the median, the least and the most of a few passes. H W C"""
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < PASSES and sum(seconds) < BEGUN_WITHIN):
        started = time.perf_counter()
        predictor.labels(predictor.logits(pixels))  # labels are on the CPU, so the device has finished
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds), 1000 * min(seconds), 1000 * max(seconds)


def _earlier_costs(run: Run, size: tuple[int, int]) -> list[Mapping[str, Any]]:
    """The cost that earlier evaluations measured for an input of this size."""
    found = []
    for split in SPLITS:
        with contextlib.suppress(RunError):  # not evaluated, or spoilt since
            cost = run.evaluation(split).get("cost") or {}
            found += [cost] if tuple(cost.get("input", ())) == size else []
    return found


def _latency(cost: Mapping[str, Any], where: tuple[str, str]) -> tuple[float, float, float] | None:
    """The time that was measured, if on this device in this arithmetic."""
    median, low, high = (cost.get(key) for key in ("milliseconds_an_image", "milliseconds_low", "milliseconds_high"))
    if (cost.get("device"), cost.get("precision")) != where:
        return None
    return (
        (median, low, high)
        if isinstance(median, float) and isinstance(low, float) and isinstance(high, float)
        else None
    )


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
