"""The comparison's page read back, and the data of its plots."""

from __future__ import annotations

import base64
import io
import itertools
import re
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image
from report_making import LIMIT, Page, fake_run, history

from maskwright.comparison import Comparison, Cost, Entry, Failure
from maskwright.comparison.entries import Standings
from maskwright.comparison.standings import standings
from maskwright.data.pictures import ADDED_COLOUR, MISSED_COLOUR, css
from maskwright.data.record import read_split
from maskwright.errors import UsageError
from maskwright.metrics.counts import Counts, count_image
from maskwright.prediction.writers import write_labels
from maskwright.reports.comparison_facts import gather_comparison, scale_of, short_labels
from maskwright.reports.comparison_gallery import candidates, compared_gallery
from maskwright.reports.comparison_page import write_comparison_report
from maskwright.reports.comparison_plots import CostPlot, CostPoint, cost_plots, draw_cost, validation_curves
from maskwright.reports.comparison_words import comparison_remarks, comparison_verdict
from maskwright.reports.gallery import BUDGET, STEPS, Picture, data_uri, encode, shrink
from maskwright.reports.pages import TEMPLATES, share
from maskwright.reports.plots import COLOURS, PAPER, Curves, Line, draw_curves, spread_out
from maskwright.runs import Run

CATS = ("background", "cat")


def compared(
    folder: Path, names: Sequence[str], seeds: int = 1, classes: Sequence[str] = CATS,
    sizes: tuple[int, int, int] = (2, 1, 5), epochs: int = 6, step: int = 2, side: int = 32,
) -> Comparison:  # fmt: skip
    """Models on the same generated images; the n-th is wrong on `step` more columns of every image than the last."""
    first = fake_run(folder, classes, sizes, epochs, side)
    triples = list(read_split(first.data, "test"))
    entries = []
    for place, name in enumerate(names):
        runs, counts = [], []
        for seed in range(seeds):
            run = Run(folder / "cells" / f"{place}-{seed}")
            shutil.copytree(first.root, run.root, ignore=shutil.ignore_patterns("evaluation"))
            run.write_config(first.config.replace({"train.seed": seed, "optim.lr": 0.001 * (place + 1)}), {})
            rows = history(epochs)
            for row in rows:
                row["val_iou"] *= 1 - 0.05 * place - 0.01 * seed
                row["val_loss"] *= 1 + 0.1 * place
            run.write_rows("history.csv", rows)
            counts.append(_predict(run, triples, place * step + seed, len(classes)))
            runs.append(run)
        val = tuple(max(row["val_iou"] for row in run.history) for run in runs)
        cost = Cost(10_000 * 3**place, 2e6 * 2**place, 10.0 + place, 5.0 * (place + 1))
        entries.append(Entry(name, {"optim.lr": 0.001 * (place + 1)}, tuple(runs), tuple(counts), val, cost))
    images = tuple(name for name, _, _ in triples)
    root = folder / "comparison"
    root.mkdir()
    (root / "comparison.yaml").write_text("base: {model: unet}\nmatrix:\n  optim.lr: [0.001, 0.002]  # <two>\n")
    return Comparison("test", tuple(classes), images, (None,) * len(images), tuple(entries), (), root)


