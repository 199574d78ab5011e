"""A disk that takes no more while a run is being written: the kernel itself refuses, by a limit on the size of
files.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
import torch

from support import TINY, columns, data, disc_data, leftovers, maskwright, rows, start, wait_until

pytestmark = [
    pytest.mark.xdist_group("resume"),
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason=f"{sys.platform} cannot limit another process"),
]


def train(root: Path, out: Path, width: int) -> list[object]:
    return ["train", "--data", root, *TINY, "--train.repeats", 8, "--model.width", width, "--epochs", 12, "--out", out]


def limited(run: Path, limit: int, *words: object) -> tuple[int, str]:
    """Run a command that may write no file beyond `limit` from its second epoch on; its exit code and what it said."""
    log = run.with_name("log")
    child = start(log, *words)
    wait_until(lambda: rows(run) >= 2 and (run / "checkpoints" / "last.ckpt").is_file(), child.is_alive)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    child.join(60)
    assert child.exitcode is not None, "it goes on"
    return child.exitcode, log.read_text()


@pytest.mark.parametrize(("width", "limit"), [(8, 150_000), (2, 150_000)], ids=["checkpoint", "event file"])
def test_a_full_disk_stops_with_a_sentence_and_the_run_goes_on_later(tmp_path, width, limit):
    """A network whose checkpoints are larger than all else, and one whose event file outgrows them."""
    root = data() if width == 8 else disc_data(tmp_path / "data", [(96, 96)] * 6, ["train"] * 4 + ["val"] * 2)
    run = tmp_path / "run"
    code, said = limited(run, limit, *train(root, run, width))
    assert code == 2, said
    sentences = [line for line in said.splitlines() if line.startswith("maskwright: ")]
    assert len(sentences) == 1 and "Traceback" not in said, said
    assert "could not write" in sentences[0] and str(run) in sentences[0] and "--resume" in sentences[0]
    assert leftovers(run) == []
    for name in ("best.ckpt", "last.ckpt"):
        torch.load(run / "checkpoints" / name, weights_only=True)
    assert not (run / "model.safetensors").exists()

    assert maskwright("train", "--resume", run).code == 0
    whole = tmp_path / "whole"
    assert maskwright(*train(root, whole, width)).code == 0
    assert columns(run) == columns(whole)
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
