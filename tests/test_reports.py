"""The report: its sentences, its choice of images, and the page read back."""

from __future__ import annotations

import base64
import functools
import io
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import maskwright.evaluation as evaluation_package
import maskwright.evaluation.intervals as interval_module
from maskwright.config import Config
from maskwright.data.opening import open_dataset
from maskwright.data.pictures import error_picture, palette
from maskwright.data.record import data_document, read_split
from maskwright.errors import RunError, UsageError
from maskwright.evaluation.evaluate import Evaluation
from maskwright.evaluation.intervals import intervals
from maskwright.metrics.counts import Counts, confusion, count_image
from maskwright.metrics.scores import summary
from maskwright.prediction.writers import write_labels
from maskwright.reports import write_report
from maskwright.reports.curves import Curve, curves, inline_svg, spread
from maskwright.reports.facts import Facts, ImageScore, gather
from maskwright.reports.gallery import BUDGET, LONGEST, Panel, Pick, Row, choose, encode, legend, make_gallery, mistakes, shrink
from maskwright.reports.tables import MATRIX_CLASSES, image_bars, largest_confusions, score_rows
from maskwright.reports.verdict import remarks, verdict
from maskwright.runs import Run, provenance

LIMIT = 5_000_000


@pytest.fixture(scope="module", autouse=True)
def quick_intervals() -> Iterator[None]:
    """Fifty resamples instead of a thousand: how good the interval is isn't the report's business."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interval_module, "RESAMPLES", 50)
        yield


LAND = ("background", 'road & <b>"path"</b>', "field", "water", "building")


# ---- runs without training: real files, made-up predictions


def fake_run(
    folder: Path, classes: Sequence[str] = LAND, sizes: tuple[int, int, int] = (3, 2, 8), epochs: int = 12, side: int = 32
) -> Run:
    """A finished run on generated images; the prediction of the n-th image is wrong on n more columns."""
    data = folder / "data"
    dealt = [split for split, num in zip(("train", "val", "test"), sizes) for _ in range(num)]
    rows = ["image,mask,split"]
    for index, split in enumerate(dealt):
        image, mask = _pair(np.random.default_rng(index), len(classes), side)
        for name, pixels in (("images", image), ("masks", mask)):
            (data / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(data / name / f"{index}.png")
        rows.append(f"images/{index}.png,masks/{index}.png,{split}")
    (data / "pairs.csv").write_text("\n".join(rows) + "\n")
    config = Config.model_validate(
        {"data": {"root": str(data), "classes": list(classes)}, "train": {"epochs": epochs, "batch_size": 4, "repeats": 2},
         "loss": [{"name": "ce"}, {"name": "dice", "weight": 0.5}]}
    )  # fmt: skip
    config = config.replace({"data.view": "whole", "data.size": 32, "train.precision": "fp32", "train.devices": "cpu"})
    run = Run.create(folder / "run")
    run.write_config(config, {})
    run.write_json("data.json", data_document(open_dataset(config.data).dataset))
    why = {"data.size": "it is small", "loss": "both <together>"}
    run.write_json("environment.json", provenance(["maskwright", "train", "a b"], "2026-01-02T03:04:05+00:00", why))
    run.write_rows("history.csv", history(epochs))
    score(run, "test" if sizes[2] else "val")
    return run


def _pair(rng: np.random.Generator, num_classes: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.kron(rng.integers(0, num_classes, (4, 4)), np.ones((side // 4, side // 4))).astype(np.uint8)
    image = palette(num_classes)[mask] // 2 + rng.integers(0, 90, (side, side, 3), np.uint8)
    if num_classes > 2:
        mask[:2] = 255
    return image.astype(np.uint8), mask


def history(epochs: int, **columns: Sequence[float]) -> list[dict[str, float]]:
    """Rows of history.csv that rise evenly to 0.9 (train) and 0.8 (val), and a last epoch that falls back to 0.7."""
    rows = []
    for epoch in range(epochs):
        done = (epoch + 1) / epochs
        rows.append({"epoch": epoch, "train_loss": 1.2 - done, "val_loss": 1.3 - done, "train_iou": 0.9 * done,
                     "val_iou": 0.8 * done, "lr": 0.001, "seconds": 2.0, "images_per_second": 10.0 + epoch})  # fmt: skip
    if epochs > 1:
        rows[-1]["val_iou"] = 0.7
    for name, values in columns.items():
        for row, value in zip(rows, values):
            row[name] = value
    return rows


def score(run: Run, split: str, data: Path | None = None) -> None:
    """What `evaluate` writes, with predictions made up instead of predicted."""
    document = run.data
    names = tuple(document["classes"]["names"])
    parts = []
    for index, (name, _, mask) in enumerate(read_split(document, split, data)):
        labels = np.where(mask == 255, 0, mask).astype(np.uint8)
        labels[:, : 2 * index] = (labels[:, : 2 * index] + 1) % len(names)
        parts.append(count_image(name, mask, labels, len(names)))
        write_labels(run.root / "evaluation" / "predictions" / split / f"{name}.png", labels, len(names))
    counts = Counts.join(parts)
    found = Evaluation(run.name, split, names, summary(counts, names), intervals(counts), 0.25, counts)
    run.write(f"evaluation/{split}-counts.npz", counts.save)
    run.write_json(f"evaluation/{split}.json", found.to_json())


def facts_of(matrices: Sequence[Sequence[Sequence[int]]], rows: list[dict[str, float]] | None = None, **changes: Any) -> Facts:
    """Facts made of confusion counts alone; images are named a, b, c, …"""
    found, counts = scored(tuple(tuple(map(tuple, matrix)) for matrix in matrices))
    num = len(matrices)
    config = Config().replace({"train.epochs": len(rows) if rows else 1, "augment": changes.pop("augment", "standard"),
                               "train.monitor": changes.pop("monitor", "val_iou")})  # fmt: skip
    document = {"splits": {"train": [{}] * changes.pop("num_train", 10), "val": [{}], "test": [{}] * num}}
    return replace(Facts("r", "test", "test", config, document, {}, rows or [], found, counts), **changes)


@functools.cache
def scored(matrices: tuple[tuple[tuple[int, ...], ...], ...]) -> tuple[dict[str, Any], Counts]:
    """The evaluation of images with these counts; a thousand resamples take a while, hence the cache."""
    matrix = np.array(matrices, np.int64)
    num, size = matrix.shape[:2]
    names = ("background", "cat", "dog", "cow")[:size]
    nothing = np.zeros((num, size), np.int64)
    counts = Counts(tuple("abcdefghijklmnop"[:num]), matrix, nothing, nothing)
    return Evaluation("r", "test", names, summary(counts, names), intervals(counts), 0.3, counts).to_json(), counts


def image_of(hits: int, missed: int, added: int = 0) -> list[list[int]]:
    """Counts of a 100-pixel image with two classes."""
    return [[100 - hits - missed - added, added], [missed, hits]]


# ---- the page, read back


@dataclass
class Page(HTMLParser):
    """What a browser would find in the HTML."""

    tables: list[list[list[str]]] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    text: str = ""
    svgs: int = 0
    heads: int = 0
    _into: str = ""
    _silent: bool = False

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        HTMLParser.__init__(page)
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._silent = tag == "style"
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._into = "cell"
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
            self._into = "heading"
        elif tag == "img":
            self.images.append({name: value or "" for name, value in attrs})
        self.svgs += tag == "svg"
        self.heads += tag == "th"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        if tag in ("td", "th") or re.fullmatch("h[1-6]", tag):
            self._into = ""

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text += data.replace("\xa0", " ")
        data = " ".join(data.split())
        if self._into == "cell":
            self.tables[-1][-1][-1] = f"{self.tables[-1][-1][-1]} {data}".strip()
        elif self._into == "heading":
            level, told = self.headings[-1]
            self.headings[-1] = (level, f"{told} {data}".strip())

    def table(self, corner: str) -> list[list[str]]:
        """The table whose first cell begins so."""
        return next(rows for rows in self.tables if rows[0][0].startswith(corner))

    @property
    def values(self) -> dict[str, list[str]]:
        """Attribute values by name."""
        found: dict[str, list[str]] = {}
        for _, name, value in self.attributes:
            found.setdefault(name, []).append(value)
        return found


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five classes, 3/2/8 images, reported. Not to be changed."""
    run = fake_run(tmp_path_factory.mktemp("land"))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def page(land: Run) -> Page:
    return Page.read(land.root / "report.html")


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and run/: two classes, 2/1/4 images, not yet reported. Not to be changed."""
    return fake_run(tmp_path_factory.mktemp("cats"), ("background", "cat"), (2, 1, 4), 5).root.parent


@pytest.fixture
def pair(cats: Path, tmp_path: Path) -> Run:
    """A copy of cats that a test may spoil."""
    shutil.copytree(cats, tmp_path / "cats")
    run = Run(tmp_path / "cats" / "run")
    run.write_json("data.json", {**run.data, "root": str(tmp_path / "cats" / "data")})
    return run


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def test_page_has_its_parts_in_order(page: Page) -> None:
    assert [told for level, told in page.headings if level == 1] == ["run"]
    parts = [told for level, told in page.headings if level == 2]
    assert parts == ["Scores", "Training", "Confusion", "Image by image", "Worst, median and best", "How it was made"]
    levels = [level for level, _ in page.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is skipped"


def test_page_needs_nothing_from_outside(land: Run, page: Page) -> None:
    html = (land.root / "report.html").read_text()
    outside = [link for name in ("src", "href", "xlink:href", "action", "poster", "srcset") for link in page.values.get(name, [])
               if not link.startswith(("data:", "#"))]  # fmt: skip
    assert outside == []
    without_pictures = re.sub(r'src="data:[^"]*"', "", html)
    assert re.findall(r"https?://|<script|@import|xmlns", without_pictures) == []
    assert set(re.findall(r"url\(\s*.", without_pictures)) <= {"url(#"}
    assert len(html.encode()) < LIMIT


def test_ids_are_unique_and_referred_ones_exist(land: Run, page: Page) -> None:
    ids = page.values["id"]
    assert len(ids) == len(set(ids))
    html = (land.root / "report.html").read_text()
    asked = re.findall(r"url\(#([^)]*)\)", html) + [link[1:] for link in page.values["href"] if link.startswith("#")]
    assert set(asked) | set(page.values["aria-labelledby"]) <= set(ids)


def test_pictures_decode_and_are_described(page: Page) -> None:
    assert len(page.images) == 4 * 8  # all of eight images are among the worst, median and best
    for image in page.images:
        head, _, body = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
        picture.load()
        assert picture.size == (int(image["width"]), int(image["height"])) == (32, 32)
        assert len(image["alt"]) > 8
    assert page.svgs == 2
    assert [told for tag, name, told in page.attributes if tag == "div" and name == "aria-label" and "12 epochs" in told] == [
        "Loss over 12 epochs: training from 1.117 to 0.200, validation from 1.217 to 0.300; "
        "0.383 on validation images at the best epoch, 11.",
        "IoU over 12 epochs: training from 0.075 to 0.900, validation from 0.067 to 0.700; "
        "0.733 on validation images at the best epoch, 11.",
    ]


def test_numbers_are_those_of_the_evaluation(land: Run, page: Page) -> None:
    found = land.read_json("evaluation/test.json")
    rows = {row[0].split(" ")[0].lower(): row for row in page.table("Score")[1:]}
    for name in ("iou", "f1", "precision", "recall", "boundary_iou", "accuracy"):
        low, high = found["intervals"][name]
        assert rows[name.removesuffix("_iou")][1:3] == [shown(found["metrics"][name]), f"{shown(low)} to {shown(high)}"]
    assert rows["loss"][1:3] == ["0.250", "–"]
    for row in page.table("Average")[1:]:
        columns = ("iou", "f1", "precision", "recall", "accuracy")
        assert row[1:] == [shown(found["averages"][row[0].lower()][name]) for name in columns]
    assert found["policy"] in " ".join(page.text.split())


def test_classes_and_confusion_are_those_of_the_counts(land: Run, page: Page) -> None:
    found, total = land.read_json("evaluation/test.json"), Counts.load(land.root / "evaluation" / "test-counts.npz").total()
    rows = page.table("Class")[1:]
    assert [row[0] for row in rows] == list(LAND)
    columns = ("iou", "f1", "precision", "recall", "boundary_iou")
    for row, share in zip(rows, total.sum(1) / total.sum()):
        assert row[1] == f"{100 * share:.1f} %"
        assert row[2:] == [shown(found["per_class"][row[0]][name]) for name in columns]
    matrix = page.table("truth")
    assert matrix[0][1:] == list(LAND)
    cells = np.array([[float(cell.removesuffix(" %")) for cell in row[1:]] for row in matrix[1:]])
    assert cells == pytest.approx(100 * total / total.sum(1, keepdims=True), abs=0.051)


def test_tables_say_what_their_heads_are_of(page: Page) -> None:
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) > 40
    assert set(scopes) == {"row", "col"}
    assert len(scopes) == page.heads


def test_page_tells_how_it_was_made(land: Run, page: Page) -> None:
    text = " ".join(page.text.split())
    for told in ("maskwright train 'a b'", "13 (3 train, 2 val, 8 test), each 32 × 32 pixels", "ce + 0.5 × dice",
                 "24.0 s in 12 epochs, 15.5 images/s (median)", "2026-01-02 03:04:05 UTC", "both <together>",
                 land.environment["packages"]["numpy"], land.data["fingerprint"][:16], "whole images at 32 × 32"):  # fmt: skip
        assert told in text
    assert ["data.size", "32", "it is small"] in page.table("Key")
    assert "nan" not in re.findall(r"[a-z]+", text.lower())


def test_the_same_run_gives_the_same_bytes(land: Run) -> None:
    files = [land.root / name for name in ("report.html", "plots/loss.png", "plots/iou.png")]
    before = [file.read_bytes() for file in files]
    write_report(land)
    assert [file.read_bytes() for file in files] == before


def test_plots_are_written_for_submission(land: Run) -> None:
    for name in ("loss", "iou"):
        with Image.open(land.root / "plots" / f"{name}.png") as picture:
            assert picture.size == (840, 525)
            assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)


# ---- what may be missing


def test_without_its_data_the_page_has_no_pictures_and_says_why(pair: Run) -> None:
    shutil.rmtree(pair.data["root"])
    page = Page.read(write_report(pair))
    assert page.images == []
    assert f"The data folder {pair.data['root']} is not there any more" in page.text
    assert page.table("Score")[1][1] == shown(pair.read_json("evaluation/test.json")["metrics"]["iou"])


def test_data_that_moved_is_found_where_it_is_now(pair: Run, tmp_path: Path) -> None:
    Path(pair.data["root"]).rename(tmp_path / "moved")
    gallery = make_gallery(pair, gather(pair), choose(gather(pair).images()), tmp_path / "moved")
    assert (len(gallery.rows), gallery.problems) == (4, ())


BLANK = np.full((32, 32, 3), 7, np.uint8)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda image, labels: Image.fromarray(BLANK).save(image), "its content changed"),
        (lambda image, labels: image.unlink(), "it is missing"),
        (lambda image, labels: labels.unlink(), "it is not there"),
        (lambda image, labels: labels.write_bytes(b"x"), "it can't be read"),
        (lambda image, labels: write_labels(labels, np.ones((32, 32), np.uint8), 2), "other counts"),
        (lambda image, labels: write_labels(labels, np.ones((8, 8), np.uint8), 2), "other counts"),
    ],
)
def test_an_image_that_cannot_be_trusted_is_left_out_and_told(pair: Run, spoil: Any, told: str) -> None:
    spoil(Path(pair.data["root"]) / "images/5.png", pair.root / "evaluation/predictions/test/images/5.png")
    facts = gather(pair)
    gallery = make_gallery(pair, facts, choose(facts.images()))
    assert len(gallery.rows) == 3
    assert len(gallery.problems) == 1
    assert gallery.problems[0].startswith("images/5 is not shown.")
    assert told in gallery.problems[0]


def test_without_test_images_validation_stands_in(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ("background", "cat"), (3, 2, 0), 4)
    page = Page.read(write_report(run))
    assert "On 2 validation images the cat IoU is" in page.text
    assert "The run has no test images, so its validation images are scored here." in page.text
    with pytest.raises(UsageError, match="one that has images"):
        gather(Run.open(_without_split(run, tmp_path / "none", "val")))


def _without_split(run: Run, to: Path, split: str) -> Path:
    shutil.copytree(run.root, to)
    document = run.data
    document["splits"][split] = []
    (to / "data.json").write_text(json.dumps(document))
    return to


def test_a_split_that_was_not_scored_is_scored_first(pair: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def evaluate(run: Run, split: str, data: Path | None) -> None:
        asked.append((split, data))
        score(run, split, data)

    monkeypatch.setattr(evaluation_package, "evaluate", evaluate)
    gather(pair)
    page = Page.read(write_report(pair, "val", Path(pair.data["root"])))
    assert asked == [("val", Path(pair.data["root"]))]
    assert "On 1 validation image the cat IoU is" in page.text


def test_counts_of_other_images_are_refused(pair: Run) -> None:
    score(pair, "val")
    (pair.root / "evaluation/val-counts.npz").replace(pair.root / "evaluation/test-counts.npz")
    with pytest.raises(RunError, match="Score it again: maskwright evaluate"):
        gather(pair)


def test_without_history_there_are_no_curves(pair: Run) -> None:
    (pair.root / "history.csv").unlink()
    page = Page.read(write_report(pair))
    assert page.svgs == 0
    assert "No epoch was recorded, so there are no curves." in page.text
    assert not (pair.root / "plots").exists()


def test_undefined_scores_are_dashes(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ("background", "cat", "unicorn"), (1, 1, 1), 1)
    document = run.data
    truth = np.zeros((32, 32), np.uint8)
    counts = count_image("images/2", truth, truth, 3)
    names = ("background", "cat", "unicorn")
    found = Evaluation(run.name, "test", names, summary(counts, names), intervals(counts), float("nan"), counts)
    run.write("evaluation/test-counts.npz", counts.save)
    run.write_json("evaluation/test.json", found.to_json())
    page = Page.read(write_report(run))
    assert page.table("Class")[2][1:] == ["0 %", *["–"] * 5]
    assert page.table("truth")[3] == ["unicorn", "–", "–", "–"]
    assert page.table("Score")[-1][1] == "–"
    assert "cat and unicorn are in neither truth nor prediction and have no score." in page.text
    assert "other counts" in page.text  # the made-up truth isn't the file's
    assert document["classes"]["names"] == list(names)


# ---- sentences


def test_verdict_of_a_usual_run() -> None:
    facts = facts_of([image_of(30, 10), image_of(20, 0), image_of(36, 0, 4)], history(20))
    low, high = facts.interval("iou")
    assert [text.replace("\xa0", " ") for text in verdict(facts)] == [
        f"On 3 test images the cat IoU is 0.86 (95 % interval {low:.2f} to {high:.2f}).",
        "The best epoch was 19 of 20, by validation IoU.",
        "The weakest image is a (0.75), the strongest b (1.00).",
    ]


def test_verdict_of_one_image_and_one_epoch() -> None:
    facts = facts_of([image_of(32, 8)], history(1))
    assert verdict(facts) == ("On 1 test image the cat IoU is 0.80; a single image allows no interval.",
                              "It was trained for a single epoch.")  # fmt: skip
    assert remarks(facts) == (
        "One image says little about the next.",
        "At the best epoch the training IoU is 0.10 above the validation IoU, though training inputs are augmented: "
        "the network fits its 10 training images better than new ones.",
    )


def test_verdict_without_a_score_or_an_epoch() -> None:
    facts = facts_of([image_of(0, 0), image_of(0, 0)])
    assert verdict(facts) == ("On 2 test images the cat IoU is undefined: no scored class is in truth or prediction.",
                              "No epoch was recorded.")  # fmt: skip
    assert remarks(facts) == ()


def test_verdict_names_the_mean_over_the_classes_that_have_a_score() -> None:
    facts = facts_of([[[50, 0, 0], [10, 40, 0], [0, 0, 0]]] * 2, history(5))
    assert "the mean IoU over 2 classes is" in verdict(facts)[0]
    assert remarks(facts)[-1] == "dog is in neither truth nor prediction and has no score."


def test_verdict_is_silent_about_a_best_epoch_it_cannot_tell() -> None:
    nothing = history(3, val_iou=[math.nan] * 3, val_loss=[math.nan] * 3)
    facts = facts_of([image_of(30, 10)] * 2, nothing)
    assert facts.best is None
    assert len(verdict(facts)) == 2
    assert not any("validation" in text for text in remarks(facts))


def settled_history(val: float, epochs: int = 20) -> list[dict[str, float]]:
    """A run that reached its validation IoU early and stayed."""
    flat = [val] * epochs
    return history(epochs, val_iou=flat, train_iou=[val + 0.01] * epochs, val_loss=[0.3] * epochs)


def one_remark(facts: Facts) -> str:
    found = remarks(facts)
    assert len(found) == 1, found
    return found[0]


ALIKE = [image_of(30, 10)] * 12  # twelve images of IoU 0.75: a narrow interval


def test_nothing_to_remark_on_a_sound_run() -> None:
    assert remarks(facts_of(ALIKE, settled_history(0.75))) == ()


def test_few_images_are_told() -> None:
    text = one_remark(facts_of([image_of(30, 10), image_of(20, 5)], settled_history(0.76)))
    assert text == "2 test images are few: the interval is 0.05 wide, and from so few images it tends to come out too narrow."


def test_a_wide_interval_of_many_images_is_told() -> None:
    text = one_remark(facts_of([image_of(30, 10), image_of(10, 30)] * 6, settled_history(0.5)))
    assert re.fullmatch(r"The interval is 0\.\d\d wide; more test images would narrow it\.", text)


def test_a_gap_to_validation_is_told() -> None:
    outside = one_remark(facts_of(ALIKE, settled_history(0.9)))
    assert outside == ("The test IoU is 0.15 below the validation IoU of 0.90. "
                       "That lies outside the interval: the test images seem harder.")  # fmt: skip
    easier = one_remark(facts_of(ALIKE, settled_history(0.6)))
    assert easier.endswith("above the validation IoU of 0.60. That lies outside the interval: the test images seem easier.")
    inside = remarks(facts_of([image_of(30, 10), image_of(10, 30)] * 6, settled_history(0.56)))
    assert inside[-1].endswith("That lies inside the interval, so it may be chance.")
    alone = remarks(facts_of([image_of(30, 10)], settled_history(0.9)))
    assert alone[-1].endswith("0.90; one image can't say why.")


def test_scores_of_images_seen_in_training_are_told() -> None:
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="val", asked="val")).startswith("The best epoch was picked by")
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="train", asked="train")).startswith("The network learned from")
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="val")).startswith("The run has no test images")


def test_a_run_that_was_still_improving_is_told() -> None:
    rising = settled_history(0.75)
    for row, value in zip(rising[-3:], (0.70, 0.73, 0.76)):
        row["val_iou"] = value
    rising[-1]["train_iou"] = 0.77
    for row in rising[:-3]:
        row["val_iou"] = 0.6
    assert one_remark(facts_of(ALIKE, rising)) == (
        "Training ended while the validation IoU was still rising (by 0.06 over its last 2 epochs): train longer."
    )
    falling = settled_history(0.75, 5)
    for row, value in zip(falling, (0.9, 0.8, 0.7, 0.6, 0.48)):
        row["val_loss"] = value
    assert one_remark(facts_of(ALIKE, falling, monitor="val_loss")).replace("\xa0", " ") == (
        "Training ended while the validation loss was still falling (by 20.0 % in its last epoch): train longer."
    )


def test_overfitting_is_told() -> None:
    rows = settled_history(0.75)
    for row in rows[5:]:
        row["val_loss"] = 0.45
    assert one_remark(facts_of(ALIKE, rows)).replace("\xa0", " ") == (
        "The validation loss rose by 50.0 % after epoch 1, a sign of overfitting."
    )
    rows = settled_history(0.75)
    for row in rows:
        row["train_iou"] = 0.95
    assert one_remark(facts_of(ALIKE, rows, augment="none", num_train=1)) == (
        "At the best epoch the training IoU is 0.20 above the validation IoU: "
        "the network fits its 1 training image better than new ones."
    )


def test_a_run_cut_short_is_told() -> None:
    facts = facts_of(ALIKE, settled_history(0.75))
    longer = replace(facts, config=facts.config.replace({"train.epochs": 50}))
    assert one_remark(longer) == "Only 20 of 50 planned epochs are recorded."
    early = replace(facts, config=facts.config.replace({"train.epochs": 50, "train.early_stop": 5}))
    assert one_remark(early) == "Training stopped early, after 20 of 50 epochs."


def test_a_class_never_predicted_is_told() -> None:
    text = remarks(facts_of([image_of(0, 40)] * 12, settled_history(0.01)))
    assert "cat is in the truth but never predicted." in text


# ---- data of the tables


def test_accuracy_stands_beside_what_guessing_would_reach() -> None:
    rows = score_rows(facts_of([image_of(20, 10)] * 2, history(2)))
    accuracy = next(row for row in rows if row.label == "Accuracy")
    assert accuracy.value == pytest.approx(0.9)
    assert accuracy.hint.replace("\xa0", " ").endswith("always answering background would reach 70.0 %")


def test_many_images_become_a_histogram() -> None:
    images = [ImageScore(f"{index:02d}", 0.45 + 0.02 * index) for index in range(25)] + [ImageScore("none", math.nan)]
    bars = image_bars(images)
    assert [bar.label for bar in bars] == ["0.4 to 0.5", "0.5 to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.8 to 0.9", "0.9 to 1.0"]
    assert sum(int(bar.told) for bar in bars) == 25
    assert max(bar.length for bar in bars) == 1
    few = image_bars(images[-3:])
    assert [(bar.label, bar.told) for bar in few] == [("23", "0.910"), ("24", "0.930"), ("none", "–")]


def test_the_largest_confusions_come_first() -> None:
    facts = facts_of([[[80, 20, 0], [0, 60, 40], [5, 0, 0]]])
    assert [(row.truth, row.predicted, row.share, row.pixels) for row in largest_confusions(facts, 2)] == [
        ("cat", "dog", 0.4, 40), ("background", "cat", 0.2, 20)
    ]  # fmt: skip


def test_many_classes_get_a_list_instead_of_a_matrix(tmp_path: Path) -> None:
    run = fake_run(tmp_path, [f"class-{index}" for index in range(MATRIX_CLASSES + 1)], (2, 1, 2), 2)
    page = Page.read(write_report(run))
    num = len(page.table("Truth")) - 1
    assert num > 2
    assert f"The {num} most frequent confusions among 13 classes" in page.text


# ---- curves


def test_curves_hold_the_history_and_the_best_epoch() -> None:
    facts = facts_of(ALIKE, history(4))
    loss, iou = curves(facts.history, facts.best)
    assert iou.val == (0.2, 0.4, pytest.approx(0.6), 0.7)
    assert (loss.best, iou.best) == (3, 3)
    assert loss.train[0] == pytest.approx(0.95)


@pytest.mark.parametrize(
    "line", [(0.5,), (math.nan,), (math.nan, math.nan), (0.5, math.nan, 0.25), (0.0, 0.0), (900.0, 3.0, 0.1), (-1.0, -2.0)]
)
@pytest.mark.parametrize("key", ["loss", "iou"])
def test_any_curve_can_be_drawn(key: str, line: tuple[float, ...]) -> None:
    curve = Curve(key, key, line, line, 0 if math.isfinite(line[0]) else None)
    svg = inline_svg(curve)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert not re.search(r"#01020|font-family|http|nan", svg)
    assert curve.is_log == (key == "loss" and line[0] == 900)
    assert "nan" not in curve.alt


def test_labels_are_kept_apart() -> None:
    assert spread([0.9, 0.1], 0.2) == [0.9, 0.1]
    assert spread([0.5, 0.45], 0.1) == pytest.approx([0.525, 0.425])
    assert all(math.isnan(value) for value in spread([math.nan, math.nan], 0.1))


# ---- the gallery


def scores(*values: float) -> list[ImageScore]:
    return [ImageScore(str(index), value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("num", "expected"),
    [
        (1, ["-0"]),
        (2, ["Worst0", "Best1"]),
        (6, ["Worst0", "-1", "-2", "-3", "-4", "Best5"]),
        (7, ["Worst0", "Worst1", "Worst2", "Median3", "Best4", "Best5", "Best6"]),
        (9, ["Worst0", "Worst1", "Worst2", "Median3", "Median4", "Median5", "Best6", "Best7", "Best8"]),
        (101, ["Worst0", "Worst1", "Worst2", "Median49", "Median50", "Median51", "Best98", "Best99", "Best100"]),
    ],
)
def test_worst_median_and_best_are_chosen(num: int, expected: list[str]) -> None:
    picks = choose(scores(*np.linspace(0, 1, num)))
    assert [(pick.role or "-") + pick.name for pick in picks] == expected


def test_images_without_a_score_are_shown_when_few_and_passed_over_when_many() -> None:
    few = choose(scores(0.1, 0.9, math.nan))
    assert [(pick.role, pick.name) for pick in few] == [("Worst", "0"), ("Best", "1"), ("", "2")]
    many = choose(scores(0.1, 0.5, *[math.nan] * 8))
    assert [(pick.role, pick.name) for pick in many] == [("Worst", "0"), ("Worst", "1")]
    assert choose(scores(*[math.nan] * 8)) == []


def test_mistakes_and_their_colours_are_those_of_the_error_picture() -> None:
    truth = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
    labels = np.array([[0, 1, 0, 2, 2, 0]], np.uint8)
    assert mistakes(confusion(truth, labels, 3)) == {"missed": 0.2, "added": 0.2, "confused": 0.2}
    drawn = error_picture(np.zeros((1, 6, 3), np.uint8), truth, labels)[0]
    added, missed, confused, ignored = ("#" + bytes(drawn[index]).hex() for index in (1, 2, 3, 5))
    row = Row(Pick("", "a", 0.5), "", (), frozenset({0, 2}), has_ignored=True)
    classes, errors = legend(facts_of([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]), [row])
    assert [colour for colour, _ in errors] == [missed, added, confused, ignored]
    assert [name for _, name in classes] == ["background", "dog"]


def test_pictures_are_made_smaller_but_never_larger() -> None:
    assert shrink(np.zeros((3000, 1000, 3), np.uint8)).shape == (LONGEST, LONGEST // 3, 3)
    assert shrink(np.zeros((1, 5000, 3), np.uint8)).shape == (1, LONGEST, 3)
    assert shrink(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)


def test_nine_rows_of_the_worst_pictures_stay_within_the_limit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (LONGEST, LONGEST, 3), np.uint8)
    panel = Panel("Image", "noise", noise)
    row = Row(Pick("", "a", 0.5), "", (panel,) * 4, frozenset(), has_ignored=False)
    total = 9 * sum(len(uri) for uri in encode([row], BUDGET // 9)[0])
    assert total <= BUDGET < LIMIT - 500_000


def test_unknown_splits_are_refused(pair: Run) -> None:
    with pytest.raises(UsageError, match="Did you mean test"):
        write_report(pair, "tset")
