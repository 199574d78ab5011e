"""What the app answers about runs: every number is the library's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from app_pages import client_of, first_image, grey, png, served, wait_for
from PIL import Image

from maskwright.metrics.counts import Counts, confusion
from maskwright.prediction import Predictor
from maskwright.runs import Run
from support import TINY, data, environment, finished, maskwright, noise, picture


def test_meta_and_the_list_of_runs(page, runs):
    meta = page.get("/api/meta").json()
    assert (meta["runs_dir"], meta["data"], meta["datasets"]) == (str(runs), str(data()), [str(data())])
    (row,) = page.get("/api/runs").json()
    score = json.loads((runs / "first/evaluation/test.json").read_text())["metrics"]["iou"]
    assert (row["id"], row["status"], row["metric"], row["score"], row["epoch"]) == (
        "first",
        "finished",
        "test_iou",
        score,
        4,
    )
    assert row["sparkline"] == [epoch["val_iou"] for epoch in Run.open(runs / "first").history]
    assert page.get("/api/models").json() == [
        {"id": "first", "name": "first", "kind": "run", "classes": row_classes(page)}
    ]  # fmt: skip


def row_classes(page) -> list[str]:
    return [one["name"] for one in page.get("/api/runs/first").json()["classes"]]


def test_a_runs_page_has_what_the_files_hold(page, runs):
    found, run = page.get("/api/runs/first").json(), Run.open(runs / "first")
    scored = run.evaluation("test")
    assert found["history"]["train_loss"] == [row["train_loss"] for row in run.history]
    assert found["scores"]["test"]["iou"] == scored["metrics"]["iou"]
    assert found["scores"]["test"]["intervals"]["iou"] == scored["intervals"]["iou"]
    counts = Counts.load(run.root / "evaluation/test-counts.npz")
    assert found["confusion"]["test"]["counts"] == counts.total().tolist()
    assert found["diagnosis"] and {"severity", "title", "text", "advice"} == found["diagnosis"][0].keys()
    assert found["threshold"] == {"own": 0.5, "tuned": None}
    assert found["splits"] == {"train": 4, "val": 2, "test": 2}
    assert found["config"] == (run.root / "config.yaml").read_text() and found["lines"]


def test_images_are_listed_worst_first_and_filtered(page, runs):
    found = page.get("/api/runs/first/images", params={"split": "test", "sort": "worst"}).json()
    assert found["total"] == 2 and found["items"][0]["score"] <= found["items"][1]["score"]
    every = page.get("/api/runs/first/images").json()
    assert every["total"] == 8 and [one["score"] is None for one in every["items"]].count(True) == 6
    above = page.get("/api/runs/first/images", params={"split": "test", "min_score": found["items"][1]["score"]}).json()
    assert found["items"][1]["id"] in [one["id"] for one in above["items"]]
    assert page.get("/api/runs/first/images", params={"offset": 7, "limit": 5}).json()["items"] == every["items"][7:]
    area = found["items"][0]["area"]
    counts = Counts.load(runs / "first/evaluation/test-counts.npz")
    assert area == counts.matrix[counts.images.index(found["items"][0]["name"])].sum(1)[1:].sum()
    assert page.get("/api/runs/first/images", params={"split": "test", "max_area": -1}).json()["total"] == 0
    name = row_classes(page)[1]
    assert page.get("/api/runs/first/images", params={"class": name, "split": "test"}).json()["total"] == 2
    assert page.get("/api/runs/first/images", params={"class": "<b>"}).status_code == 422


def test_layers_of_an_image_are_the_librarys(page):
    id, pixels, truth = first_image()
    base = f"/api/runs/first/images/{id}"
    shown = page.get(f"{base}/pixels")
    assert (grey(shown) == pixels).all() and shown.headers["cache-control"] == "private, max-age=3600"
    assert page.get(f"{base}/pixels", headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
    assert (grey(page.get(f"{base}/truth")) == truth).all()
    predictor = Predictor.from_run(Run.open(finished()))
    assert (grey(page.get(f"{base}/prediction")) == predictor.predict(pixels).labels).all()
    assert grey(page.get(f"{base}/uncertainty")).shape == truth.shape
    assert max(grey(page.get(f"{base}/thumb")).shape[:2]) <= 256
    unscored, _, _ = first_image("train")
    assert grey(page.get(f"/api/runs/first/images/{unscored}/prediction")).shape == truth.shape
    assert page.get(f"{base}/config.yaml").status_code == 404
    assert page.get("/api/runs/first/images/99/pixels").status_code == 404


def test_the_curve_and_the_probability_equal_the_librarys_counts_at_every_threshold(page):
    id, pixels, truth = first_image()
    found = page.get(f"/api/runs/first/images/{id}/curve").json()
    steps = grey(page.get(f"/api/runs/first/images/{id}/probability"))
    predictor = Predictor.from_run(Run.open(finished()))
    logits = predictor.logits(pixels)
    assert len(found["tp"]) == 255
    for step in (1, 2, 60, 100, 126, 127, 128, 200, 253):  # a threshold of 0 or 1 the library refuses
        labels = predictor.labels(logits, step / 254)
        assert ((steps >= step) == labels).all()
        matrix = confusion(truth, labels, 2)
        assert [found[key][step] for key in ("fp", "fn", "tp")] == matrix.ravel().tolist()[1:]
    assert found["fn"][0] == 0
    assert found["tp"][254] == found["fp"][254] == 0


def test_runs_are_compared_as_the_command_line_compares(runs, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    other = folder / "nested" / "second"
    words = ["train", "--data", data(), *TINY, "--epochs", 1, "--seed", 5, "--model.width", 3, "--out", other]
    assert maskwright(*words).code == 0
    with client_of(folder) as client:
        assert client.get("/api/compare", params={"runs": "first,nested~second"}).status_code == 409
        assert maskwright("evaluate", other).code == 0
        answer = client.get("/api/compare", params={"runs": "first,nested~second"})
        found = answer.json()
        assert answer.status_code == 200, found
        told = maskwright("compare", folder / "first", other, "--out", tmp_path / "compared")
        assert told.code == 0, told.err
        by_hand = json.loads((tmp_path / "compared" / "standings.json").read_text())
        for row, expected in zip(found["rows"], by_hand["rows"], strict=True):
            assert row["name"] == expected["name"]
            assert row["cells"]["iou"]["value"] == expected["metrics"]["iou"]
            assert row["cells"]["iou"]["interval"] == expected["intervals"]["iou"]
            assert row["cells"]["parameters"]["value"] == expected["cost"]["parameters"]
            assert f"{expected['metrics']['iou']:.3f}" in row["cells"]["iou"]["text"]
        assert found["sentences"] == by_hand["sentences"]
        assert {image["name"] for image in found["images"]} == set(
            Counts.load(other / "evaluation/test-counts.npz").images
        )
        (image, *_) = found["images"]
        for id, place in image["ids"].items():
            listed = client.get(f"/api/runs/{id}/images", params={"limit": 100}).json()["items"]
            assert next(one["name"] for one in listed if one["id"] == place) == image["name"]
        assert client.get("/api/compare", params={"runs": "first"}).status_code == 422


def upload(client, name: str, content: bytes, **params):
    return client.post("/api/predict", params={"model": "first", "name": name, **params}, content=content)


def done(client, job: str):
    return wait_for(
        lambda: client.get(f"/api/predict/{job}").json(), lambda found: found["state"] in ("done", "failed")
    )


def test_a_prediction_is_downloaded_as_the_command_writes_it(page, runs, tmp_path):
    image = picture(tmp_path / "photo.png", noise(45, 61))
    job = upload(page, "photo.png", image.read_bytes()).json()["job"]
    found = done(page, job)
    assert found["state"] == "done", found
    assert (found["width"], found["height"], found["progress"]) == (61, 45, 1.0)
    words = [
        "predict",
        runs / "first",
        image,
        "--out",
        tmp_path / "out",
        "--write",
        "labels,overlay,contours",
        "--uncertainty",
    ]
    assert maskwright(*words).code == 0
    for kind, end in (
        ("label.png", ".png"),
        ("overlay.jpg", "-overlay.jpg"),
        ("contours.geojson", "-contours.geojson"),
    ):
        file = f"photo{end}"
        answer = page.get(f"/api/predict/{job}/{kind}")
        assert answer.content == (tmp_path / "out" / file).read_bytes()
        assert f'filename="{file}"' in answer.headers["content-disposition"]
    labels = np.asarray(Image.open(tmp_path / "out/photo.png"))
    assert (grey(page.get(f"/api/predict/{job}/prediction")) == labels).all()
    assert found["shares"] == Predictor.from_run(Run.open(runs / "first")).predict(image).shares
    expected = np.asarray(Image.open(tmp_path / "out/photo-uncertainty.png"))
    assert (grey(page.get(f"/api/predict/{job}/uncertainty")) == expected).all()
    assert (grey(page.get(f"/api/predict/{job}/pixels")) == noise(45, 61)).all()
    low = done(page, upload(page, "photo.png", image.read_bytes(), threshold="0.01").json()["job"])
    assert list(low["shares"].values())[1] > list(found["shares"].values())[1]


def test_fifty_uploads_at_once_are_all_answered(page):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda seed: upload(page, f"{seed}.png", png(noise(32, 40, seed))), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert {done(page, answer.json()["job"])["state"] for answer in answers} == {"done"}


def test_what_is_no_image_is_told(page):
    answer = upload(page, "notes.txt", b"no image")
    assert answer.status_code == 422 and "notes.txt" in answer.json()["error"]
    assert upload(page, "x.png", b"").status_code == 422
    assert page.post("/api/predict", params={"model": "none", "name": "x"}, content=b"x").status_code == 404


def test_a_bundle_predicts_without_torch_and_the_app_starts_quickly(runs, tmp_path):
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    assert maskwright("export", folder / "first", "--format", "onnx", "--out", folder / "exported").code == 0
    image = picture(tmp_path / "photo.png", noise(45, 61))
    script = f"""
