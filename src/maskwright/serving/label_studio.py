"""Label Studio's ML backend protocol under /label-studio: brush labels for the images of its tasks.

Images are fetched from the Label Studio that LABEL_STUDIO_URL names, with the key in LABEL_STUDIO_API_KEY, and from
nowhere else: a server that fetches whatever address it is told opens a network to whoever may ask it.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
from fastapi import FastAPI, HTTPException, Request

from maskwright.prediction.outlines import drawn_classes, run_lengths
from maskwright.serving.inference_protocol import read_object
from maskwright.serving.service import Service

_LENGTH_BITS = 16  # of a run
_HEADER_BITS = (32, 5, 4, 4, 4, 4)


@dataclass(frozen=True)
class LabelStudio:
    """Where the images of tasks lie, and the key that opens it."""

    url: str = ""
    key: str = ""


def add_label_studio(app: FastAPI, service: Service, studio: LabelStudio) -> None:
    """The routes under /label-studio, which is the address that Label Studio is given."""
    name, names = service.network.name, service.network.classes.names

    @app.get("/label-studio/health", tags=["Label Studio"])
    async def health() -> dict[str, str]:
        """What Label Studio asks when it is connected."""
        return {"status": "UP", "model_class": "maskwright"}

    @app.post("/label-studio/setup", tags=["Label Studio"])
    async def setup(request: Request) -> dict[str, str]:
        """Told of a project and its labelling configuration; refuses one without fitting brush labels."""
        async with service.in_hand() as deadline:
            body = await service.read_body(request, deadline)
            await service.call(lambda: _brushes(read_object(body).get("schema"), names))
        return {"model_version": name}

    @app.get("/label-studio/versions", tags=["Label Studio"])
    async def versions() -> dict[str, list[str]]:
        """The one model there is."""
        return {"versions": [name]}

    @app.post("/label-studio/predict", tags=["Label Studio"])
    async def predict(request: Request) -> dict[str, Any]:
        """Brush labels of each task's image."""
        async with service.in_hand() as deadline:
            body = await service.read_body(request, deadline)
            tasks, brushes = await service.call(lambda: _read_tasks(body, names))
            results: list[dict[str, Any]] = []
            for task in tasks:  # one after another, each in the time of a request: Label Studio sends many at once
                end = max(deadline, time.monotonic() + service.limits.seconds)
                results.append(
                    await service.call(lambda task=task, end=end: _annotate(service, studio, task, brushes, end))
                )
            return {"results": results}


@dataclass(frozen=True)
class _Brushes:
    """A BrushLabels tag, the image it labels, and its labels by the number of their class."""

    tag: str
    image: str
    key: str  # of the image's address in a task's data
    labels: dict[int, str]


def _read_tasks(body: bytes, names: Sequence[str]) -> tuple[list[dict[str, Any]], _Brushes]:
    """The tasks of a request, and what draws on their images."""
    asked = read_object(body)
    tasks = asked.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise HTTPException(422, "`tasks` must be a list of Label Studio's tasks; it is missing or something else.")
    return tasks, _brushes(asked.get("label_config"), names)


def _brushes(schema: Any, names: Sequence[str]) -> _Brushes:
    """The labelling configuration's brushes: labels are names of classes that are drawn, whatever their case."""
    try:
        root = ElementTree.fromstring(str(schema or ""))
    except ElementTree.ParseError as error:
        raise HTTPException(422, f"the labelling configuration must be XML; {error}.") from None
    images = {tag.get("name"): (tag.get("value") or "").removeprefix("$") for tag in root.iter("Image")}
    drawn = drawn_classes(names)
    numbers = {names[index].casefold(): index for index in drawn}
    for tag in root.iter("BrushLabels"):
        image = tag.get("toName") or ""
        labels = [label.get("value") or "" for label in tag.iter("Label")]
        known = {numbers[label.casefold()]: label for label in labels if label.casefold() in numbers}
        if known and images.get(image):
            return _Brushes(tag.get("name") or "", image, images[image], known)
    lines = "".join(f"<Label value={quoteattr(names[index])}/>" for index in drawn)
    fix = f'Such as: <Image name="image" value="$image"/><BrushLabels name="tag" toName="image">{lines}</BrushLabels>'
    raise HTTPException(
        422, f"the labelling configuration must have BrushLabels with the model's classes; it has none. {fix}"
    )


