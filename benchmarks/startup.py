"""`maskwright --help` beside `python -c pass`: at most 120 ms more.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common import WITH_BYTECODE, Figure, interleaved, publish


def main() -> bool:
    command = Path(sys.executable).with_name("maskwright")
    quiet = subprocess.DEVNULL
    times = interleaved(
        {
            "help": lambda: subprocess.run([command, "--help"], env=WITH_BYTECODE, stdout=quiet, check=True),
            "python": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        },
        repeats=15,
    )
    extra = 1000 * (times["help"] - times["python"])
    detail = {"help_ms": 1000 * times["help"], "python_ms": 1000 * times["python"]}
    return publish("startup", [Figure("help above python, ms", extra, "<= 120", extra <= 120, detail)])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