def _predict(run: Run, triples: Sequence[tuple[str, np.ndarray, np.ndarray]], wrong: int, num_classes: int) -> Counts:
    """Labels that are wrong on `wrong` columns, and one more for each further image."""
    parts = []
    for index, (name, _, mask) in enumerate(triples):
        labels = np.where(mask == 255, 0, mask).astype(np.uint8)
        labels[:, : wrong + index] = (labels[:, : wrong + index] + 1) % num_classes
        parts.append(count_image(name, mask, labels, num_classes))
        write_labels(run.root / "evaluation" / "predictions" / "test" / f"{name}.png", labels, num_classes)
    return Counts.join(parts)


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three models of two seeds on five images, and a failure; its page is written. Not to be changed."""
    names = ("unet", "fpn & <b>x", "unet · lr 0.003")
    found = compared(tmp_path_factory.mktemp("cats"), names, seeds=2)
    found = replace(
        found, failures=(Failure("unet64 · seed 1", "It needs 9 GiB <of> memory; use a smaller batch_size."),)
    )
    write_comparison_report(found)
    return found


@pytest.fixture(scope="module")
def stood(cats: Comparison) -> Standings:
    return standings(cats)


def root_of(comparison: Comparison) -> Path:
    assert comparison.root
    return comparison.root


def words(page: Page) -> str:
    return " ".join(page.text.split())


@pytest.fixture(scope="module")
def page(cats: Comparison) -> Page:
    return Page.read(root_of(cats) / "report.html")


def test_page_has_its_parts_in_order(page: Page) -> None:
    assert [told for level, told in page.headings if level == 1] == ["comparison"]
    parts = [told for level, told in page.headings if level == 2]
    assert parts == ["Best, typical and worst test image", "Standings", "Accuracy against cost", "Training",
                     "The same images, every model", "What failed", "What was compared", "How it was made"]  # fmt: skip
    levels = [level for level, _ in page.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is skipped"


def test_page_needs_nothing_from_outside(cats: Comparison, page: Page) -> None:
    html = (root_of(cats) / "report.html").read_text()
    names = ("src", "href", "xlink:href", "action", "poster", "srcset")
    links = [link for name in names for link in page.values.get(name, [])]
    outside = [link for link in links if not link.startswith(("data:", "#"))]
    assert outside == []
    without_pictures = re.sub(r'src="data:[^"]*"', "", html)
    assert re.findall(r"https?://|<script|@import|xmlns|<b>x", without_pictures) == []
    assert set(re.findall(r"url\(\s*.", without_pictures)) <= {"url(#"}
    assert re.findall("#0[123]0[0-9a-f]{3}", without_pictures) == [], (
        "a stand-in was not exchanged for the page's colour"
    )
    ids = page.values["id"]
    assert len(ids) == len(set(ids))
    asked = re.findall(r"url\(#([^)]*)\)", html) + [link[1:] for link in page.values["href"] if link.startswith("#")]
    assert set(asked) | set(page.values["aria-labelledby"]) <= set(ids)


def test_standings_are_those_of_the_counts(stood: Standings, page: Page) -> None:
    table = page.table("Model")
    assert [row[0].removesuffix(" chosen on validation") for row in table[1:]] == [row.name for row in stood.rows]
    assert [row[0].endswith("chosen on validation") for row in table[1:]] == [row.chosen for row in stood.rows]
    for told, row in zip(table[1:], stood.rows, strict=True):
        low, high = row.intervals["iou"]
        assert told[1] == f"{row.metrics['iou']:.3f} {low:.3f} to {high:.3f}"
        assert told[-1] == {"best": "highest", "tie": "tie", "worse": "worse"}[row.verdict]
        if row.verdict != "best":
            low, high = row.difference_interval
            assert told[3] == f"{row.difference:+.3f} {low:+.3f} to {high:+.3f}".replace("-", "−")
    # four columns more of 32 are wrong on every image
    assert [row.verdict for row in stood.rows][::2] == ["best", "worse"]


def test_other_scores_have_their_intervals_and_validation_its_own(stood: Standings, page: Page) -> None:
    table = next(rows for rows in page.tables if rows[0][1:2] == ["F1 (Dice)"])
    assert table[0][1:] == ["F1 (Dice)", "Precision", "Recall", "Accuracy", "Validation IoU"]
    outlines = next(rows for rows in page.tables if rows[0][1:2] == ["Boundary IoU"])
    assert outlines[0][1:] == ["Boundary IoU", "Boundary F", "HD95 (px, lower is better)"]
    areas = ("f1", "precision", "recall", "accuracy")
    for rows, names in ((table, areas), (outlines, ("boundary_iou", "boundary_f", "hd95"))):
        for told, row in zip(rows[1:], stood.rows, strict=True):
            for place, name in enumerate(names):
                digits, (low, high) = 1 if name == "hd95" else 3, row.intervals[name]
                assert told[1 + place] == f"{row.metrics[name]:.{digits}f} {low:.{digits}f} to {high:.{digits}f}"
    assert [told[-1] for told in table[1:]] == [f"{row.val:.3f}" for row in stood.rows]


def test_strips_lie_where_the_scores_do(cats: Comparison, stood: Standings) -> None:
    html = (root_of(cats) / "report.html").read_text()
    scales = [scale for scale in gather_comparison(cats).scales if scale]
    rows = re.findall(r'<tr class="is-(?:best|tie|worse)">.*?</tr>', html, flags=re.DOTALL)
    assert len(scales) == 2 and all(0 <= scales[1].at(0) <= 1 for scale in scales)
    for html_row, row in zip(rows, stood.rows, strict=True):
        score, gap = html_row.split('class="track"')[1:]

        def values(strip: str, key: str, place: int) -> list[float]:
            found = [float(at) for at in re.findall(rf"{key}: ([\d.-]+)", strip)]
            assert all(0 <= at <= 1 for at in found)
            return [scales[place].low + (scales[place].high - scales[place].low) * at for at in found]

        *dots, mean = values(score, "--at", 0)
        assert len(dots) == 2 and mean == pytest.approx(row.metrics["iou"], abs=1e-4)
        assert np.mean(dots) == pytest.approx(row.metrics["iou"], abs=1e-4)
        ends = [*values(score, "--low", 0), *values(score, "--high", 0)]
        assert ends == pytest.approx(row.intervals["iou"], abs=1e-4)
        assert values(gap, "--at", 1) == pytest.approx([] if row.verdict == "best" else [row.difference], abs=1e-4)


@pytest.mark.parametrize(("values", "ends"), [
    ((0.713, 0.842), (0.7, 0.86)), ((0.5,), (0.498, 0.502)), ((0.0, 1.0), (0.0, 1.0)), ((0.9961, 0.9987), (0.996, 1.0)),
    ((float("nan"),), None),
])  # fmt: skip
def test_scales_have_round_ends_that_hold_all(values: tuple[float, ...], ends: tuple[float, float] | None) -> None:
    scale = scale_of(values, (0.0, 1.0))
    assert (scale and (scale.low, scale.high)) == (ends and pytest.approx(ends))


def test_the_verdict_is_that_of_every_table_in_at_most_three_sentences(
    cats: Comparison, stood: Standings, page: Page
) -> None:
    facts = gather_comparison(cats)
    told = comparison_verdict(facts)
    assert len(told) == 3
    assert [text.replace("\xa0", " ") for text in told] == list(stood.verdict)
    assert "95\xa0% interval" in told[0] and "unet\xa0· lr\xa00.003" in told[1]  # a name is not broken within its parts
    assert " ".join(stood.verdict) in words(page).replace("\xa0", " ")
    every = " ".join(comparison_remarks(facts))
    assert "5 images are few" in every and "1 cell failed" in every


def test_what_the_runs_do_not_share_is_remarked(cats: Comparison) -> None:
    note = "Foreground thresholds differ: 0.5 for unet; 0.2 for fpn. A difference may come from these."
    assert note in comparison_remarks(gather_comparison(replace(cats, notes=(note,))))


def test_longer_training_is_not_held_out_to_models_that_overfit(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), epochs=12)
    for entry in found.entries:
        rows = entry.runs[0].history
        for place, row in enumerate(rows):
            row["val_iou"], row["train_iou"] = 0.6 + 0.001 * place, 0.62
        entry.runs[0].write_rows("history.csv", rows)
    told = "unet was at its best when training ended: longer training may change the order."
    assert told.replace("unet was at its", "All models were at their") in comparison_remarks(gather_comparison(found))
    spoilt = found.entries[1].runs[0]
    rows = spoilt.history
    for place, row in enumerate(rows):
        row["train_iou"], row["val_loss"] = 0.9, 0.4 + 0.05 * abs(place - 4)
    spoilt.write_rows("history.csv", rows)
    assert told in comparison_remarks(gather_comparison(found))


def test_a_single_image_allows_no_verdict(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), sizes=(2, 1, 1))
    html = write_comparison_report(found).read_text()
    page = Page.read(root_of(found) / "report.html")
    assert "cannot be told apart (cat IoU" in words(page)
    assert "One image tells nothing of how the scores would differ on others." in words(page)
    assert [row[-1] for row in page.table("Model")[1:]] == ["highest", "tie"]
    assert 'class="range"' not in html
    assert "nan" not in re.findall(r"[a-z]+", words(page).lower())


def test_curves_hold_every_seed_and_their_mean(cats: Comparison) -> None:
    iou, loss = validation_curves(gather_comparison(cats))
    assert (iou.key, loss.key) == ("iou", "loss")
    for line, entry in zip(iou.lines, cats.entries, strict=True):
        histories = [[row["val_iou"] for row in run.history] for run in entry.runs]
        assert line.seeds == tuple(map(tuple, histories))
        assert line.mean == pytest.approx(np.mean(histories, axis=0))


def test_a_mean_ends_with_the_shortest_seed(cats: Comparison) -> None:
    facts = gather_comparison(cats)
    short = ((facts.histories[0][0], facts.histories[0][1][:3]), *facts.histories[1:])
    iou, _ = validation_curves(replace(facts, histories=short))
    assert [len(seed) for seed in iou.lines[0].seeds] == [6, 3]
    assert len(iou.lines[0].mean) == 3


def test_the_front_is_what_nothing_cheaper_reaches(cats: Comparison, page: Page) -> None:
    plots = cost_plots(gather_comparison(cats))
    assert [plot.key for plot in plots] == ["multiply-adds"]  # of three models
    for plot in plots:
        for point in plot.points:
            beaten = any(
                other.cost <= point.cost and other.score >= point.score and other != point for other in plot.points
            )
            assert point.on_front == (not beaten)
    dearest_first = [replace(one, cost=Cost(100 - place, 1.0, 1.0, 1.0)) for place, one in enumerate(cats.entries)]
    only = cost_plots(gather_comparison(replace(cats, entries=tuple(dearest_first))))
    assert [plot.key for plot in only] == ["parameters"]  # the rest cost the same
    assert sum(point.on_front for point in only[0].points) == 3
    assert page.svgs == 1 + 2


def test_cost_is_drawn_as_often_as_it_says_something_different(cats: Comparison) -> None:
    def keys(*costs: tuple[float, ...]) -> list[str]:
        many = tuple(
            replace(cats.entries[0], name=f"m{n}", cost=Cost(int(cost[0]), *cost[1:])) for n, cost in enumerate(costs)
        )
        return [plot.key for plot in cost_plots(gather_comparison(replace(cats, entries=many)))]

    apart = ((1, 1, 9, 5, 4, 6), (2, 2, 8, 10, 9, 11), (3, 3, 7, 15, 14, 16), (4, 4, 6, 20, 19, 21))
    assert keys(*apart) == ["multiply-adds"]  # all costs order the models alike
    crossed = (*apart[:3], (4, 0.5, 6, 20, 19, 21))
    assert keys(*crossed) == ["multiply-adds", "parameters"]
    assert keys(*crossed[1:]) == ["multiply-adds"]  # of three models one plot
    slow = (*apart[:3], (4, 4, 6, 1, 0.9, 1.1))
    assert keys(*slow) == ["multiply-adds", "milliseconds"]
    assert keys(*(cost[:4] for cost in slow)) == ["multiply-adds"]  # a time without its spread is noise
    assert keys(*slow[:3], (4, 4, 6, 1, 0.9, 9.5)) == ["multiply-adds"]  # one that overlaps as well
    assert keys(*((1, 1, *cost[2:]) for cost in apart)) == ["milliseconds"]


def test_cost_plots_draw_the_intervals_of_the_scores(cats: Comparison, stood: Standings) -> None:
    plot = cost_plots(gather_comparison(cats))[0]
    of_rows = {tuple(row.intervals["iou"]) for row in stood.rows}
    assert {point.interval for point in plot.points} == of_rows
    axes = draw_cost(plot).axes[0]
    drawn = [tuple(line.get_ydata()) for line in axes.lines if line.get_marker() == "_"]  # type: ignore[arg-type]
    assert set(drawn) == of_rows
    low, high = axes.get_ylim()
    assert all(low < end < high for pair in drawn for end in pair)
    assert f"({plot.points[0].interval[0]:.3f} to {plot.points[0].interval[1]:.3f})" in plot.alt


def lab(colour: str) -> np.ndarray:
    """A colour as CIE L*a*b*, in which distances are as they are seen."""
    rgb = np.array([[[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]]], np.float32)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0, 0]


def test_models_have_none_of_the_colours_of_errors() -> None:
    style = (TEMPLATES / "comparison.css").read_text()
    light, dark, printed = (re.findall(r"--c\d: (#\w{6})", line) for line in style.splitlines() if "--c0: #" in line)
    assert list(PAPER.lines[:COLOURS]) == light == printed
    errors = [css(MISSED_COLOUR), css(ADDED_COLOUR)]
    for colour, error in itertools.product(light + dark, errors):
        assert np.linalg.norm(lab(colour) - lab(error)) > 23, (colour, error)


def test_a_table_wider_than_its_page_shows_that_it_scrolls(cats: Comparison) -> None:
    page = (root_of(cats) / "report.html").read_text()
    rule = page[page.index(".scroll {") :].split("}")[0]
    assert "overflow-x: auto" in rule and "no-repeat local" in rule and "no-repeat scroll" in rule


def test_costs_that_were_not_measured_are_dashes(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), sizes=(2, 1, 2))
    nan = float("nan")
    found = replace(found, entries=tuple(replace(one, cost=Cost(5, nan, nan, nan)) for one in found.entries))
    write_comparison_report(found)
    page = Page.read(root_of(found) / "report.html")
    assert "What the models cost does not tell them apart" in words(page)
    costs = next(rows for rows in page.tables if rows[0][1:2] == ["Parameters"])
    assert [row[1:] for row in costs[1:]] == [["5", "–", "–", "–"]] * 2


def boxes_of(figure: Figure) -> list[Bbox]:
    """Where the names in a figure are once it is drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [
        text.get_window_extent(canvas.get_renderer())
        for text in [*figure.texts, *figure.axes[0].texts]
        if text.get_text()
    ]


