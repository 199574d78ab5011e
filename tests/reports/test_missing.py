"""The report where parts of a run are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_making import Page, fake_run, score, shown

import maskwright.evaluation as evaluation_package
from maskwright.errors import RunError, UsageError
from maskwright.evaluation.intervals import intervals
from maskwright.evaluation.scoring import Evaluation
from maskwright.metrics.counts import count_image
from maskwright.metrics.scores import summary
from maskwright.prediction.writers import write_labels
from maskwright.reports import write_report
from maskwright.reports.facts import gather
from maskwright.reports.gallery import choose, make_gallery
from maskwright.runs import Run


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
    assert page.table("Class")[2][1:] == ["0 %", *["–"] * 7]
    assert page.table("truth")[3] == ["unicorn", "–", "–", "–"]
    assert page.table("Score")[-1][1] == "–"
    assert "cat and unicorn are in neither truth nor prediction and have no score." in page.text
    assert "other counts" in page.text  # the made-up truth isn't the file's
    assert document["classes"]["names"] == list(names)


def test_unknown_splits_are_refused(pair: Run) -> None:
    with pytest.raises(UsageError, match="Did you mean 'test'"):
        write_report(pair, "tset")
