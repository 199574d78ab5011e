"""Suspected label errors: planted ones are found first, and a region is what its definition says."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.data.dataset import IGNORE
from maskwright.evaluation import suspects
from maskwright.evaluation.suspects import Region, find_suspects, ranked, regions_of
from maskwright.metrics.counts import Counts
from maskwright.reports import write_report
from maskwright.runs import Run
from support import PLANTED, planted


@pytest.fixture(name="planted", scope="module")
def planted_run() -> Run:
    return Run.open(planted())


def counts_of(run: Run) -> Counts:
    return Counts.load(run.root / "evaluation" / "test-counts.npz")


def test_planted_label_errors_rank_first(planted: Run) -> None:
    found = find_suspects(planted, "test", counts_of(planted))
    assert found.problems == ()
    assert len({region.image for region in found.regions}) == len(found.regions), "one region an image"
    first = found.regions[: len(PLANTED)]
    assert {region.image for region in first} == {f"images/{index}" for index in PLANTED}
    erased, added = (next(region for region in first if region.image == f"images/{index}") for index in PLANTED)
    assert (erased.given, erased.predicted, added.given, added.predicted) == (0, 1, 1, 0)
    # the erased disc is as large as the disc is, the square as the square
    assert added.pixels == pytest.approx(144, rel=0.35)
    assert added.box[2] <= 13 and added.box[3] <= 13
    assert all(region.confidence >= suspects.SURE for region in found.regions)


def test_the_report_shows_them_first(planted: Run, tmp_path: Path) -> None:
    shutil.copytree(planted.root, tmp_path / "run")
    html = write_report(Run(tmp_path / "run")).read_text()
    section = html[html.index('<h2 id="suspects">') : html.index('<h2 id="confusion">')]
    told = re.findall(r"<h3>(.*?)</h3>\s*<p class=\"facts\">.*?, in (.*?)</p>", section)
    assert set(told[: len(PLANTED)]) == {
        ("Predicted foreground, labelled background", "13"), ("Predicted background, labelled foreground", "16")
    }  # fmt: skip
    assert "They are suspects and not verdicts" in section
    assert section.count("<img") == 3 * len(told)


def test_looking_stops_where_no_image_can_outweigh_what_was_found(
    planted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find_suspects(planted, "test", counts_of(planted), limit=2)
    assert whole.num_looked_at < whole.num_wrong
    monkeypatch.setattr(suspects, "LOOKED_AT", 1)
    one = find_suspects(planted, "test", counts_of(planted), limit=2)
    assert one.num_looked_at == 1
    assert {region.image for region in one.regions} == {whole.regions[0].image}


def test_what_cannot_be_looked_at_is_told(planted: Run, tmp_path: Path) -> None:
    gone = find_suspects(planted, "test", counts_of(planted), tmp_path / "nowhere")
    assert gone.regions == ()
    assert "it is not there" in gone.problems[0]
    bare = Run(tmp_path)
    for name in ("config.yaml", "data.json", "environment.json"):
        (tmp_path / name).write_bytes((planted.root / name).read_bytes())
    assert "must be a finished run" in find_suspects(bare, "test", counts_of(planted)).problems[0]


def test_a_temperature_makes_confidence_what_it_should_be(planted: Run) -> None:
    assert find_suspects(planted, "test", counts_of(planted), temperature=1000.0).regions == ()


def blocks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A 40 × 60 image: a block of 10 × 12 predicted 1, a strip of 2 × 30 predicted 2, labelled 0; confidence 0.9."""
    truth, labels = np.zeros((2, 40, 60), np.uint8)
    labels[5:15, 4:16] = 1
    labels[30:32, 10:40] = 2
    return truth, labels, np.full((40, 60), 0.9, np.float32)


def test_a_region_is_measured() -> None:
    found = regions_of("a", *blocks())
    assert len(found) == 1, "the strip is none"
    region = found[0]
    assert (region.box, region.pixels, region.given, region.predicted) == ((5, 4, 10, 12), 120, 0, 1)
    assert region.confidence == pytest.approx(0.9)
    assert region.weight == pytest.approx(108)
    assert region.inside.all() and region.inside.shape == (10, 12)


def test_doubt_ignored_pixels_and_agreement_are_no_suspicion() -> None:
    truth, labels, confidence = blocks()
    assert regions_of("a", truth, labels, np.full_like(confidence, suspects.SURE - 0.01)) == []
    assert regions_of("a", np.full_like(truth, IGNORE), labels, confidence) == []
    assert regions_of("a", labels, labels, confidence) == []


def test_a_region_at_the_border_keeps_its_size() -> None:
    truth, labels, confidence = blocks()
    labels[:] = 0
    labels[:6, :6] = 3
    assert [region.pixels for region in regions_of("a", truth, labels, confidence)] == [36]


def test_size_times_confidence_ranks() -> None:
    region = regions_of("a", *blocks())[0]
    small_sure = replace(region, image="b", pixels=100, confidence=1.0)
    large_unsure = replace(region, image="c", pixels=130, confidence=0.81)
    assert [one.image for one in ranked([small_sure, region, large_unsure])] == ["a", "c", "b"]
    assert isinstance(region, Region)