def _annotate(
    service: Service, studio: LabelStudio, task: dict[str, Any], brushes: _Brushes, deadline: float
) -> dict[str, Any]:
    """A prediction as Label Studio keeps it."""
    data = task.get("data")
    address = data.get(brushes.key) if isinstance(data, dict) else None
    if not isinstance(address, str):
        raise HTTPException(
            422, f"task {task.get('id')} must have the address of its image under {brushes.key!r}; it has none."
        )
    pixels, valid = service.decode(_fetch(address, studio, service.limits.num_bytes, deadline))
    labels = service.labels(pixels, valid, deadline)
    height, width = labels.shape
    result = [
        {
            "id": uuid.uuid4().hex[:10], "type": "brushlabels", "from_name": brushes.tag, "to_name": brushes.image,
            "original_width": width, "original_height": height, "image_rotation": 0,
            "value": {"format": "rle", "rle": encode_rle(labels == index), "brushlabels": [name]},
        }
        for index, name in brushes.labels.items() if (labels == index).any()
    ]  # fmt: skip
    return {"result": result, "model_version": service.network.name}


def encode_rle(inside: np.ndarray) -> list[int]:
    """A mask as bytes of Label Studio's run lengths: four channels of 0 or 255, a run at a time. H W bool

    Each run is a bit that says so, two for the size of its length (always the last of four, 16 bits), length - 1,
    value; before them the number of values, bits a value - 1, and the four sizes - 1.
    """
    lengths, inner = run_lengths(inside.ravel())
    lengths = 4 * lengths
    pieces = -(-lengths // (1 << _LENGTH_BITS))
    values = np.repeat(np.where(inner, 255, 0), pieces)
    sizes = np.full(len(values), 1 << _LENGTH_BITS)
    sizes[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * (1 << _LENGTH_BITS)
    runs = (0b111 << (_LENGTH_BITS + 8)) | ((sizes - 1) << 8) | values
    header = [
        _bits(np.array([value]), bits)
        for value, bits in zip((4 * inside.size, 7, 2, 3, 7, 15), _HEADER_BITS, strict=True)
    ]
    return np.packbits(np.concatenate([*header, _bits(runs, 3 + _LENGTH_BITS + 8)])).tolist()


def _bits(values: np.ndarray, count: int) -> np.ndarray:
    """The last bits of each number, highest first."""
    return (values[:, np.newaxis] >> np.arange(count - 1, -1, -1) & 1).astype(np.uint8).ravel()


class _Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the key would be sent along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request follows."""


def _fetch(address: str, studio: LabelStudio, most: int, deadline: float) -> bytes:
    """The file of a task's image."""
    if address.startswith("data:"):
        try:
            return base64.b64decode(address.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise HTTPException(422, f"an image in a task must be Base64; {error}.") from None
    base = studio.url.rstrip("/") + "/"
    url = urljoin(base, address)
    if not studio.url or _origin(url) != _origin(base):
        fix = "Upload images to it, and start the server with LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY set."
        raise HTTPException(
            422, f"images must lie in the Label Studio of LABEL_STUDIO_URL; {address[:200]!r} does not. {fix}"
        )
    try:
        request = urllib.request.Request(url, headers={"Authorization": _authorization(base, studio.key, deadline)})
        with urllib.request.build_opener(_Stay).open(request, timeout=_left(deadline)) as answer:
            found = answer.read(most + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            raise TimeoutError from None
        raise HTTPException(422, f"Label Studio must give {url}; got: {error}. Check LABEL_STUDIO_API_KEY.") from None
    if len(found) > most:
        raise HTTPException(413, f"an image must have at most {most:,} bytes; {url} has more.")
    return found


def _authorization(base: str, key: str, deadline: float) -> str:
    """A personal access token (a JWT) is exchanged for one of a few minutes; a legacy token is sent as it is."""
    if key.count(".") != 2:
        return f"Token {key}"
    body = json.dumps({"refresh": key}).encode()
    request = urllib.request.Request(urljoin(base, "api/token/refresh/"), body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(_Stay).open(request, timeout=_left(deadline)) as answer:
        found = json.load(answer)
    access = found.get("access") if isinstance(found, dict) else None
    if not isinstance(access, str):
        raise ValueError("no access token")
    return f"Bearer {access}"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()
