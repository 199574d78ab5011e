"""All quick benchmarks, one after another; `puzzle.py` (20 minutes a variant) is run by itself.

python benchmarks/run.py
"""

from __future__ import annotations

import sys

import augmentation
import check
import counting
import evaluating
import losses
import models
import startup
import training

if __name__ == "__main__":
    print(f"python {sys.version.split()[0]}; figures are ratios within this run\n", flush=True)
    works = (
        startup.main,
        augmentation.main,
        check.main,
        counting.main,
        evaluating.main,
        losses.main,
        models.main,
        training.main,
    )
    held = [work() for work in works]
    sys.exit(0 if all(held) else 1)
