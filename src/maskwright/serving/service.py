"""`Service`: requests in, labels out, within limits of bytes, pixels, time and number.

What cannot be done is an HTTPException whose detail is one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from fastapi import HTTPException, Request
from PIL import UnidentifiedImageError
from starlette.requests import ClientDisconnect

from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import PICTURE_FORMATS, open_picture
from maskwright.data.images import TIFF_STARTS, tiff_head
from maskwright.data.tiles import predict_whole
from maskwright.errors import DataError, is_out_of_memory, listed
from maskwright.prediction.network import Network
from maskwright.prediction.prediction import decode_pixels
from maskwright.prediction.threshold import labels_from_probabilities
from maskwright.serving.batching import Batcher
from maskwright.serving.metrics import Metrics

_NAME = Path("image")  # what messages call the image of a request
_THREADS = 8  # that decode, put tiles together and encode, beside the one that runs the network
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What one request may take, and how many are in hand at once."""

    num_bytes: int = 32 << 20
    pixels: int = 50_000_000
    seconds: float = 60.0
    requests: int = 64


class Service:
    """A network that many requests share."""

    def __init__(self, network: Network, limits: Limits, metrics: Metrics) -> None:
        self.network, self.limits, self.metrics = network, limits, metrics
        self._batcher = Batcher(network.forward, observe=metrics.batch.observe)
        self._pool = ThreadPoolExecutor(_THREADS, "maskwright-requests")
        self._in_hand = 0

    def close(self) -> None:
        """End the threads, when no request is in hand."""
        self._pool.shutdown()
        self._batcher.close()

    @contextlib.asynccontextmanager
    async def in_hand(self) -> AsyncIterator[float]:
        """A request's place among those in hand, and its deadline (of time.monotonic)."""
        if self._in_hand >= self.limits.requests:
            message = (
                f"at most {self.limits.requests} requests are taken at once, and as many are in hand. Try again in a "
                "second."
            )
            raise HTTPException(503, message, {"Retry-After": "1"})
        self._in_hand += 1
        self.metrics.in_hand.set(self._in_hand)
        try:
            yield time.monotonic() + self.limits.seconds
        finally:
            self._in_hand -= 1
            self.metrics.in_hand.set(self._in_hand)

    async def read_body(self, request: Request, deadline: float) -> bytes:
        """The body of a request, as long as it is no longer than the limit and comes in time."""
        most = self.limits.num_bytes
        message = (
            f"a request must have at most {most:,} bytes; {{}}. Send a smaller file, or start the server with "
            "--max-megabytes."
        )
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise HTTPException(413, message.format(f"this one has {int(stated):,}"))
        body = bytearray()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise HTTPException(413, message.format("this one has more"))
        except TimeoutError:
            raise HTTPException(
                408, f"a request must arrive within {self.limits.seconds:g} seconds; it did not."
            ) from None
        except ClientDisconnect:
            raise HTTPException(
                400, "the connection must stay open until the whole request is sent; it was closed."
            ) from None
        return bytes(body)

    async def call(self, function: Callable[[], T]) -> T:
        """Run what takes long in a thread, its failures as answers."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        except TimeoutError:
            seconds = self.limits.seconds
            message = (
                f"an answer must be ready within {seconds:g} seconds; it was not. Send smaller images or fewer at once."
            )
            raise HTTPException(504, message) from None
        except DataError as error:
            raise HTTPException(415 if _is_no_picture(error) else 422, _sentence(error)) from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise HTTPException(
                503, "there must be enough memory for this image; it ran out. Send a smaller one."
            ) from error

    def decode(self, data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
        """An image file as the network sees it, and where it holds data (None: everywhere). → H W C uint8, H W bool"""
        if not data:
            raise HTTPException(422, f"the body must be an image file; it is empty. {_HOW}")
        head = tiff_head(_NAME, data) if data[:4] in TIFF_STARTS else None
        if head:
            size = head.height, head.width
        else:
            with open_picture(data, _NAME) as picture:
                size = picture.height, picture.width
        self.refuse_pixels(*size)
        pixels, valid, _ = decode_pixels(data, _NAME, self.network.bands, self.network.any_depth)
        return pixels, valid

    def refuse_pixels(self, *shape: int) -> None:
        """Stop at an image larger than the limit, before it is decoded."""
        if np.prod(shape, dtype=float) > self.limits.pixels:
            got = " × ".join(map(str, shape))
            fix = (
                "Send parts of it, start the server with --max-megapixels, or use maskwright predict, which takes any "
                "size."
            )
            raise HTTPException(
                413, f"an image must have at most {self.limits.pixels:,} pixels; this one has {got}. {fix}"
            )

    def labels(self, pixels: np.ndarray, valid: np.ndarray | None, deadline: float) -> np.ndarray:
        """Class numbers, IGNORE where there are no data. H W C uint8 → H W uint8"""
        labels = self.predict(pixels, deadline, self.labels_of)
        if valid is not None:
            labels[~valid] = IGNORE
        return labels

    def labels_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Class numbers of probabilities. K h w float32 → h w uint8"""
        return labels_from_probabilities(probabilities, self.network.threshold)

    def predict(
        self, pixels: np.ndarray, deadline: float, reduce: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> np.ndarray:
        """Probabilities, or what `reduce` makes of a block of them. H W C uint8 → K H W float32"""
        with self._batcher.until(deadline) as forward:
            found = predict_whole(pixels, self.network.view, forward, reduce)
        self.metrics.pixels.inc(pixels.shape[0] * pixels.shape[1])
        return found


_HOW = "Send the file's own bytes: curl --data-binary @photo.jpg URL"


def _is_no_picture(error: DataError) -> bool:
    return isinstance(error.__cause__, UnidentifiedImageError)


def _sentence(error: DataError) -> str:
    if not _is_no_picture(error):
        return str(error)
    kinds = listed(PICTURE_FORMATS, "or", len(PICTURE_FORMATS))
    return f"the body must be an image file ({kinds}); its first bytes are of none of them. {_HOW}"
