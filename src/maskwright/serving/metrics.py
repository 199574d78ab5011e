"""What Prometheus is reported a server, in a registry of its own."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Metrics:
    """Requests by route and status, their seconds, sizes of batches, pixels, what is in hand; memory and CPU time."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        to: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("maskwright_requests", "Requests that were answered.", ["route", "status"], **to)
        self.seconds = Histogram("maskwright_request_seconds", "From a request to its answer.", ["route"], **to)
        self.batch = Histogram(
            "maskwright_batch_size", "Images the network saw at once.", buckets=(1, 2, 4, 8, 16, 32), **to
        )
        self.pixels = Counter("maskwright_pixels", "Pixels of images that were predicted.", **to)
        self.in_hand = Gauge("maskwright_requests_in_hand", "Requests that wait or are worked on.", **to)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class Measured:
    """Counts the answers of an app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # never what a client made up: each would be a series
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - begin)