import sys, time
from starlette.testclient import TestClient
from maskwright.app.server import create_app
from pathlib import Path
with TestClient(create_app(Path({str(folder)!r}), Path({str(data())!r})), base_url="http://127.0.0.1") as client:
    assert client.get("/api/runs").status_code == 200
    print(time.process_time())
    image = "/api/runs/first/images/7"
    for path in ("/api/meta", "/api/models", "/api/runs/first", "/api/runs/first/images", image + "/thumb",
                 image + "/truth", image + "/prediction", "/api/data", "/api/data/images",
                 "/api/data/images/0/thumb", "/api/label/images/0", "/api/label/next?model=exported"):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
    photo = Path({str(image)!r}).read_bytes()
    job = client.post("/api/predict?model=exported&name=photo.png", content=photo).json()["job"]
    while client.get("/api/predict/" + job).json()["state"] not in ("done", "failed"):
        time.sleep(0.02)
    assert client.get("/api/predict/" + job).json()["state"] == "done", client.get("/api/predict/" + job).json()
    assert "torch" not in sys.modules, [name for name in sys.modules if name.startswith("torch")][:3]
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 2.0, "seconds of work until the first answer"


def test_the_first_page_with_two_hundred_runs_takes_less_than_a_second(runs, tmp_path):
    large = shutil.ignore_patterns("checkpoints", "tensorboard", "*.safetensors")
    for number in range(200):
        shutil.copytree(runs / "first", tmp_path / f"run-{number}", ignore=large)
    with client_of(tmp_path) as client:
        start, used = time.perf_counter(), time.process_time()
        assert len(client.get("/api/runs").json()) == 200 and client.get("/api/meta").json()["datasets"]
        assert time.process_time() - used < 1.0, time.perf_counter() - start