@pytest.mark.parametrize("num", [2, 5, 12])
@pytest.mark.parametrize("crowd", ["spread", "crowded", "one place"])
@pytest.mark.parametrize("is_numbered", [False, True])
def test_names_in_a_cost_plot_cover_nothing(num: int, crowd: str, is_numbered: bool) -> None:
    rng = np.random.default_rng(num)
    reach = {"spread": 0.3, "crowded": 0.02, "one place": 1e-6}[crowd]
    scores, costs = 0.6 + reach * rng.random(num), 10 ** (6 + 5 * reach * rng.random(num))
    points = tuple(CostPoint(f"model/encoder-{place}", place + 1, float(cost), float(score), True, on_front=not place)
                   for place, (cost, score) in enumerate(zip(costs, scores)))  # fmt: skip
    figure = draw_cost(CostPlot("parameters", "Parameters", "", points, is_numbered))
    boxes = boxes_of(figure)
    assert len(boxes) == num, "a model has no name"
    assert all(not a.overlaps(b) for a, b in itertools.combinations([box.shrunk(0.98, 0.8) for box in boxes], 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 0.5 for box in boxes)


@pytest.mark.parametrize("num", [2, 12])
def test_names_of_curves_are_kept_apart(num: int) -> None:
    lines = tuple(Line(f"model/encoder-{place}", place + 1, ((0.2, 0.5),), (0.2, 0.5)) for place in range(num))
    for key in ("iou", "loss"):
        figure = draw_curves(Curves(key, "Validation", lines, num > 6))
        boxes = boxes_of(figure)
        assert len(boxes) == num
        assert all(not a.overlaps(b) for a, b in itertools.combinations([box.shrunk(1, 0.8) for box in boxes], 2))
        assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_pictures_are_the_same_images_under_every_model(cats: Comparison, page: Page) -> None:
    assert len(page.images) == 3 * 4 + 5 * (3 + 3)
    for image in page.images:
        head, _, body = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
        picture.load()
        assert picture.size == (int(image["width"]), int(image["height"])) == (32, 32)
        assert len(image["alt"]) > 8


def test_the_best_a_typical_and_the_worst_image_stand_before_the_standings(cats: Comparison) -> None:
    """By their mean score over the models: image, truth, how many models are wrong, and the errors of the first."""
    html = (root_of(cats) / "report.html").read_text()
    before = html[html.index("<main>") : html.index('<h2 id="standings">')]
    scores = [one.image_scores() for one in gather_comparison(cats).contenders]
    order = [cats.images[index] for index in np.argsort(np.mean(scores, axis=0), kind="stable")]
    assert re.findall(r'<h3 title="([^"]*)">', before) == [order[-1], order[len(order) // 2], order[0]]
    assert re.findall(r'class="role">(\w+)<', before) == ["Best", "Typical", "Worst"]
    told = re.findall(r"<figcaption>([^<]+?) *<", before)
    assert told == ["Image", "Truth", "Models wrong", gather_comparison(cats).contenders[0].shown] * 3


def test_images_are_ordered_by_disagreement(cats: Comparison) -> None:
    """The n-th image adds n wrong columns to each model's own, so they differ on the same columns but at the edge."""
    facts = gather_comparison(cats)
    rows = compared_gallery(facts).others
    labels = {
        row.pick.name: [read_labels(one.entry.runs[one.shown_run], row.pick.name) for one in facts.contenders]
        for row in rows
    }
    shares = []
    for row in rows:
        apart = [len({int(one[y, x]) for one in labels[row.pick.name]}) > 1 for y in range(32) for x in range(32)]
        assert row.text == f"The models disagree on {share(float(np.mean(apart)))} of it"
        shares.append(float(np.mean(apart)))
    assert shares == sorted(shares, reverse=True) and shares[0] > 0


def read_labels(run: Run, name: str) -> np.ndarray:
    with Image.open(run.root / "evaluation" / "predictions" / "test" / f"{name}.png") as picture:
        return np.asarray(picture)


def test_of_many_images_those_are_looked_at_whose_counts_differ(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), sizes=(1, 1, 30), side=16)
    odd = 7  # the one image on which the second model is far off
    second = found.entries[1]
    counts = second.counts[0]
    matrix = found.entries[0].counts[0].matrix.copy()
    matrix[odd] = matrix[odd][:, ::-1]
    entry = replace(second, counts=(replace(counts, matrix=matrix),))
    facts = gather_comparison(replace(found, entries=(found.entries[0], entry)))
    names = candidates(facts)
    assert len(names) == 24
    assert found.images[odd] in names


def test_moved_data_leaves_the_page_without_pictures(cats: Comparison, tmp_path: Path) -> None:
    shutil.copytree(root_of(cats).parent, tmp_path / "copy")
    moved = tmp_path / "copy" / "data"
    runs = [tuple(Run(tmp_path / "copy" / "cells" / run.root.name) for run in entry.runs) for entry in cats.entries]
    for run in itertools.chain(*runs):
        run.write_json("data.json", {**run.data, "root": str(tmp_path / "gone")})
    entries = tuple(replace(entry, runs=own) for entry, own in zip(cats.entries, runs, strict=True))
    found = replace(cats, entries=entries, root=tmp_path / "out")
    page = Page.read(write_comparison_report(found))
    assert page.images == []
    assert f"The data folder {tmp_path / 'gone'} is not there any more" in words(page)
    rows = compared_gallery(gather_comparison(found), moved).others
    assert [picture.pixels is not None for row in rows for picture in row.pictures] == [True] * 5 * 6


def test_a_lost_or_changed_prediction_is_told(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), sizes=(2, 1, 3))
    folder = found.entries[1].runs[0].root / "evaluation" / "predictions" / "test"
    (folder / f"{found.images[0]}.png").unlink()
    write_labels(folder / f"{found.images[1]}.png", np.zeros((32, 32), np.uint8), 2)
    gallery = compared_gallery(gather_comparison(found))
    lacking = [(row.pick.name, one.title) for row in gallery.others for one in row.pictures if one.pixels is None]
    assert sorted(lacking) == [(found.images[0], "fpn"), (found.images[1], "fpn")]
    assert len(gallery.others) == 3
    (problem,) = gallery.problems
    assert problem.startswith("fpn is missing in some pictures. `") and "maskwright evaluate" in problem


def test_a_thousand_images_and_twelve_models_stay_small(cats: Comparison, tmp_path: Path) -> None:
    """By their counts alone: the data is gone, as it may be."""
    rng = np.random.default_rng(0)
    images = tuple(f"image-{index}" for index in range(1000))
    first, entries = cats.entries[0], []
    for place in range(12):
        right = rng.integers(500, 900, 1000)
        matrix = np.zeros((1000, 2, 2), np.int64)
        matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 1, 0] = 500, right, 900 - right + 20 * place
        nothing = np.zeros((1000, 2), np.int64)
        counts = replace(first.counts[0], images=images, **blank(first.counts[0], matrix, nothing))
        run = Run(tmp_path / f"run-{place}")
        shutil.copytree(first.runs[0].root, run.root)
        run.write_json("data.json", {**run.data, "root": str(tmp_path / "gone")})
        name, cost = (
            f"a rather long name of a model, the number {place} of twelve",
            Cost(1000 * (place + 1), 1e6, 10.0, 1.0),
        )
        entries.append(Entry(name, {}, (run,), (counts,), (0.5,), cost))
    found = Comparison("test", CATS, images, (None,) * 1000, tuple(entries), root=tmp_path / "out")
    path = write_comparison_report(found)
    page = Page.read(path)
    assert path.stat().st_size < LIMIT / 10
    assert "On 1,000 test images" in words(page)
    assert len(page.table("Model")) == 13
    assert [row[0].split(" ")[0] for row in page.table("Model")[1:]] == [str(number) for number in range(1, 13)]


