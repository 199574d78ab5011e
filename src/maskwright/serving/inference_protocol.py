"""Open Inference Protocol, version 2, over HTTP with JSON tensors: health, metadata, infer. Images in, labels out.

https://github.com/kserve/open-inference-protocol: of its extensions (binary tensors, several versions, a repository)
none.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request

from maskwright.prediction.threshold import calibrated
from maskwright.serving.service import Service

_MOST_VALUES = 1 << 24  # of an output: as JSON each takes some ten bytes


def add_inference_protocol(app: FastAPI, service: Service) -> None:
    """The routes under /v2."""
    network = service.network
    channels, num_classes = network.bands.num_channels, network.classes.num_classes
    outputs = {
        "labels": {"name": "labels", "datatype": "UINT8", "shape": [-1, -1, -1]},
        "probabilities": {"name": "probabilities", "datatype": "FP32", "shape": [-1, num_classes, -1, -1]},
    }

    def refuse_other(name: str) -> None:
        if name != network.name:
            raise HTTPException(404, f"the model must be the one that is served, {network.name!r}; got {name!r}.")

    @app.get("/v2", tags=["Open Inference Protocol v2"])
    async def server() -> dict[str, Any]:
        """The server's name and version."""
        return {"name": "maskwright", "version": version("maskwright"), "extensions": []}

    @app.get("/v2/health/live", tags=["Open Inference Protocol v2"])
    async def live() -> dict[str, bool]:
        """Whether the server answers."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["Open Inference Protocol v2"])
    async def ready() -> dict[str, bool]:
        """Whether the model is loaded, which it is before the server answers."""
        return {"ready": True}

    @app.get("/v2/models/{name}", tags=["Open Inference Protocol v2"])
    async def metadata(name: str) -> dict[str, Any]:
        """The model's tensors; its classes under `parameters`."""
        refuse_other(name)
        images = {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, channels]}
        return {"name": name, "versions": [], "platform": "maskwright", "inputs": [images],
                "outputs": [*outputs.values()], "parameters": {"classes": list(network.classes.names)}}  # fmt: skip

    @app.get("/v2/models/{name}/ready", tags=["Open Inference Protocol v2"])
    async def model_ready(name: str) -> dict[str, Any]:
        """Whether the model is loaded."""
        refuse_other(name)
        return {"name": name, "ready": True}

    @app.post("/v2/models/{name}/infer", tags=["Open Inference Protocol v2"], openapi_extra=_BODY)
    async def infer(name: str, request: Request) -> dict[str, Any]:
        """Labels (and probabilities, where they are asked for) of images N H W C."""
        refuse_other(name)
        async with service.in_hand() as deadline:
            body = await service.read_body(request, deadline)
            return await service.call(lambda: _infer(service, body, outputs, deadline))


def _infer(service: Service, body: bytes, outputs: dict[str, Any], deadline: float) -> dict[str, Any]:
    network, asked = service.network, read_object(body)
    images = _images(asked, network.bands.num_channels)
    service.refuse_pixels(*images.shape[:3])
    wishes = asked.get("outputs") or [{"name": "labels"}]
    names = [
        str(one.get("name")) if isinstance(one, dict) else ""
        for one in (wishes if isinstance(wishes, list) else [None])
    ]
    if not {*names} <= {*outputs}:
        raise HTTPException(422, f"`outputs` must name labels or probabilities; got {str(names)[:200]}.")
    most = max(names, key=lambda name: name == "probabilities")
    if math.prod(images.shape[:3]) * (network.classes.num_classes if most == "probabilities" else 1) > _MOST_VALUES:
        fix = "Send fewer or smaller images, or ask for labels at /predict."
        raise HTTPException(413, f"an output must have at most {_MOST_VALUES:,} values; {most} would have more. {fix}")
    if most == "probabilities":
        own = [service.predict(image, deadline) for image in images]
        found = {"labels": [service.labels_of(planes) for planes in own],
                 "probabilities": [calibrated(planes, network.temperature) for planes in own]}  # fmt: skip
    else:
        found = {"labels": [service.labels(image, None, deadline) for image in images]}
    answers = [{"name": name, "datatype": outputs[name]["datatype"], "shape": [len(images), *found[name][0].shape],
             "data": np.stack(found[name]).ravel().tolist()} for name in dict.fromkeys(names)]  # fmt: skip
    answer = {"model_name": network.name, "outputs": answers}
    return answer | ({"id": asked["id"]} if isinstance(asked.get("id"), str) else {})


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"the body must be JSON; {str(error)[:200]}.") from None
    if not isinstance(document, dict):
        raise HTTPException(422, f"the body must be a JSON object; it is a {type(document).__name__}.")
    return document


def _images(asked: dict[str, Any], channels: int) -> np.ndarray:
    """The one input, its data flat or nested. → N H W C uint8"""
    must = (
        f"`inputs` must be one tensor `images` of UINT8 with a shape of [N, H, W, {channels}] and as many values from "
        "0 to 255"
    )
    inputs = asked.get("inputs")
    tensor = inputs[0] if isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict) else {}
    shape = tensor.get("shape")
    shape = shape if isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape) else []
    if len(shape) != 4 or tensor.get("name") != "images" or tensor.get("datatype") != "UINT8" or shape[3] != channels:
        got = {key: tensor.get(key) for key in ("name", "datatype", "shape")} if tensor else "none, or several"
        raise HTTPException(422, f"{must}; got {str(got)[:200]}.")
    try:
        data = np.asarray(tensor.get("data"))
    except ValueError:
        raise HTTPException(422, f"{must}; its data are rows of different lengths.") from None
    if data.dtype.kind not in "iu" or data.size != math.prod(shape) or data.min() < 0 or data.max() > 255:
        raise HTTPException(422, f"{must}; its data are {data.size:,} of {data.dtype}, or reach beyond.")
    return data.astype(np.uint8).reshape(shape)


_TENSOR = {"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
    "name": {"const": "images"}, "shape": {"type": "array", "items": {"type": "integer"}},
    "datatype": {"const": "UINT8"}, "data": {"type": "array"}}}  # fmt: skip
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {
    "type": "object", "required": ["inputs"], "properties": {
        "id": {"type": "string"}, "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array",
                    "items": {"type": "object", "properties": {"name": {"enum": ["labels", "probabilities"]}}}},
    }}}}}}  # fmt: skip