def test_a_spoilt_run_stands_in_the_list_and_is_told_on_its_page(runs, tmp_path):
    shutil.copytree(runs / "first", tmp_path / "spoilt")
    (tmp_path / "spoilt/history.csv").write_text("nonsense\n1")
    shutil.copytree(runs / "first", tmp_path / "linked")
    (tmp_path / "linked/evaluation/test.json").unlink()
    (tmp_path / "linked/evaluation/test.json").symlink_to(runs / "first/evaluation/test.json")
    with client_of(tmp_path) as client:
        rows = {row["id"]: row for row in client.get("/api/runs").json()}
        assert rows["spoilt"]["status"] == "failed" and "history.csv" in rows["spoilt"]["error"]
        assert rows["linked"]["metric"] != "test_iou"  # a link that leads out of a run is not followed
        for id in ("spoilt", "linked"):
            answer = client.get(f"/api/runs/{id}")
            assert answer.status_code == 422 and answer.json()["error"]


def events_of(client, id: str):
    """The events of a run until the stream ends: (name, data)."""
    name = ""
    with client.stream("GET", f"/api/runs/{id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_a_training_begun_here_arrives_live_and_is_stopped_cleanly(tmp_path):
    """Rows and panels come while it trains; after one Ctrl-C's worth of stopping it can be gone on with."""
    (tmp_path / "runs").mkdir()
    with client_of(tmp_path / "runs", data()) as client:
        wish = {"data": str(data()), "budget": "90s", "model": "unet", "name": "live"}
        assert client.post("/api/train", json=wish).json() == {"id": "live"}
        assert client.post("/api/train", json=wish).status_code == 409
        (row,) = client.get("/api/runs").json()
        assert (row["id"], row["status"]) == ("live", "training")
        assert client.get("/api/runs/live").json()["status"] == "training"
    # the process survives the app: another finds it by its lock
    with served(tmp_path / "runs", data()) as client:
        wait_for(lambda: client.get("/api/runs/live").status_code, lambda code: code == 200)
        wait_for(
            lambda: client.get("/api/runs/live").json(),
            lambda found: found["epoch"] >= 1 and found["status"] == "training",
        )
        seen: dict[str, list] = {"history": [], "panel": [], "status": []}
        for name, value in events_of(client, "live"):
            seen[name].append(value)
            if name == "history" and value["rows"][-1]["epoch"] >= 1:
                assert client.post("/api/runs/live/stop").status_code in (200, 409)
        rows = [row for part in seen["history"] for row in part["rows"]]
        assert [row["epoch"] for row in rows[:2]] == [0, 1]
        assert seen["status"][-1]["status"] == "stopped"
        assert seen["panel"] and grey(client.get(seen["panel"][0]["url"])).ndim == 3
        assert (tmp_path / "runs/live/checkpoints/last.ckpt").is_file()
        assert client.post("/api/runs/live/stop").status_code == 409


def test_a_plan_is_told_and_a_failed_training_says_why(tmp_path, make_set):
    broken = make_set(3)
    (broken / "masks/001.png").write_bytes(b"no picture")
    (tmp_path / "runs").mkdir()
    with client_of(tmp_path / "runs", broken) as client:
        plan = client.post("/api/plan", json={"data": str(broken), "budget": "30s"}).json()
        assert not plan["ok"] and "001.png" in plan["lines"][-1]
        id = client.post("/api/train", json={"data": str(broken), "budget": "30s"}).json()["id"]
        row = wait_for(lambda: client.get("/api/runs").json()[0], lambda row: row["status"] != "training")
        assert row["id"] == id and row["status"] == "failed" and "001.png" in row["error"]
        *_, last = events_of(client, id)
        assert last[1]["status"] == "failed"
        for spoilt in ({"data": "/etc"}, {"budget": "1; rm"}, {"model": "evil.py:Net"},
                       {"model": "--trust-code"}, {"name": "../x"}, {"weights": "/etc/passwd"},
                       {"name": ".hidden"}, {"budget": None}):  # fmt: skip
            wish = {"data": str(broken), "budget": "30s", **spoilt}
            assert client.post("/api/train", json=wish).status_code in (404, 422), spoilt


def test_a_split_is_scored_from_the_page(runs, tmp_path):
    shutil.copytree(runs / "first", tmp_path / "first", ignore=shutil.ignore_patterns("evaluation"))
    with client_of(tmp_path) as client:
        assert client.get("/api/runs/first").json()["scores"] == {}
        assert client.post("/api/runs/first/evaluate", json={"split": "test"}).json() == {"started": True}
        assert client.get("/api/runs/first").json()["evaluating"] == ["test"]
        found = wait_for(lambda: client.get("/api/runs/first").json(), lambda page: not page["evaluating"])
        assert found["scores"]["test"]["iou"] == Run.open(runs / "first").evaluation("test")["metrics"]["iou"]
