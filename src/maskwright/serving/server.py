"""The HTTP server: its routes, and its life from the first request to SIGTERM."""

from __future__ import annotations

import contextlib
import html
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from maskwright.errors import UsageError, as_typed
from maskwright.prediction.network import Network
from maskwright.serving.access import Access
from maskwright.serving.formats import FORMATS, wanted_format
from maskwright.serving.inference_protocol import add_inference_protocol
from maskwright.serving.label_studio import LabelStudio, add_label_studio
from maskwright.serving.metrics import Measured, Metrics
from maskwright.serving.service import Limits, Service

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The labels.", "content": {kind: {} for kind in FORMATS}},
    **{status: {"description": message} for status, message in {
        406: "Accept names no format there is.", 413: "Too many bytes or pixels.", 415: "No image file.",
        422: "An image that cannot be read, or is of another kind than the model's.", 503: "Too many requests in hand.",
        504: "Not ready in time."}.items()},
}  # fmt: skip
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _IMAGE, "image/*": _IMAGE}}}


@dataclass(frozen=True)
class Settings:
    """How a server is reached, and what it takes."""

    limits: Limits = field(default_factory=Limits)
    hosts: Collection[str] = ()  # further names in Host headers
    token: str = ""  # none is asked for where it is empty
    label_studio: LabelStudio = field(default_factory=LabelStudio)


def create_app(network: Network, settings: Settings) -> FastAPI:
    """The application of a network; its threads end with it.

    >>> app = create_app(open_network("runs/first"), Settings())  # doctest: +SKIP
    """
    metrics = Metrics()
    service = Service(network, settings.limits, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    about = f"Classes: {', '.join(network.classes.names)}"
    app = FastAPI(
        title=f"maskwright: {network.name}", description=about, docs_url=None, redoc_url=None, lifespan=lifespan
    )

    @app.post("/predict", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
    async def predict(request: Request) -> Response:
        """The labels of an image file: an indexed PNG, regions as GeoJSON in pixels, or COCO run lengths, by Accept."""
        kind = wanted_format(request.headers.get("accept", ""))
        async with service.in_hand() as deadline:
            body = await service.read_body(request, deadline)
            content = await service.call(lambda: _predict(service, body, kind, deadline))
        return Response(content, media_type=kind)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "UP", "model": network.name}

    @app.get("/metrics", response_class=Response)
    async def exposition() -> Response:
        """Counters and histograms for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The routes as a page, without a script or anything from elsewhere."""
        return HTMLResponse(_page(app.openapi()))

    add_inference_protocol(app, service)
    add_label_studio(app, service, settings.label_studio)
    app.add_exception_handler(HTTPException, _told)
    app.add_middleware(Access, hosts=settings.hosts, token=settings.token)
    app.add_middleware(Measured, metrics=metrics)
    return app


def _predict(service: Service, body: bytes, kind: str, deadline: float) -> bytes:
    return FORMATS[kind](service.labels(*service.decode(body), deadline), service.network.classes.names)


async def _told(request: Request, error: Exception) -> JSONResponse:
    """Every refusal is a sentence under `error`."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _page(schema: dict[str, Any]) -> str:
    """OpenAPI for people: each route with what it does and answers."""
    rows = [
        f"<dt><code>{method.upper()} {html.escape(path)}</code></dt><dd>{html.escape(route.get('description', ''))} "
        f"<small>{html.escape(', '.join(route['responses']))}</small></dd>"
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
    ]
    title, about = html.escape(schema["info"]["title"]), html.escape(schema["info"]["description"])
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}'
        "</title><style>body{font:16px/1.5 system-ui;max-width:46em;margin:2em auto;padding:0 1em;color-scheme:light "
        f"dark}}dt{{margin-top:1em}}</style><h1>{title}</h1><p>{about}</p><p><code>curl --data-binary @photo.jpg "
        "URL/predict"
        f' -o mask.png</code></p><p><a href="openapi.json">openapi.json</a></p><dl>{"".join(rows)}</dl></html>'
    )


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on, or the sentence why there is none."""
    try:
        opened = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        asked = as_typed("--host", host, "--port", str(port))
        raise UsageError(f"`{asked}` must be free to serve on; {reason}. Choose another --port.") from None
    # of its connections; asyncio does so for its own alone
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def run_server(app: FastAPI, opened: socket.socket, seconds: float, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, and then finish what is in hand."""
    # uvicorn raises it anew when it has ended: 0 is its exit code
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=int(seconds) + 5)
    server = uvicorn.Server(config)
    app.state.stops = lambda: server.should_exit  # for answers that would go on for ever
    try:
        ready()
        server.run(sockets=[opened])
    finally:
        signal.signal(signal.SIGTERM, before)
        opened.close()
