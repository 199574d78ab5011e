"""Work with data, runs and models in headless Chromium: repair, correct, train, compare, predict."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from app_pages import assert_accessible, served, wait_for
from PIL import Image

from support import PLANTED, TINY, data, disc_data, discs, kill, maskwright, noise, picture, planted, rows, start


def spoilt(root: Path) -> Path:
    """Discs of which one mask is half as large as its image, one of another shape, and one pair is there twice."""
    folder = disc_data(root, [(40, 48)] * 6)
    picture(folder / "masks/1.png", np.asarray(Image.open(folder / "masks/1.png"))[::2, ::2])
    picture(folder / "masks/2.png", np.zeros((40, 7), np.uint8))
    for kind in ("images", "masks"):
        shutil.copy(folder / kind / "0.png", folder / kind / "6.png")
    return folder


def until(page: Any, expression: str) -> None:
    """Ask until it is true; Playwright's own way is forbidden by the page's content-security policy."""
    wait_for(lambda: page.evaluate(expression), bool, 60)


def repairable(page: Any, title: str) -> Any:
    found = page.locator(".findings li", has=page.locator(f'h3:text-is("{title}")'))
    return found.filter(has=page.get_by_role("checkbox"))


def test_a_repair_is_refused_another_accepted_and_the_copy_is_written(tmp_path: Path, visit) -> None:
    folder = spoilt(tmp_path / "set")
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    with served(tmp_path / "runs", folder) as client:
        page = visit(client.base_url, "#/data", quiet="422|Canvas2D")
        sizes, twice = (
            repairable(page, "masks of another size than their image"),
            repairable(page, "the same picture twice in a split"),
        )
        sizes.wait_for()
        assert_accessible(page)
        assert sizes.get_by_role("checkbox").is_checked() and twice.get_by_role("checkbox").is_checked()
        page.set_viewport_size({"width": 320, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a title makes the page wider"
        assert page.get_by_text("Do these masks belong to these images").is_visible(), (
            "what a person has to say is asked"
        )
        page.set_viewport_size({"width": 1366, "height": 768})
        twice.get_by_role("checkbox").uncheck()
        page.get_by_label("Name of the copy").fill("mended")
        page.get_by_role("button", name="Write the copy with 1 repair").click()
        page.get_by_text(f"Written to {tmp_path / 'mended'}").wait_for()
        page.get_by_role("button", name="Write the copy").click()  # nothing is written over
        page.wait_for_selector(".notice.is-error")
        page.get_by_role("button", name="Close this message").first.click()

        sizes.get_by_role("link").first.click()  # the picture of a finding is opened where it can be corrected
        page.wait_for_selector('.viewer-host[data-image="1"]')
        assert page.inner_text("h1") == "images/1"
        assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before
        page.get_by_text("Here it can be drawn anew").wait_for()
        assert_accessible(page)
        page.locator(".stage").click()
        page.wait_for_selector('.save-state:text-is("Saved")')
        page.goto("about:blank")  # what is still on its way would be refused
    drawn = np.asarray(Image.open(folder / "masks/1.png"))
    assert drawn.shape == (40, 48) and set(np.unique(drawn)) == {0, 255}
    assert (folder / ".maskwright/originals/masks/1.png").read_bytes() == before[folder / "masks/1.png"]
    mended = tmp_path / "mended"
    assert (mended / "pairs.csv").read_text().startswith("image,mask\n"), "the group of the two was refused"
    for place in (0, 1, 3, 4, 5):
        image, mask = discs(40, 48, place)
        expected = np.kron(mask[::2, ::2], np.ones((2, 2))) if place == 1 else mask
        assert (np.asarray(Image.open(mended / f"images/{place}.png")) == image).all()
        assert ((np.asarray(Image.open(mended / f"masks/{place}.png")) > 0) == (expected > 0)).all()
    assert np.asarray(Image.open(mended / "masks/2.png")).shape == (40, 7), "a person has to say what it shows"


def test_a_mask_that_a_run_questions_opens_in_the_labelling_page(tmp_path: Path, visit) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(planted(), tmp_path / "runs/discs")
    with served(tmp_path / "runs", planted().parent / "data") as client:
        page = visit(client.base_url, "#/data")
        page.get_by_role("button", name="Look for them").click()
        page.wait_for_selector(".suspects h3")
        names = page.locator(".suspects a").all_inner_texts()
        assert set(names[: len(PLANTED)]) == {f"Correct images/{index}" for index in PLANTED}
        assert page.locator(".suspects li").first.locator("img").count() == 3
        assert page.evaluate("[...document.querySelectorAll('.suspects img')].every((one) => one.naturalWidth > 0)")
        assert_accessible(page)
        page.get_by_role("link", name="Correct images/13").click()
        page.wait_for_selector('.viewer-host[data-image="13"]')
        assert page.inner_text("h1") == "images/13"
        page.goto("about:blank")  # what is still on its way would be refused


def test_a_training_is_planned_and_begun_from_the_page(tmp_path: Path, visit) -> None:
    with served(tmp_path / "runs", data()) as client:
        page, list_of = (visit(client.base_url, "#/runs") for _ in range(2))
        page.get_by_text("There is no run yet").wait_for()
        page.get_by_role("button", name="Train a new run").click()
        page.get_by_label("Time").fill("60s")
        page.get_by_label("Model").fill("unet")
        page.get_by_label("Name").fill("mine")
        page.get_by_role("button", name="Show the plan").click()
        page.wait_for_selector(".plan .remarks li", timeout=120_000)
        planned = page.inner_text(".plan")
        assert "unet" in planned and "60s" in planned and "4 train" in planned, planned
        assert_accessible(page)
        page.get_by_role("button", name="Start training").click()
        page.wait_for_selector(".status.is-training")
        list_of.wait_for_selector('tr:has-text("mine") .status.is-training')
        stop(page)
        list_of.wait_for_selector('tr:has-text("mine") .status.is-stopped')
        for each in (page, list_of):
            each.goto("about:blank")


def stop(page: Any) -> None:
    page.get_by_role("button", name="Stop after this step").click()
    page.wait_for_selector("dialog")
    assert_accessible(page)
    page.get_by_role("button", name="Stop it").click()
    page.wait_for_selector(".status.is-stopped", timeout=60_000)


def test_a_training_arrives_live_and_is_stopped_from_the_page_to_be_gone_on_with(tmp_path: Path, visit) -> None:
    root, log = tmp_path / "runs/live", tmp_path / "log.txt"
    epoch = re.compile(r"epoch (\d+) of 900")
    child = start(log, "train", "--data", data(), *TINY, "--epochs", 900, "--out", root)
    try:
        with served(tmp_path / "runs", data()) as client:
            wait_for(lambda: [row["epoch"] for row in client.get("/api/runs").json()], lambda found: found > [0])
            page = visit(client.base_url, "#/runs/live")
            page.wait_for_selector(".plot .scatter")
            page.locator(".panel-picture").wait_for()
            until(page, "document.querySelector('.panel-picture').naturalWidth > 0")
            first = int(epoch.findall(page.inner_text(".facts"))[0])
            points = page.locator(".plot .scatterlayer .js-line").first.get_attribute("d")
            wait_for(lambda: int(epoch.findall(page.inner_text(".facts"))[0]), lambda now: now > first + 2)
            assert page.locator(".plot .scatterlayer .js-line").first.get_attribute("d") != points, (
                "the curve has grown"
            )
            stop(page)
            assert_accessible(page)
            page.goto("about:blank")
        child.join(60)
        assert child.exitcode == 130 and rows(root) > first, log.read_text()
        before = rows(root)
        child = start(log, "train", "--resume", root)
        wait_for(lambda: rows(root), lambda now: now > before)
    finally:
        kill(child)


@pytest.fixture(scope="module")
def both(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that were scored on the same images. Not to be changed."""
    folder = tmp_path_factory.mktemp("both") / "runs"
    shutil.copytree(runs, folder)
    words = (
        "train",
        "--data",
        data(),
        *TINY,
        "--epochs",
        1,
        "--seed",
        5,
        "--model.width",
        3,
        "--out",
        folder / "second",
    )
    assert maskwright(*words).code == maskwright("evaluate", folder / "second").code == 0
    return folder


