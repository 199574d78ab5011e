"""The data set and what is drawn in it: nothing is lost, and every set keeps its own encoding."""

from __future__ import annotations

import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from app_pages import client_of, grey, png, wait_for
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.geometry import View
from maskwright.data.opening import open_dataset
from maskwright.data.pictures import indexed_png
from support import TINY, kill, maskwright, noise, picture, start_call

HEIGHT, WIDTH = 24, 32


def labels_of(seed: int, num_classes: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num_classes, (HEIGHT, WIDTH), np.uint8)


def kept_as(kind: str, labels: np.ndarray, path: Path) -> None:
    """Write a mask in one of the encodings people have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "palette":
        path.write_bytes(indexed_png(labels, 3))
    elif kind == "0/255":
        Image.fromarray(labels * 255).save(path)
    elif kind == "1 bit":
        Image.fromarray(labels * 255).convert("1", dither=Image.Dither.NONE).save(path)
    elif kind == "numbers":
        Image.fromarray(labels).save(path)
    elif kind == "16 bits":
        Image.fromarray(labels.astype(np.uint16)).save(path)
    else:
        colours = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 255]], np.uint8)
        Image.fromarray(colours[labels]).save(path)


KINDS = {"palette": 3, "0/255": 2, "1 bit": 2, "numbers": 3, "16 bits": 3, "colours": 3}


def set_of(root: Path, kind: str, count: int = 5) -> Path:
    for index in range(count):
        picture(root / "images" / f"{index}.png", noise(HEIGHT, WIDTH, index))
        kept_as(kind, labels_of(index, KINDS[kind]), root / "masks" / f"{index}.png")
    if kind == "colours":
        (root / "dataset.yaml").write_text('classes: {sky: "#000000", roof: "#ff0000", sea: "#0080ff"}\n')
    return root


def encoding_of(path: Path) -> tuple[str, object]:
    with Image.open(path) as kept:
        return kept.mode, kept.getpalette()


def put(client, id: str, labels: np.ndarray, version: str, who: str = "Ada"):
    headers = {"If-Match": f'"{version}"', "X-Who": who}
    return client.put(f"/api/label/images/{id}/mask", content=png(labels), headers=headers)


def read_back(root: Path, index: int) -> np.ndarray:
    """A mask as training reads it."""
    opened = open_dataset(DataConfig(root=str(root), cache="ram"))
    return opened.store.get(index)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_mask_is_read_back_bit_for_bit_in_the_sets_own_encoding(kind, tmp_path):
    root = set_of(tmp_path / "set", kind)
    path = root / "masks" / "2.png"
    before, encoding = path.read_bytes(), encoding_of(path)
    drawn = labels_of(99, KINDS[kind])
    with client_of(tmp_path / "runs", root) as client:
        about = client.get("/api/label/images/2").json()
        assert (about["name"], about["width"], about["height"], len(about["classes"])) == (
            "images/2",
            WIDTH,
            HEIGHT,
            KINDS[kind],
        )
        shown = client.get("/api/label/images/2/mask")
        assert (grey(shown) == labels_of(2, KINDS[kind])).all() and shown.headers["etag"] == f'"{about["version"]}"'
        answer = put(client, "2", drawn, about["version"], "Ada <b>")
        assert answer.status_code == 200, answer.text
        assert (grey(client.get("/api/label/images/2/mask")) == drawn).all()
        after = client.get("/api/label/images/2").json()
        assert after["version"] == answer.json()["version"] != about["version"]
        changed = (drawn != labels_of(2, KINDS[kind])).sum()
        assert [(one["who"], one["what"]) for one in after["by"]] == [("Ada <b>", f"{changed} pixels changed")]
    assert (read_back(root, 2) == drawn).all()
    assert encoding_of(path) == encoding
    assert (root / ".maskwright/originals/masks/2.png").read_bytes() == before
    line = json.loads((root / ".maskwright/labels.jsonl").read_text())
    assert (line["who"], line["image"], line["version"]) == ("Ada <b>", "images/2", after["version"])
    # the original is copied aside once
    with client_of(tmp_path / "runs", root) as client:
        assert put(client, "2", labels_of(7, KINDS[kind]), after["version"]).status_code == 200
    assert (root / ".maskwright/originals/masks/2.png").read_bytes() == before
    for other in (0, 1, 3, 4):
        assert (read_back(root, other) == labels_of(other, KINDS[kind])).all()


def test_a_pixel_that_keeps_its_class_keeps_its_value(tmp_path):
    """Values from 128 up are foreground here: what nobody touched is as it was, to the bit."""
    root = set_of(tmp_path / "set", "0/255")
    raw = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    Image.fromarray(raw).save(root / "masks/1.png")
    (root / "dataset.yaml").write_text("foreground_from: 128\n")
    drawn = (raw >= 128).astype(np.uint8)
    drawn[:3] = 1
    with client_of(tmp_path / "runs", root) as client:
        assert put(client, "1", drawn, client.get("/api/label/images/1").json()["version"]).status_code == 200
    now = np.asarray(Image.open(root / "masks/1.png"))
    assert (now[3:] == raw[3:]).all() and (now[:3] == np.where(raw[:3] >= 128, raw[:3], 255)).all()


def test_ignored_pixels_need_a_value_that_stands_for_them(tmp_path):
    drawn = labels_of(1)
    drawn[0] = 255
    with client_of(tmp_path / "runs", set_of(tmp_path / "plain", "0/255")) as client:
        answer = put(client, "0", drawn, client.get("/api/label/images/0").json()["version"])
        assert answer.status_code == 422 and "ignore" in answer.json()["error"]
    root = set_of(tmp_path / "void", "numbers")
    (root / "dataset.yaml").write_text("ignore_index: 7\nclasses: [a, b, c]\n")
    with client_of(tmp_path / "runs", root) as client:
        assert put(client, "0", drawn, client.get("/api/label/images/0").json()["version"]).status_code == 200
        assert (grey(client.get("/api/label/images/0/mask")) == drawn).all()
    assert (np.asarray(Image.open(root / "masks/0.png"))[0] == 7).all()


def test_a_page_may_draw_what_is_ignored_where_a_value_stands_for_it(tmp_path):
    """Palette and class numbers have one (255), 0/255 has none; a folder that began without masks has one, too."""
    for kind, ignorable in (("palette", True), ("numbers", True), ("0/255", False)):
        root = set_of(tmp_path / kind.replace("/", "-"), kind)
        drawn, path = labels_of(1, KINDS[kind]), root / "masks/0.png"
        drawn[:3] = 255
        before = encoding_of(path)[0]
        with client_of(tmp_path / "runs", root) as client:
            about = client.get("/api/label/images/0").json()
            assert about["ignorable"] == ignorable
            if ignorable:
                answer = put(client, "0", drawn, about["version"])
                assert answer.status_code == 200, answer.text
                assert (grey(client.get("/api/label/images/0/mask")) == drawn).all()
                assert encoding_of(path)[0] == before and (np.asarray(Image.open(path)) == drawn).all()
                assert (read_back(root, 0) == drawn).all()
                assert put(client, "0", labels_of(1, KINDS[kind]), answer.json()["version"]).status_code == 200
                assert (read_back(root, 0) == labels_of(1, KINDS[kind])).all()
    photos = tmp_path / "photos"
    for index in range(6):
        picture(photos / f"{index}.png", noise(HEIGHT, WIDTH, index))
    with client_of(tmp_path / "runs", photos) as client:
        assert client.post("/api/label/classes", json={"names": ["ground", "roof"]}).status_code == 200
        for index in range(1, 6):
            assert put(client, str(index), labels_of(index), "none").status_code == 200
        version = "none"
        for seed in (1, 2):  # the second is drawn over the first
            assert client.get("/api/label/images/0").json()["ignorable"]
            drawn = labels_of(seed)
            drawn[:, :5] = 255
            answer = put(client, "0", drawn, version)
            assert answer.status_code == 200, answer.text
            version = answer.json()["version"]
            assert (grey(client.get("/api/label/images/0/mask")) == drawn).all()
    assert (read_back(photos, 0) == drawn).all()


def test_a_place_is_predicted_as_its_window_alone_is(tmp_path):
    """512 pixels as the network sees them, about the place, within the image; one seen whole is predicted whole."""
    from maskwright.app.models import window_about

    crop, whole = View("crop", 64, 0.5), View("whole", 64)
    for height, width, x, y, wanted in (
        (3000, 4000, 2000, 1500, (988, 2012, 1488, 2512)),
        (3000, 4000, 3, 2999, (1976, 3000, 0, 1024)),
        (700, 4000, 3990, 5, (0, 700, 2976, 4000)),
    ):
        rows, columns = window_about(crop, height, width, x, y)
        assert (rows.start, rows.stop, columns.start, columns.stop) == wanted
        assert window_about(whole, height, width, x, y) == (slice(0, height), slice(0, width))


def test_a_large_image_is_shown_smaller_and_in_parts_at_its_own_size(tmp_path):
    """Together the parts are the image, to the bit."""
    pixels, mask = noise(1030, 4100), np.zeros((1030, 4100), np.uint8)
    mask[5:9] = 1
    for index in range(3):
        picture(tmp_path / f"set/images/{index}.png", pixels)
        picture(tmp_path / f"set/masks/{index}.png", mask)
    with client_of(tmp_path / "runs", tmp_path / "set") as client:
        whole = client.get("/api/data/images/0/pixels")
        assert grey(whole).shape == (515 - 1, 2048, 3) and float(whole.headers["x-scale"]) == round(2048 / 4100, 6)
        at = lambda part: client.get("/api/data/images/0/pixels", params={"part": part})  # noqa: E731
        rows = [np.concatenate([grey(at(f"{x},{y}")) for x in range(5)], axis=1) for y in range(2)]
        assert (np.concatenate(rows) == pixels).all()
        for part in ("5,0", "0,2", "-1,0", "1", "a,b", "1,²", "99999,0"):
            assert at(part).status_code == 404, part


@pytest.mark.parametrize("spoil", ["size", "value", "no picture", "no version"])
def test_what_is_no_mask_of_the_image_is_refused_and_changes_nothing(spoil, tmp_path):
    root = set_of(tmp_path / "set", "numbers")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with client_of(tmp_path / "runs", root) as client:
        version = client.get("/api/label/images/0").json()["version"]
        drawn = {"size": np.zeros((3, 3), np.uint8), "value": np.full((HEIGHT, WIDTH), 9, np.uint8)}.get(
            spoil, labels_of(0)
        )
        body = b"nothing" if spoil == "no picture" else png(drawn)
        headers = {} if spoil == "no version" else {"If-Match": version}
        answer = client.put("/api/label/images/0/mask", content=body, headers=headers)
        assert answer.status_code == (428 if spoil == "no version" else 422) and answer.json()["error"]
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_two_tabs_lose_nothing(tmp_path):
    """Of two that draw on one version the second is told, and what it drew is kept."""
    root = set_of(tmp_path / "set", "numbers")
    with client_of(tmp_path / "runs", root) as client:
        version = client.get("/api/label/images/0").json()["version"]
        drawn = [labels_of(seed, 3) for seed in range(20, 28)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda labels: put(client, "0", labels, version), drawn))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        newest = grey(client.get("/api/label/images/0/mask"))
        for labels, answer in zip(drawn, answers, strict=True):
            if answer.status_code == 200:
                assert (newest == labels).all()
            else:
                found = answer.json()
                assert found["version"] == client.get("/api/label/images/0").json()["version"]
                assert (grey(client.get(f"/api/label/drafts/{found['draft']}")) == labels).all()
        assert put(client, "0", drawn[0], client.get("/api/label/images/0").json()["version"]).status_code == 200


def save_for_ever(root: str, runs: str) -> None:
    """Save one of two masks again and again, until killed."""
    with client_of(Path(runs), Path(root)) as client:
        version = client.get("/api/label/images/0").json()["version"]
        Path(runs, "began").touch()
        for seed in range(1_000_000):
            answer = put(client, "0", labels_of(seed % 2 + 50, 3), version)
            assert answer.status_code == 200, answer.text
            version = answer.json()["version"]


def test_killed_while_saving_the_mask_is_the_old_or_the_new_one(tmp_path):
    root, runs = set_of(tmp_path / "set", "numbers"), tmp_path / "runs"
    runs.mkdir()
    original = (root / "masks/0.png").read_bytes()
    either = [labels_of(50, 3), labels_of(51, 3), labels_of(0, 3)]
    rng = random.Random(0)
    for _ in range(6):
        child = start_call(save_for_ever, str(root), str(runs))
        wait_for((runs / "began").exists, bool)
        time.sleep(rng.uniform(0.0, 0.15))
        kill(child)
        (runs / "began").unlink()
        found = np.asarray(Image.open(root / "masks/0.png"))
        assert any(np.array_equal(found, one) for one in either)
    assert (root / ".maskwright/originals/masks/0.png").read_bytes() == original
    with client_of(runs, root) as client:  # nothing that was killed is in the way
        about = client.get("/api/label/images/0").json()
        assert put(client, "0", labels_of(9, 3), about["version"]).status_code == 200
        assert client.get("/api/label/images/0").json()["by"][-1]["who"] == "Ada"
    assert not [path for path in (root / "masks").iterdir() if path.name.startswith(".")]


def test_a_mask_that_leads_out_of_the_data_set_is_not_written(tmp_path):
    root = set_of(tmp_path / "set", "numbers")
    elsewhere = tmp_path / "mine.png"
    shutil.move(root / "masks/0.png", elsewhere)
    (root / "masks/0.png").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with client_of(tmp_path / "runs", root) as client:
        answer = put(client, "0", labels_of(1, 3), client.get("/api/label/images/0").json()["version"])
        assert answer.status_code == 422 and "data set" in answer.json()["error"]
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("link", [".maskwright", ".maskwright/originals", ".maskwright/labels.jsonl"])
def test_nothing_is_kept_where_a_link_of_the_data_set_leads(link, tmp_path):
    root, outside = set_of(tmp_path / "set", "numbers"), tmp_path / "outside"
    outside.touch() if link.endswith("l") else outside.mkdir()
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(outside)
    before = (root / "masks/0.png").read_bytes()
    with client_of(tmp_path / "runs", root) as client:
        assert put(client, "0", labels_of(1, 3), client.get("/api/label/images/0").json()["version"]).status_code == 422
    assert (root / "masks/0.png").read_bytes() == before
    assert outside.stat().st_size == 0 if outside.is_file() else not any(outside.iterdir())


def test_the_audit_and_the_repair_that_was_accepted(tmp_path):
    root = set_of(tmp_path / "set", "numbers")
    picture(root / "images/5.png", noise(HEIGHT, WIDTH, 5))
    picture(root / "masks/5.png", np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8))
    picture(root / "images/6.png", noise(HEIGHT, WIDTH, 0))
    kept_as("numbers", labels_of(0, 3), root / "masks/6.png")
    (tmp_path / "runs").mkdir()
    with client_of(tmp_path / "runs", root) as client:
        found = wait_for(lambda: client.get("/api/data").json(), lambda page: page["checking"] is None)
        told = json.loads(maskwright("check", root, "--json").out)
        assert [(one["code"], one["severity"], one["text"]) for one in found["findings"]] == [
            (one["code"], one["severity"], one["evidence"]) for one in told["findings"]
        ]
        assert [one["share"] for one in found["classes"]] == pytest.approx(
            [one["share"] for one in told["classes"]], abs=1e-6
        )
        sizes = next(one for one in found["findings"] if one["code"] == "size-mismatch")
        assert sizes["images"] == ["5"] and sizes["repair"]["id"] == sizes["id"]
        listed = client.get("/api/data/images", params={"finding": sizes["id"]}).json()
        assert [one["id"] for one in listed["items"]] == ["5"]
        answer = client.post("/api/data/repair", json={"accept": [sizes["id"]], "out": "mended"})
        assert answer.status_code == 200, answer.text
        assert Path(answer.json()["path"]) == tmp_path / "mended" and answer.json()["changed"] >= 1
        assert np.asarray(Image.open(tmp_path / "mended/masks/5.png")).shape == (HEIGHT, WIDTH)
        for out in ("mended", "../x", "/tmp/x", "", ".x"):
            assert client.post("/api/data/repair", json={"accept": [sizes["id"]], "out": out}).status_code == 422
        assert client.post("/api/data/repair", json={"accept": ["99"], "out": "y"}).status_code == 422


def test_ten_thousand_images_are_listed_by_pages(tmp_path):
    content = indexed_png(np.zeros((4, 4), np.uint8), 2)
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for index in range(10_000):
            (tmp_path / "set" / folder / f"{index:05d}.png").write_bytes(content)
    with client_of(tmp_path / "runs", tmp_path / "set") as client:
        first = client.get("/api/data/images").json()
        assert first["total"] == 10_000 and len(first["items"]) == 60
        start = time.process_time()
        last = client.get("/api/data/images", params={"offset": 9_970}).json()["items"]
        assert time.process_time() - start < 0.5
        assert [last[0]["name"], last[-1]["name"], len(last)] == ["images/09970", "images/09999", 30]
        assert (last[0]["width"], last[0]["masked"]) == (4, True)


def train_by_command(client, root: Path, runs: Path) -> str:
    assert maskwright("train", "--data", root, *TINY, "--epochs", 2, "--out", runs / "mine").code == 0
    return "mine"


def train_by_page(client, root: Path, runs: Path) -> str:
    began = client.post("/api/label/train", json={"budget": "45s", "model": "unet"})
    assert began.status_code == 200, began.text
    row = wait_for(
        lambda: client.get(f"/api/runs/{began.json()['id']}").json(), lambda page: page["status"] != "training"
    )
    assert row["status"] == "finished", row["error"]
    return began.json()["id"]


@pytest.mark.parametrize("train", [train_by_command, pytest.param(train_by_page, marks=pytest.mark.slow)])
def test_from_images_without_masks_to_a_trained_run(train, tmp_path):
    """Name the classes, draw a few, train, take the model's suggestion, correct it."""
    root, runs = tmp_path / "photos", tmp_path / "runs"
    for index in range(8):
        image, drawn = noise(32, 40, index), np.zeros((32, 40), np.uint8)
        image[8:20, 4 * (index % 5) : 20] = 255
        picture(root / f"{index}.jpg", image)
    picture(root / "7b.jpg", np.asarray(Image.open(root / "0.jpg")))  # nearly the same as the first
    with client_of(runs, root) as client:
        about = client.get("/api/data").json()
        assert (about["images"], about["masked"], about["checking"]) == (9, 0, None)
        assert client.get("/api/label/images/0").status_code == 409
        assert client.post("/api/label/classes", json={"names": ["ground"]}).status_code == 422
        assert client.post("/api/label/classes", json={"names": ["ground", "<i>roof</i>"]}).status_code == 200
        assert client.get("/api/label/images/0").json()["version"] == "none"
        id, names = None, []
        for _ in range(6):
            id = client.get("/api/label/next", params={"after": id} if id else {}).json()["id"]
            names.append(client.get(f"/api/label/images/{id}").json()["name"])
            drawn = (grey(client.get(f"/api/data/images/{id}/pixels")).min(axis=2) > 200).astype(np.uint8)
            answer = put(client, id, drawn, "none")
            assert answer.status_code == 200, answer.text
            assert put(client, id, drawn, "none").status_code == 409
        assert names == [f"{index}.jpg" for index in range(6)]
        assert client.get("/api/data").json()["masked"] == 6
        assert (root / "pairs.csv").read_text().splitlines()[:2] == ["image,mask", "0.jpg,masks/0.png"]
        assert client.post("/api/label/classes", json={"names": ["other", "roof"]}).status_code == 409
    listed = open_dataset(DataConfig(root=str(root)))
    assert listed.dataset.classes.names == ("ground", "<i>roof</i>") and len(listed.dataset.items) == 6
    with client_of(runs, root) as client:  # another app goes on where this one was
        assert [one["masked"] for one in client.get("/api/data/images").json()["items"]].count(True) == 6
        model = train(client, root, runs)
        following = client.get("/api/label/next", params={"model": model}).json()
        rest = {
            one["id"]: one["name"] for one in client.get("/api/data/images", params={"masked": False}).json()["items"]
        }
        assert set(rest.values()) == {"6.jpg", "7.jpg", "7b.jpg"}
        assert rest[following["id"]] in ("6.jpg", "7.jpg") and "least sure" in following["why"]
        suggested = grey(client.get(f"/api/label/images/{following['id']}/suggestion", params={"model": model}))
        assert suggested.shape == (32, 40) and set(np.unique(suggested)) <= {0, 1}
        assert put(client, following["id"], suggested, "none").status_code == 200


def test_images_without_masks_among_labelled_ones_get_masks_like_theirs(tmp_path):
    root = set_of(tmp_path / "set", "0/255", count=6)
    for index in range(6):
        (root / "masks" / f"{index}.png").rename(root / "masks" / f"{index}_mask.png")
    (root / "masks/5_mask.png").unlink()
    (tmp_path / "runs").mkdir()
    with client_of(tmp_path / "runs", root) as client:
        (bare,) = client.get("/api/data/images", params={"masked": False}).json()["items"]
        assert bare["name"] == "images/5.png"
        assert put(client, bare["id"], labels_of(5), "none").status_code == 200
        assert (grey(client.get(f"/api/data/images/{bare['id']}/truth")) == labels_of(5)).all()
    assert (np.asarray(Image.open(root / "masks/5_mask.png")) == labels_of(5) * 255).all()
    assert (read_back(root, 5) == labels_of(5)).all()
