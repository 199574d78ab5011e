"""Steps of `train --budget 40s`, and the time it keeps, beside a program that takes a core and beside another training.

Beside a program also with all threads throughout, which is what the choice of threads is worth.

python benchmarks/beside.py [ROUNDS]
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import Figure, made, publish

SECONDS = 40
TRAIN = ["train", "--budget", f"{SECONDS}s"]
ALL_THREADS = """
import maskwright.cli, maskwright.training.threads as threads
threads.SpareCores.threads = lambda self: None
maskwright.cli.main()
"""


def main(rounds: int = 2) -> bool:
    root = made("landcover", 60, 512, 512)
    fixed = "beside a program, all threads"
    steps: dict[str, list[int]] = {"alone": [], "beside a program": [], fixed: [], "beside a training": []}
    off: list[float] = []
    for _ in range(rounds):
        for side, found in steps.items():
            busy = side in ("beside a program", fixed)
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            how = ["-c", ALL_THREADS] if side == fixed else ["-m", "maskwright"]
            try:
                for count, seconds in _train(how, root, 2 if side == "beside a training" else 1):
                    print(f"  {side}: {count} steps in {seconds:.1f} s", flush=True)
                    found.append(count)
                    if side != fixed:
                        off.append(abs(seconds / SECONDS - 1))
            finally:
                if other:
                    other.kill()
                    other.wait()
    shutil.rmtree(root.parent)
    alone = statistics.mean(steps.pop("alone"))
    worth = statistics.mean(steps["beside a program"]) / statistics.mean(steps.pop(fixed))
    figures = [Figure("steps beside a program / with all threads", worth, ">= 1.5", worth >= 1.5, {})]
    for side, found in steps.items():
        share = statistics.mean(found) / alone
        detail: dict[str, object] = {"alone_steps": alone, "steps": statistics.mean(found)}
        figures.append(Figure(f"steps {side} / alone", share, ">= 0.4", share >= 0.4, detail))
    figures.append(Figure("largest error of the time", max(off), "<= 0.05", max(off) <= 0.05, {}))
    return publish("beside", figures)


def _train(how: list[str], root: Path, programs: int) -> list[tuple[int, float]]:
    """Steps and seconds of each of so many trainings at once."""
    began = time.perf_counter()
    running = {
        root.parent / f"run-{number}": subprocess.Popen(
            [sys.executable, *how, *TRAIN, "--data", root, "--out", root.parent / f"run-{number}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(programs)
    }
    seconds: dict[Path, float] = {}
    while len(seconds) < programs:
        time.sleep(0.05)
        seconds |= {
            out: time.perf_counter() - began
            for out, one in running.items()
            if out not in seconds and one.poll() is not None
        }
    found = [(json.loads((out / "pace.json").read_text())[-1]["step"], seconds[out]) for out in running]
    for out in running:
        shutil.rmtree(out)
    return found


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if sys.argv[1:] else 2) else 1)
