"""`maskwright --help` beside `python -c pass`: at most 120 ms more; and what commands that use torch save.

They import without looking for garbage on the way (`quick_imports`) and without what others ask for and nothing here
uses (`deferred`), and end without a last look (`gc.freeze`).

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common import WITH_BYTECODE, Figure, interleaved, publish

IMPORTS = "import maskwright.training.fit"
ALL = "import contextlib; from maskwright import runtime; runtime.deferred = lambda *_: contextlib.nullcontext()"
PREDICTS = "from maskwright import runtime; runtime.ensure_timm()"
QUICK = f"""
from maskwright.runtime import quick_imports
with quick_imports():
    {IMPORTS}
"""
FREEZE = "import gc; gc.freeze()"


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
    detail: dict[str, object] = {"help_ms": 1000 * times["help"], "python_ms": 1000 * times["python"]}
    figures = [Figure("help above python, ms", extra, "<= 120", extra <= 120, detail)]

    def ran(*lines: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", "\n".join(lines)], env=WITH_BYTECODE, check=True)

    sides = {"plain": ran(IMPORTS), "frozen": ran(IMPORTS, FREEZE), "frozen, quick imports": ran(QUICK, FREEZE)}
    took = interleaved(sides, repeats=5)
    share = took["frozen, quick imports"] / took["plain"]
    figures.append(Figure("torch's family, frozen, quick imports / plain", share, "<= 0.9", share <= 0.9, {**took}))
    for what, imports in (("training", QUICK), ("prediction", PREDICTS)):
        took = interleaved({"deferred": ran(imports, FREEZE), "all": ran(ALL, imports, FREEZE)}, repeats=5)
        share = took["deferred"] / took["all"]
        figures.append(Figure(f"{what}'s imports, deferred / all", share, "<= 0.9", share <= 0.9, {**took}))
    return publish("startup", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
