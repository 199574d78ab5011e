"""POST /predict and what stands round it: formats, limits, access, metrics, the end."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import threading
import time
import tomllib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from pycocotools import mask as coco_mask
from served import bright, mask_of, network, png, serving, sun

from maskwright.data.dataset import IGNORE, Bands
from maskwright.data.geometry import Tiling, View
from maskwright.prediction import Predictor
from maskwright.prediction.network import open_network
from maskwright.runs import Run
from maskwright.serving.server import Settings, listen
from maskwright.serving.service import Limits
from support import finished, kill, maskwright, noise, start, wait_until


@pytest.fixture(scope="module")
def client():
    with serving(network()) as opened:
        yield opened


def test_a_runs_labels_are_those_that_predict_gives():
    predictor = Predictor.from_run(Run.open(finished()))
    with serving(open_network(finished())) as client:
        for size in ((33, 47), (7, 5), (1, 1), (90, 20)):
            image = noise(*size)
            assert (mask_of(client.post("/predict", content=png(image))) == predictor.predict(image).labels).all()


def test_an_image_larger_than_a_pass_is_predicted_in_tiles():
    shapes = []

    def watched(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return bright(images)

    image = noise(150, 200)
    view = View("crop", 64, tiling=Tiling(side=64, overlap=16, whole=64 * 64))
    with serving(network(watched, view=view)) as client:
        assert (mask_of(client.post("/predict", content=png(image))) == (bright(image[None])[0, 1] >= 0.5)).all()
    assert {shape[1:3] for shape in shapes} == {(64, 64)}


def test_the_png_has_a_palette_and_class_numbers(client):
    answer = client.post("/predict", content=png(sun()))
    assert answer.headers["content-type"] == "image/png"
    labels = mask_of(answer)
    assert labels[5:12, 8:20].all() and labels.sum() == 7 * 12


def test_geojson_is_in_pixels(client):
    answer = client.post("/predict", content=png(sun()), headers={"Accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    (feature,) = answer.json()["features"]
    assert feature["properties"]["name"] == "sun"
    assert sorted(map(tuple, feature["geometry"]["coordinates"][0][:-1])) == [(8, 5), (8, 12), (20, 5), (20, 12)]


def test_coco_run_lengths_are_read_back(client):
    answer = client.post("/predict", content=png(sun()), headers={"Accept": "application/json"})
    (annotation,) = answer.json()["annotations"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pycocotools' own arrays
        decoded = coco_mask.decode(coco_mask.frPyObjects(annotation["segmentation"], 24, 32))
    assert (decoded == mask_of(client.post("/predict", content=png(sun())))).all()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/png"),
        ("image/*;q=0.5, application/json", "application/json"),
        ("application/json;q=0.2, application/geo+json;q=0.7", "application/geo+json"),
        ("text/html, */*;q=0.1", "image/png"),
        ("text/html", None),
        ("image/png;q=0", None),
        ("application/json;q=many", None),
    ],
)
def test_accept_chooses(client, accept, kind):
    answer = client.post("/predict", content=png(sun()), headers={"Accept": accept})
    assert answer.headers["content-type"] == kind if kind else answer.status_code == 406


def test_nan_in_a_float_image_is_no_data():
    pixels = np.full((9, 8, 3), 0.9, np.float32)
    pixels[2, 3] = np.nan
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb")
    floats = network(bands=Bands((0, 1, 2), (0.0,) * 3, (1.0,) * 3), any_depth=True)
    with serving(floats) as client:
        labels = mask_of(client.post("/predict", content=buffer.getvalue()))
    assert labels[2, 3] == IGNORE and (labels == 1).sum() == 71


DAMAGED = {
    "empty": (b"", 422, "it is empty"),
    "text": (b"hello, this is no image", 415, "must be an image file"),
    "pdf": (b"%PDF-1.7\n" + bytes(200), 415, "must be an image file"),
    "truncated": (png(noise(40, 40))[:-700], 422, "whole, readable"),
    "16 bits": (png(np.full((8, 8), 40_000, np.uint16)), 422, "8-bit"),
    "a bomb": (png(np.zeros((3000, 3000), np.uint8)), 413, "must have at most 4,000 pixels"),
    "more than a head can hold": (b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
                                  + (2**30).to_bytes(4, "little") * 2 + bytes(28), 422, ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """A server of images up to 4,000 pixels."""
    with serving(network(), Settings(Limits(pixels=4000))) as opened:
        yield opened


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_predicted_is_a_sentence_and_harms_nobody(small, name):
    content, status, words = DAMAGED[name]
    answer = small.post("/predict", content=content)
    assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
    assert words in answer.json()["error"] and "Traceback" not in answer.text
    assert small.post("/predict", content=png(sun())).status_code == 200


@pytest.mark.parametrize("stated", [True, False], ids=["with Content-Length", "chunked"])
def test_too_many_bytes_are_refused_unread(stated):
    parts = [bytes(1000)] * 50
    with serving(network(), Settings(Limits(num_bytes=9_000))) as client:
        answer = client.post("/predict", content=b"".join(parts) if stated else iter(parts))
        assert answer.status_code == 413 and "at most 9,000 bytes" in answer.json()["error"]


class Gate:
    """A network that waits until it is let through."""

    def __init__(self) -> None:
        self.open, self.reached, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        self.reached.set()
        assert self.open.wait(30)
        return bright(images)


def test_more_requests_than_are_taken_are_told_to_try_again():
    gate = Gate()
    with serving(network(gate), Settings(Limits(requests=2))) as client, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(client.post, "/predict", content=png(sun())) for _ in range(2)]
        while "maskwright_requests_in_hand 2.0" not in client.get("/metrics").text:
            time.sleep(0.005)
        refused = client.post("/predict", content=png(sun()))
        gate.open.set()
        assert [answer.result().status_code for answer in taken] == [200, 200]
        assert (
            refused.status_code == 503
            and refused.headers["retry-after"] == "1"
            and "at most 2" in refused.json()["error"]
        )
        assert client.post("/predict", content=png(sun())).status_code == 200


def test_an_answer_that_is_not_ready_in_time_is_given_up():
    gate = Gate()
    with serving(network(gate), Settings(Limits(seconds=0.2))) as client:
        answer = client.post("/predict", content=png(sun()))
        gate.open.set()
        assert answer.status_code == 504 and "within 0.2 seconds" in answer.json()["error"]


def test_a_body_that_does_not_come_is_given_up():
    with serving(network(), Settings(Limits(seconds=0.2))) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
            raw.settimeout(30)
            assert raw.recv(100).startswith(b"HTTP/1.1 408")
        assert client.get("/health").status_code == 200


def test_requests_that_come_together_are_predicted_together():
    gate = Gate()
    images = [noise(24, 32, seed) for seed in range(7)]
    with serving(network(gate)) as client, ThreadPoolExecutor(7) as pool:
        first = pool.submit(client.post, "/predict", content=png(images[0]))
        assert gate.reached.wait(30)
        others = [pool.submit(client.post, "/predict", content=png(image)) for image in images[1:]]
        while "maskwright_requests_in_hand 7.0" not in client.get("/metrics").text:
            time.sleep(0.005)
        time.sleep(0.1)  # decoded, too
        gate.open.set()
        found = [answer.result() for answer in (first, *others)]
        for image, answer in zip(images, found, strict=True):
            assert (mask_of(answer) == (bright(image[None])[0, 1] >= 0.5)).all()
        assert gate.batches[0] == 1 and max(gate.batches) >= 3 and sum(gate.batches) == 7
        assert "maskwright_batch_size_sum 7.0" in client.get("/metrics").text


def test_metrics_name_routes_and_never_what_a_client_made_up(client):
    client.get("/secret-of-a-client")
    client.get("/v2/models/another-name")
    text = client.get("/metrics").text
    assert 'maskwright_requests_total{route="/predict",status="200"}' in text
    assert 'route="other",status="404"' in text and 'route="/v2/models/{name}",status="404"' in text
    assert "secret-of-a-client" not in text and "another-name" not in text
    assert "process_resident_memory_bytes" in text


def test_the_page_of_routes_needs_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    assert "POST /predict" in page and "/label-studio/predict" in page
    assert "//" not in page.replace("http://127.0.0.1", "") and "<script" not in page
    assert client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["required"]


@pytest.fixture(scope="module")
def named():
    """A server that goes by a name."""
    with serving(network(), Settings(hosts=("masks.example",))) as opened:
        yield opened


@pytest.mark.parametrize(
    ("host", "taken"),
    [("127.0.0.1:8000", True), ("localhost", True), ("[::1]:80", True), ("10.1.2.3:8000", True),
     ("masks.example", True),
     ("evil.example", False), ("localhost.evil.example", False), ("", False), ("[::1", False),
     ("a@localhost@b", False)],
)  # fmt: skip
def test_another_host_is_refused(named, host, taken):
    answer = named.get("/health", headers={"Host": host})
    assert answer.status_code == (200 if taken else 421)


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"any:{password}".encode()).decode()


@pytest.fixture(scope="module")
def guarded():
    """A server that asks for a token."""
    with serving(network(), Settings(token="a-token-of-16-letters")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        ("/metrics", "", 401), ("/v2", "", 401), ("/openapi.json", "", 401), ("/nowhere", "", 401),
        ("/v2", "Bearer wrong", 401), ("/v2", "Basic !", 401), ("/v2", _basic("wrong"), 401), ("/v2", "Bearer", 401),
        ("/v2", "Digest a-token-of-16-letters", 401), ("/v2", "Bearer \xe9", 401),
        ("/v2", "Bearer a-token-of-16-letters", 200), ("/v2", _basic("a-token-of-16-letters"), 200),
        ("/health", "", 200), ("/v2/health/live", "", 200), ("/v2/health/ready", "", 200),
    ],
)  # fmt: skip
def test_a_token_is_asked_for(guarded, path, authorization, status):
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    assert guarded.get(path, headers=headers).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_where_others_can_connect_there_must_be_a_token(host, monkeypatch):
    for token in ("", "short"):
        monkeypatch.setenv("MASKWRIGHT_TOKEN", token)
        outcome = maskwright("serve", finished(), "--host", host)
        assert outcome.code == 2 and "MASKWRIGHT_TOKEN" in outcome.sentence


def test_the_dockerfile_is_short_and_what_it_starts_is_understood(monkeypatch):
    lines = (Path(__file__).parents[2] / "Dockerfile").read_text().splitlines()
    assert len(lines) < 25
    started = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith(("ENTRYPOINT", "CMD"))]
    program, *words = [word for part in started for word in part]
    assert program == "maskwright" and words[1] == "/model"
    monkeypatch.delenv("MASKWRIGHT_TOKEN", raising=False)
    assert "MASKWRIGHT_TOKEN" in maskwright(*words).sentence  # asked for before the model is opened
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    installed = re.search(r"'\.\[(.*)\]'", "\n".join(lines))
    assert set(installed[1].split(",")) <= extras.keys()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--port", 70_000), "--port"),
        (("--timeout", 0), "--timeout"),
        (("--max-requests", -1), "--max-requests"),
        (("--mask-threshold", "2"), "--mask-threshold"),
    ],
)
def test_flags_out_of_range_are_a_sentence(words, told):
    outcome = maskwright("serve", finished(), *words)
    assert outcome.code == 2 and told in outcome.sentence


def test_a_port_that_is_taken_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = maskwright("serve", finished(), "--port", taken.getsockname()[1])
    assert outcome.code == 2 and "Choose another --port" in outcome.sentence


def test_an_answer_of_two_packets_waits_for_no_receipt():
    """asyncio asks for TCP_NODELAY on sockets of its own making alone; without it each answer takes 40 ms."""
    with listen("127.0.0.1", 0) as opened, socket.create_connection(opened.getsockname()), opened.accept()[0] as taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_server_when_what_is_in_hand_is_done(end, code, tmp_path):
    log = tmp_path / "log"
    process = start(log, "serve", finished(), "--port", "0")
    try:
        wait_until(lambda: log.exists() and " at http" in log.read_text(), process.is_alive)
        url = httpx.URL(log.read_text().split(" at ")[1].split()[0])
        body = png(noise(500, 500))
        with socket.create_connection((url.host, url.port)) as raw:
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body[:-1])
            time.sleep(0.3)
            os.kill(process.pid, end)
            time.sleep(0.3)
            raw.sendall(body[-1:])
            raw.settimeout(60)
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
        process.join(60)
        assert process.exitcode == code
        assert "Traceback" not in log.read_text()
    finally:
        kill(process)
