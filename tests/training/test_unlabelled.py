"""Images in which nothing is labelled: they are trained and validated on without a trace in any number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support import TINY, columns, maskwright, picture

NOTHING = 7


def images(root: Path, blank: str) -> Path:
    """Four to train on, two to validate on, and one in the split `blank` that is ignored throughout."""
    rng = np.random.default_rng(0)
    lines = ["image,mask,split"]
    for index, split in enumerate(["train"] * 4 + ["val"] * 2 + [blank]):
        mask = np.zeros((24, 32), np.uint8)
        mask[4 : 10 + index, 5:20] = 1
        mask[:2] = NOTHING
        if index == 6:
            mask[:] = NOTHING
        picture(
            root / "images" / f"{index}.png",
            (rng.integers(0, 90, (24, 32, 3)) + 90 * (mask == 1)[..., None]).astype(np.uint8),
        )
        picture(root / "masks" / f"{index}.png", mask)
        lines.append(f"images/{index}.png,masks/{index}.png,{split}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_validation_image_without_labels_changes_no_score(tmp_path: Path) -> None:
    """Its loss would be nothing, and the mean smaller for it."""
    runs = []
    for blank in ("test", "val"):
        run = tmp_path / f"run-{blank}"
        words = ("--data.ignore_index", NOTHING, "--loss", "ce", "--epochs", 2, "--log", "csv", "--out", run)
        outcome = maskwright("train", "--data", images(tmp_path / blank, blank), *TINY, *words)
        assert outcome.code == 0, outcome.err
        runs.append(run)
    assert columns(runs[0]) == columns(runs[1])
    losses = [maskwright("evaluate", run, "--split", "val", "--json").json["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0] > 0
