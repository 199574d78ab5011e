"""As many threads as other programs leave cores for."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from maskwright.runs import Run
from maskwright.training.pace import FILE, Pace, Stretch, read_stretches, write_stretches
from maskwright.training.threads import ComputeThreads, SpareCores, spent_so_far
from support import TINY, columns, data, finished, maskwright


@pytest.fixture
def eight_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def spare(looks: list[tuple[float, float, float] | None], num_cores: int = 8) -> SpareCores:
    """Cores that are looked at by these figures: the clock, what all programs took and what this one did."""
    coming = iter([(0.0, 0.0, 0.0), *looks])
    cores = SpareCores(lambda: next(coming))
    cores.num_cores = num_cores
    return cores


def test_a_thread_fewer_for_each_core_that_others_take(eight_threads):
    cores = spare([(1, 8, 7), (2, 16, 12), (3, 24, 17.2), (4, 32, 25), (5, 40, 33)])
    # others took 1, 3, 2.8, 0.2 and 0 cores: a change of less than half a core is none
    assert [cores.threads() for _ in range(5)] == [7, 5, 5, None, None]


def test_never_more_threads_than_there_were_nor_fewer_than_one(eight_threads):
    assert spare([(1, 1, 0)], num_cores=64).threads() is None
    assert spare([(1, 2, 0)], num_cores=2).threads() == 1


def test_half_the_cores_are_kept_beside_a_program_of_many_threads(eight_threads):
    cores = spare([(1, 8, 4), (2, 16, 7), (3, 24, 9)])
    assert [cores.threads() for _ in range(3)] == [4, 4, 4]


def test_what_is_seen_of_a_moment_or_not_at_all_changes_nothing(eight_threads):
    assert spare([(0.1, 0.8, 0.0)]).threads() is None
    assert spare([None]).threads() is None
    assert spare([(1, 8, -3.0)]).threads() is None  # a worker that ended
    assert SpareCores(lambda: None).threads() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system does not tell")
def test_the_system_tells_what_this_program_takes_and_what_another():
    def taken() -> tuple[float, float]:
        before = spent_so_far()
        ends = time.perf_counter() + 1.0
        while time.perf_counter() < ends:
            pass
        after = spent_so_far()
        assert before and after
        return after[1] - before[1], after[2] - before[2]

    own = taken()[1]
    assert 0.05 < own < 1.5
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        everything, own = taken()
    finally:
        other.kill()
        other.wait()
    assert everything > own + 0.1


def test_each_step_computes_with_the_threads_of_its_stretch_and_what_follows_with_all(eight_threads, tmp_path):
    stretches = [Stretch(0, 0, 4, 0, 4, True, 0.0, 0.5, 0.0), Stretch(0, 4, 2, 16, 4, True, 0.5, 0.8, 1.0, threads=7),
                 Stretch(0, 6, 2, 24, 4, True, 0.8, 1.0, 2.0, threads=12)]  # fmt: skip
    write_stretches(Run(tmp_path), stretches)
    assert (tmp_path / FILE).read_text().count("threads") == 2 and read_stretches(Run(tmp_path)) == stretches
    said: list[str] = []
    callback = ComputeThreads(Pace(10, 0, 0.7, {}, kept=stretches), said.append)
    found = []
    for step in range(8):
        callback.on_train_batch_start(SimpleNamespace(global_step=step), None, None, 0)  # type: ignore[arg-type]
        found.append(torch.get_num_threads())
    assert found == [8, 8, 8, 8, 7, 7, 8, 8] and len(said) == 1 and "7 of 8" in said[0]
    callback.on_train_batch_start(SimpleNamespace(global_step=4), None, None, 0)  # type: ignore[arg-type]
    callback.teardown(None, None, "fit")  # type: ignore[arg-type]
    assert torch.get_num_threads() == 8
    callback.on_train_batch_start(SimpleNamespace(global_step=4), None, None, 0)  # type: ignore[arg-type]
    callback.on_exception(None, None, KeyboardInterrupt())  # type: ignore[arg-type]
    assert torch.get_num_threads() == 8


def test_a_pace_asks_for_threads_with_each_stretch():
    coming = iter([None, 1, 1, None, 1])
    portions = {False: SimpleNamespace(batch=4, pixels=4), True: SimpleNamespace(batch=8, pixels=4)}
    pace = Pace(100.0, 0.0, 0.7, portions, clock=lambda: 0.0, threads=lambda: next(coming))  # type: ignore[arg-type]
    pace.begin_epoch()
    for _ in range(3):
        stretch = pace.next()
        assert stretch
    assert [one.threads for one in pace.stretches] == [None, 1, 1]
    assert pace.threads_at(pace.stretches[1].step) == 1 and pace.threads_at(0) is None


def test_a_training_whose_threads_change_is_replayed_to_the_same_bits(tmp_path, monkeypatch):
    """The machine's load is a fake, which changes at each look; what it changes is the real training's."""
    finished()  # everything is imported
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    looks, given = itertools.cycle([None, 1]), []
    set_threads = torch.set_num_threads
    monkeypatch.setattr("torch.set_num_threads", lambda number: (given.append(number), set_threads(number)))
    monkeypatch.setattr("maskwright.training.build.SpareCores", lambda: SimpleNamespace(threads=lambda: next(looks)))
    root = tmp_path / "run"
    try:
        assert maskwright("train", "--data", data(), *TINY, "--budget", "4s", "--out", root).code == 0
        stretches = read_stretches(Run(root))
        assert {one.threads for one in stretches} == {None, 1} and 1 in given and torch.get_num_threads() == 2
        first, weights, scores = list(given), (root / "model.safetensors").read_bytes(), columns(root)
        (root / "model.safetensors").unlink()
        shutil.rmtree(root / "checkpoints")
        given.clear()
        monkeypatch.setattr("maskwright.training.build.SpareCores", lambda: SimpleNamespace(threads=lambda: None))
        assert maskwright("train", "--resume", root).code == 0
        assert given == first and read_stretches(Run(root)) == stretches
        assert (root / "model.safetensors").read_bytes() == weights and columns(root) == scores
    finally:
        set_threads(before)