def blank(counts: Counts, matrix: np.ndarray, nothing: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of counts with this confusion; all else is nothing, in the shape it has."""
    arrays = {item.name: getattr(counts, item.name) for item in fields(counts)}
    shaped = {name: np.zeros((len(matrix), *value.shape[1:]), value.dtype) for name, value in arrays.items()
              if isinstance(value, np.ndarray)}  # fmt: skip
    return {**shaped, "matrix": matrix, "boundary_overlap": nothing, "boundary_union": nothing}


def test_the_page_stays_below_its_limit(tmp_path: Path) -> None:
    """Pictures of noise, which no JPEG makes small."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (480, 480, 3), np.uint8)
    pictures = [Picture("", "noise", noise) for _ in range(14)]
    budget = BUDGET // 6
    encode(pictures, budget)
    assert sum(len(one.uri) for one in pictures) <= budget
    (side,) = {one.width for one in pictures}
    assert side < 480 and all(one.height == side for one in pictures)
    next_larger = [(longest, quality) for longest, quality in STEPS if longest > side][-1]
    assert 14 * len(data_uri(shrink(noise, next_larger[0]), next_larger[1])) > budget, "larger would fit"


def test_failures_settings_command_and_machine_are_told(cats: Comparison, page: Page) -> None:
    text = words(page)
    for told in ("unet64 · seed 1", "It needs 9 GiB <of> memory; use a smaller batch_size.", "# <two>",
                 "3 from 6 runs, 1 failed", "maskwright train 'a b'", "6 epochs each", "5 images of the test split",
                 "2026-01-02 03:04:05 UTC"):  # fmt: skip
        assert told in text
    settings = next(rows for rows in page.tables if "optim.lr" in rows[0])
    assert settings[0] == ["Model", "optim.lr"]
    assert [row[1] for row in settings[1:]] == ["0.001", "0.002", "0.003"]


def test_other_machines_are_remarked(tmp_path: Path) -> None:
    found = compared(tmp_path, ("unet", "fpn"), sizes=(2, 1, 2))
    assert not any("processor" in told for told in comparison_remarks(gather_comparison(found)))
    run = found.entries[1].runs[0]
    run.write_json(
        "environment.json", {**run.environment, "machine": {**run.environment["machine"], "processor": "another"}}
    )
    told = comparison_remarks(gather_comparison(found))
    assert "The runs were made on 2 kinds of processor: times can't be compared." in told


def test_with_nothing_scored_the_page_gives_the_reasons(tmp_path: Path) -> None:
    failures = (Failure("unet", "The loss was not a number."), Failure("fpn", "The disk is full."))
    page = Page.read(write_comparison_report(Comparison("test", (), (), (), (), failures, tmp_path)))
    assert "None of the 2 cells could be scored; the reasons are below." in words(page)
    assert "The loss was not a number." in words(page)
    assert page.tables == []


def test_without_a_folder_it_asks_for_one(cats: Comparison, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`out` must be a folder"):
        write_comparison_report(replace(cats, root=None))
    assert write_comparison_report(replace(cats, root=None), out=tmp_path / "here") == tmp_path / "here" / "report.html"


def test_the_same_comparison_gives_the_same_bytes(cats: Comparison) -> None:
    files = [root_of(cats) / "report.html", *sorted((root_of(cats) / "plots").iterdir())]
    assert [file.name for file in files[1:]] == [
        "cost-multiply-adds.png", "standings.png", "validation-iou.png", "validation-loss.png",
    ]  # fmt: skip
    before = [file.read_bytes() for file in files]
    write_comparison_report(cats)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(("names", "labels"), [
    (["unet", "fpn"], ["unet", "fpn"]),
    (["study-of-2026-unet-x", "study-of-2026-fpn-resnet34-x"], ["study-of-2026-unet-x", "…fpn-resnet34-x"]),
    (["a" * 40, "a" * 39 + "b"], ["aaaaaaaaa…aaaaaaaaaa", "aaaaaaaaa…aaaaaaaaab"]),
    (["a" * 40], ["aaaaaaaaa…aaaaaaaaaa"]),
])  # fmt: skip
def test_names_are_cut_to_fit_beside_a_line(names: list[str], labels: list[str]) -> None:
    assert short_labels(names) == labels


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_spread_names_keep_their_order_and_their_distance(positions: list[float]) -> None:
    moved = spread_out(positions, 8.0, 0.0, 100.0)
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    heights = [moved[index] for index in order]
    assert all(after - before >= 8.0 - 1e-6 for before, after in itertools.pairwise(heights))
    assert heights[0] >= -1e-6 and heights[-1] <= 100 + 1e-6
