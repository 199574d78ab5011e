"""Requests that come together are predicted together, and none waits for, or fails with, another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maskwright.serving.batching import Batcher


class Network:
    """Gives each image's first channel back, and remembers the shapes of its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.seconds = seconds

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.shapes.append(images.shape)
        time.sleep(self.seconds)
        if (images == 255).all(axis=(1, 2, 3)).any():
            raise ValueError("white")
        return images.transpose(0, 3, 1, 2)[:, :1].astype(np.float32)


def ask(batcher: Batcher, images: list[np.ndarray], seconds: float = 30) -> list[np.ndarray | Exception]:
    """All images at once, each by a request of its own."""
    together = threading.Barrier(len(images))

    def one(image: np.ndarray) -> np.ndarray | Exception:
        with batcher.until(time.monotonic() + seconds) as forward:
            together.wait()
            try:
                return forward(image[None])[0, 0]
            except (ValueError, TimeoutError) as error:
                return error

    with ThreadPoolExecutor(len(images)) as pool:
        return list(pool.map(one, images))


def images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [np.full((height, width, 3), index, np.uint8) for index, (height, width) in enumerate(sizes)]


@pytest.fixture
def open_batcher():
    opened = []

    def open_one(*arguments, **options) -> Batcher:
        opened.append(Batcher(*arguments, **options))
        return opened[-1]

    yield open_one
    for batcher in opened:
        batcher.close()


def test_images_of_one_size_make_one_batch_and_each_gets_its_own_result(open_batcher):
    network, sizes = Network(), []
    found = ask(open_batcher(network, window=10, observe=sizes.append), images(*[(8, 6)] * 5))
    assert network.shapes == [(5, 8, 6, 3)] and sizes == [5]
    assert [int(one.mean()) for one in found] == [0, 1, 2, 3, 4]


def test_images_of_two_sizes_make_two_batches(open_batcher):
    network = Network()
    found = ask(open_batcher(network, window=10), images((8, 6), (6, 8), (8, 6), (6, 8)))
    assert sorted(network.shapes) == [(2, 6, 8, 3), (2, 8, 6, 3)]
    assert [one.shape for one in found] == [(8, 6), (6, 8), (8, 6), (6, 8)]
    assert [int(one.mean()) for one in found] == [0, 1, 2, 3]


def test_a_batch_has_no_more_pixels_than_it_may_have(open_batcher):
    network = Network()
    ask(open_batcher(network, window=10, most_pixels=100), images(*[(8, 6)] * 5))
    assert sorted(shape[0] for shape in network.shapes) == [1, 2, 2]


def test_who_is_alone_waits_for_nobody(open_batcher):
    begin = time.monotonic()
    ask(open_batcher(Network(), window=20), images((8, 6)))
    assert time.monotonic() - begin < 10


def test_one_that_fails_alone_fails_alone(open_batcher):
    white = np.full((8, 6, 3), 255, np.uint8)
    found = ask(open_batcher(Network(), window=10), [*images((8, 6), (8, 6)), white])
    assert [int(one.mean()) for one in found[:2]] == [0, 1]
    assert isinstance(found[2], ValueError)


def test_a_deadline_ends_the_wait_and_leaves_the_network_to_others(open_batcher):
    network = Network(0.3)
    batcher = open_batcher(network, window=0, most_pixels=1)
    first = threading.Thread(target=ask, args=(batcher, images((8, 6))))
    first.start()
    while not network.shapes:
        time.sleep(0.001)
    (late,) = ask(batcher, images((4, 4)), seconds=0.05)
    first.join()
    assert isinstance(late, TimeoutError)
    (found,) = ask(batcher, images((8, 6)))
    assert found.shape == (8, 6)
    assert network.shapes == [(1, 8, 6, 3)] * 2, "what nobody waits for is not computed"