def test_runs_are_compared_sorted_and_seen_on_the_same_image(both: Path, visit) -> None:
    with served(both, data()) as client:
        answer = client.get("/api/compare", params={"runs": "first,second"}).json()
        page = visit(client.base_url, "#/runs")
        for name in ("first", "second"):
            page.get_by_label(f"Choose {name}").check()
        page.get_by_role("button", name="Compare 2").click()
        page.wait_for_selector("th[aria-sort]")
        assert_accessible(page)
        by_name = {row["name"]: row["cells"] for row in answer["rows"]}
        for column in answer["columns"]:
            key, title = column["key"], column["title"]
            values = {name: cells[key]["value"] for name, cells in by_name.items() if key in cells}
            if key == "name" or len(set(values.values())) < 2 or None in values.values():
                continue
            head = page.locator("thead th", has=page.get_by_role("button", name=title, exact=True))
            seen = []
            for _ in range(2):
                head.get_by_role("button").click()
                up = head.get_attribute("aria-sort") == "ascending"
                wanted = sorted(values, key=lambda name: values[name], reverse=not up)
                assert page.locator("tbody th").all_inner_texts() == wanted, (title, up)
                seen.append(up)
            assert sorted(seen) == [False, True], "a second click turns the order round"

        image = answer["images"][-1]
        page.locator(".gallery .cell", has_text=image["name"]).click()
        page.locator(f'.across h3:text-is("{image["name"]}")').wait_for()
        shown = page.locator(".panels figure")
        assert sorted(shown.locator("figcaption").all_inner_texts()) == ["first", "second"]
        until(page, "[...document.querySelectorAll('.panels img')].every((one) => one.naturalWidth > 0)")
        for id in ("first", "second"):
            source = f"/api/runs/{id}/images/{image['ids'][id]}/thumb?large=1"
            assert page.locator(f'.panels img[src="{source}"]').count() == 1
        page.locator(".panels a").last.click()
        page.wait_for_selector(f'.viewer-host[data-image="{image["ids"]["second"]}"]')
        page.goto("about:blank")  # what is still on its way would be refused


def test_fifty_images_dropped_at_once_are_all_predicted_in_bounded_memory(runs: Path, tmp_path: Path, visit) -> None:
    pixels = noise(700, 800)
    files = [picture(tmp_path / "in" / f"{index}.png", np.roll(pixels, index)) for index in range(50)]
    with served(runs, data()) as client:
        page = visit(client.base_url, "#/predict")
        page.set_input_files("#files", files[:1])
        page.locator(".job img").first.wait_for()
        process, most, done = psutil.Process(), [0], threading.Event()

        def watch() -> None:
            while not done.is_set():
                most.append(process.memory_info().rss)
                time.sleep(0.005)

        before = process.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            page.set_input_files("#files", files)
            until(page, "document.querySelectorAll('.job:not(:disabled)').length === 51")
        finally:
            done.set()
            watcher.join()
        assert page.locator(".severity.is-error").count() == 0
        # the pixels of all and four maps of each would be 190 MB, with what the network makes of them much more
        assert max(most) - before < 120 << 20, (max(most) - before) >> 20
        assert_accessible(page)
        page.goto("about:blank")  # what is still on its way would be refused
