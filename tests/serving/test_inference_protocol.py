"""The Open Inference Protocol's routes, as its specification words them."""

from __future__ import annotations

import numpy as np
import pytest
from served import bright, network, serving

from maskwright.serving.server import Settings
from maskwright.serving.service import Limits
from support import noise


@pytest.fixture(scope="module")
def client():
    with serving(network(), Settings(Limits(pixels=4000))) as opened:
        yield opened


def tensor(images: np.ndarray, **other) -> dict:
    return {"name": "images", "shape": list(images.shape), "datatype": "UINT8", "data": images.ravel().tolist()} | other


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert {"name", "version", "extensions"} == {*client.get("/v2").json()}
    told = client.get("/v2/models/tiny").json()
    assert {"name", "versions", "platform", "inputs", "outputs"} <= {*told}
    assert told["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert told["parameters"] == {"classes": ["sky", "sun"]}
    assert client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    assert client.get("/v2/models/other").status_code == 404


@pytest.mark.parametrize("nested", [False, True])
def test_infer_gives_labels_and_probabilities(client, nested):
    images = np.stack([noise(9, 7, seed) for seed in range(2)])
    inputs = [tensor(images, data=images.tolist()) if nested else tensor(images)]
    outputs = [{"name": "labels"}, {"name": "probabilities"}]
    answer = client.post("/v2/models/tiny/infer", json={"id": "a1", "inputs": inputs, "outputs": outputs}).json()
    assert (answer["model_name"], answer["id"]) == ("tiny", "a1")
    labels, probabilities = answer["outputs"]
    assert (labels["datatype"], labels["shape"]) == ("UINT8", [2, 9, 7])
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [2, 2, 9, 7])
    expected = bright(images)
    np.testing.assert_allclose(np.reshape(probabilities["data"], probabilities["shape"]), expected, rtol=1e-6)
    assert (np.reshape(labels["data"], labels["shape"]) == (expected[:, 1] >= 0.5)).all()


def test_labels_are_given_where_nothing_is_asked_for(client):
    (output,) = client.post("/v2/models/tiny/infer", json={"inputs": [tensor(noise(9, 7)[None])]}).json()["outputs"]
    assert output["name"] == "labels"


SMALL = noise(2, 3)[None]
WRONG: dict[str, object] = {
    "no JSON": b"{", "nested without end": b"[" * 100_000, "a list": b"[]", "no inputs": {},
    **{name: {"inputs": [tensor(SMALL, **other)]} for name, other in {
        "another name": {"name": "x"}, "floats": {"datatype": "FP32"}, "four bands": {"shape": [1, 2, 3, 4]},
        "no image": {"shape": [0, 2, 3, 3], "data": []}, "a shape of words": {"shape": "1233"},
    }.items()},
    **{f"data that are {name}": {"inputs": [tensor(SMALL, data=data)]} for name, data in {
        "negative": [-1] * 18, "beyond": [256] * 18, "huge": [10**30] * 18, "too few": [1] * 17,
        "ragged": [[1], [1, 2]], "words": ["a"] * 18,
    }.items()},
    "two inputs": {"inputs": [tensor(SMALL)] * 2},
    "another output": {"inputs": [tensor(SMALL)], "outputs": [{"name": "x"}]},
    "no output": {"inputs": [tensor(SMALL)], "outputs": ["labels"]},
    "outputs as words": {"inputs": [tensor(SMALL)], "outputs": "labels"},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_request_is_told(client, name):
    asked = WRONG[name]
    body = {"content": asked} if isinstance(asked, bytes) else {"json": asked}
    answer = client.post("/v2/models/tiny/infer", **body)
    assert answer.status_code == 422 and list(answer.json()) == ["error"], answer.text


def test_pixels_are_limited_over_all_images(client):
    answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor(np.zeros((5, 30, 30, 3), np.uint8))]})
    assert answer.status_code == 413


def test_labels_and_probabilities_come_of_one_pass():
    seen: list[int] = []

    def watched(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return bright(images)

    asked = {
        "inputs": [tensor(np.stack([noise(9, 7)] * 3))],
        "outputs": [{"name": "probabilities"}, {"name": "labels"}],
    }
    with serving(network(watched)) as client:
        found = client.post("/v2/models/tiny/infer", json=asked).json()["outputs"]
    assert [output["name"] for output in found] == ["probabilities", "labels"] and sum(seen) == 3
