"""Threads that compute alone."""

from __future__ import annotations

import threading

import torch

from maskwright.evaluation.scan import single_threaded_pool


def _threads() -> tuple[int, str]:
    torch.ones(1 << 20).sum()  # large enough to be shared out where it may be
    return torch.get_num_threads(), threading.current_thread().name


def test_workers_compute_alone_and_nothing_else_does() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with single_threaded_pool(3) as pool:
            found = [pool.submit(_threads) for _ in range(12)]
            assert {each.result()[0] for each in found} == {1}
            assert all(each.result()[1].startswith("lone") for each in found)
            assert torch.get_num_threads() == 3
            beside: list[tuple[int, str]] = []
            thread = threading.Thread(target=lambda: beside.append(_threads()))
            thread.start()
            thread.join()
            assert beside[0][0] == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
