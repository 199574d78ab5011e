"""What the benchmarks share: medians, subprocesses with peak memory, results as JSON and a table.

Every figure is a ratio within one run on one machine: sides are interleaved (A B A B), warm-up is
left out, and the median is quoted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WITH_BYTECODE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
REAL_DATA = Path(os.environ.get("MASKWRIGHT_REAL_DATA", "../shared/data"))


@dataclass(frozen=True)
class Figure:
    """One figure with what it is measured against and what must hold."""

    name: str
    value: float
    target: str
    holds: bool
    detail: dict[str, object]


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each call, the first left out."""
    work()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found


def interleaved(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side, called in turns."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():
        work()
    for _ in range(repeats):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            found[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in found.items()}


def part(script: str, *arguments: str) -> dict[str, float]:
    """Run one side in a process of its own; it prints a JSON object, to which its peak memory is added."""
    probe = (
        "import json, os, resource, runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, "
        "os.path.dirname(sys.argv[0]));runpy.run_path(sys.argv[0], run_name='__main__');print(json.dumps({'peak_gib': "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, script, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    merged: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            merged.update(json.loads(line))
    return merged


def made(kind: str, count: int, height: int, width: int) -> Path:
    """A procedural data set in a folder of its own."""
    from maskwright.data.synthetic import make

    root = Path(tempfile.mkdtemp(prefix="maskwright-bench-")) / kind
    make(kind, root, count, (height, width))
    return root


def publish(name: str, figures: Sequence[Figure]) -> bool:
    """Print a table, write results/NAME.json, and say whether all targets hold."""
    RESULTS.mkdir(exist_ok=True)
    document = {"benchmark": name, "figures": [asdict(figure) for figure in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    for figure in figures:
        told = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in figure.detail.items()
        )
        print(
            f"{'ok  ' if figure.holds else 'MISS'} {figure.name}: {figure.value:.3f} (target {figure.target}); {told}",
            flush=True,
        )
    return all(figure.holds for figure in figures)
