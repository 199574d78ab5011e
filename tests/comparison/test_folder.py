"""Finished runs as a comparison, and a comparison's folder opened again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compared import SEEDS, compared, states

from maskwright.comparison.collect import compare_runs, ensure_scored
from maskwright.comparison.folder import comparison_out, is_comparison, keep_runs, open_comparison, read_plan
from maskwright.comparison.standings import standings
from maskwright.config import Config
from maskwright.errors import RunError, UsageError
from maskwright.evaluation import evaluate
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from support import finished

pytestmark = pytest.mark.xdist_group("comparison")


def cell(up: str, seed: int) -> Run:
    return Run.open(compared() / "cells" / f"up-{up}_seed-{seed}")


def copied(run: Run, to: Path) -> Run:
    shutil.copytree(run.root, to)
    return Run.open(to)


def changed(run: Run, change: object) -> Run:
    """A run whose data.json is another."""
    document = run.data
    change(document)  # pyright: ignore[reportCallIssue]
    run.write_json("data.json", document)
    return run


# ------------------------------------------------------------------ the folder


def test_a_folder_is_opened_as_what_was_compared():
    comparison = open_comparison(compared())
    assert is_comparison(compared()) and not is_comparison(compared() / "cells" / "up-bilinear_seed-0")
    assert [entry.name for entry in comparison.entries] == ["up transposed", "up bilinear"]
    assert [dict(entry.settings) for entry in comparison.entries] == [
        {"model.up": "transposed"},
        {"model.up": "bilinear"},
    ]
    for entry in comparison.entries:
        up = entry.settings["model.up"]
        assert [run.root.name for run in entry.runs] == [f"up-{up}_seed-{seed}" for seed in SEEDS]
        for run, counts, val in zip(entry.runs, entry.counts, entry.val, strict=True):
            assert counts.images == comparison.images
            assert np.array_equal(counts.matrix, Counts.load(run.root / "evaluation" / "test-counts.npz").matrix)
            assert val == max(row["val_iou"] for row in run.history)
    assert comparison.split == "test" and comparison.root == compared() and comparison.failures == ()
    assert comparison.groups == tuple(item["group"] for item in comparison.entries[0].runs[0].data["splits"]["test"])
    assert list(comparison.images) == [item["id"] for item in comparison.entries[0].runs[0].data["splits"]["test"]]
    assert comparison.classes == ("background", "foreground") and comparison.monitor == "val_iou"


def test_costs_are_those_of_the_scores_and_the_history():
    entry = open_comparison(compared()).entries[1]
    told = [run.read_json("evaluation/test.json")["cost"] for run in entry.runs]
    assert entry.cost.parameters == told[0]["parameters"] == told[1]["parameters"]
    assert entry.cost.multiply_adds == told[0]["multiply_adds"]
    assert entry.cost.milliseconds_an_image == pytest.approx(sum(one["milliseconds_an_image"] for one in told) / 2)
    assert entry.cost.milliseconds_low == min(one["milliseconds_low"] for one in told)
    assert entry.cost.milliseconds_high == max(one["milliseconds_high"] for one in told)
    assert entry.cost.train_seconds == pytest.approx(
        sum(row["seconds"] for run in entry.runs for row in run.history) / 2
    )


def test_cells_that_are_not_done_are_left_out_and_failures_told(tmp_path):
    root = tmp_path / "two"
    shutil.copytree(compared(), root)
    known = states(root)
    names = list(known)
    known[names[0]] = {"state": "waiting"}
    known[names[1]] = {"state": "failed", "reason": "so it is"}
    (root / "cells.json").write_text(json.dumps(known))
    comparison = open_comparison(root)
    assert sum(entry.num_seeds for entry in comparison.entries) == 2
    assert [(failure.name, failure.reason) for failure in comparison.failures] == [(names[1], "so it is")]


@pytest.mark.parametrize("name", ["plan.json", "cells.json"])
def test_a_spoilt_folder_is_told(tmp_path, name):
    root = tmp_path / "two"
    shutil.copytree(compared(), root)
    (root / name).write_text('{"cells":')
    with pytest.raises(RunError, match=rf"`.*{name}` must be valid JSON; line 1"):
        open_comparison(root)


def test_the_default_folder_is_the_first_that_is_free(tmp_path):
    config = Config().replace({"data.root": "somewhere/pets"})
    assert comparison_out(config, tmp_path) == tmp_path / "pets-compare-1"
    (tmp_path / "pets-compare-1").mkdir()
    assert comparison_out(config, tmp_path) == tmp_path / "pets-compare-2"


# ------------------------------------------------------------------ finished runs


def test_runs_that_differ_in_their_seed_alone_become_one_entry():
    runs = [cell("transposed", 1), cell("bilinear", 0), cell("transposed", 0)]
    comparison = compare_runs(runs)
    assert [(entry.name, entry.num_seeds) for entry in comparison.entries] == [
        ("up-transposed", 2),
        ("up-bilinear_seed-0", 1),
    ]
    assert [run.config.train.seed for run in comparison.entries[0].runs] == [0, 1]
    assert [dict(entry.settings) for entry in comparison.entries] == [
        {"model.up": "transposed"},
        {"model.up": "bilinear"},
    ]
    cells = open_comparison(compared())
    for ours, theirs in zip(comparison.entries[0].counts, cells.entries[0].counts, strict=True):
        assert np.array_equal(ours.matrix, theirs.matrix)


def test_a_rate_found_by_a_search_does_not_tell_seeds_apart(tmp_path):
    runs = [copied(cell("bilinear", seed), tmp_path / f"run-{seed}") for seed in SEEDS]
    for seed, run in enumerate(runs):
        run.write_config(run.config.replace({"optim.lr": 0.01 + seed / 1000}), {})
    assert [entry.num_seeds for entry in compare_runs(runs).entries] == [1, 1]
    for run in runs:
        run.write_json("environment.json", {**run.environment, "auto": {"optim.lr": "found"}})
    assert [entry.num_seeds for entry in compare_runs(runs).entries] == [2]


def test_the_same_setting_and_seed_twice_is_no_second_seed(tmp_path):
    runs = [copied(cell("bilinear", 0), tmp_path / name / "run") for name in ("a", "b")]
    comparison = compare_runs(runs)
    assert [entry.name for entry in comparison.entries] == [str(run.root) for run in runs]


def test_runs_not_yet_scored_are_scored(tmp_path):
    run = copied(cell("bilinear", 0), tmp_path / "run")
    before = Counts.load(run.root / "evaluation" / "test-counts.npz").matrix
    shutil.rmtree(run.root / "evaluation")
    comparison = compare_runs([run, cell("transposed", 0)])
    assert np.array_equal(comparison.entries[0].counts[0].matrix, before)
    scored = (run.root / "evaluation" / "test.json").stat().st_mtime_ns
    ensure_scored(run, "test")
    assert (run.root / "evaluation" / "test.json").stat().st_mtime_ns == scored


def test_another_order_of_images_is_put_right(tmp_path):
    run = copied(cell("bilinear", 1), tmp_path / "run")
    theirs = compare_runs([cell("bilinear", 0), cell("bilinear", 1)]).entries[0].counts[1]
    changed(run, lambda document: document["splits"]["test"].reverse())
    shutil.rmtree(run.root / "evaluation")
    ours = compare_runs([cell("bilinear", 0), run]).entries
    (counts,) = [
        counts for entry in ours for one, counts in zip(entry.runs, entry.counts, strict=True) if one.root == run.root
    ]
    assert counts.images == theirs.images and len(counts.images) == 2
    assert np.array_equal(counts.matrix, theirs.matrix) and np.array_equal(counts.boundary_union, theirs.boundary_union)


def test_other_runs_made_by_hand_are_compared_too():
    """`finished()` was trained with other flags on the same data."""
    comparison = (
        compare_runs([finished(), cell("bilinear", 0)])
        if isinstance(finished(), Run)
        else compare_runs([Run.open(finished()), cell("bilinear", 0)])
    )
    assert [entry.name for entry in comparison.entries] == ["run", "up-bilinear_seed-0"]
    assert {"model.up", "train.epochs"} <= comparison.entries[0].settings.keys()


def test_a_monitor_that_differs_falls_back_to_the_iou(tmp_path):
    run = copied(cell("bilinear", 1), tmp_path / "run")
    run.write_config(run.config.replace({"train.monitor": "val_loss"}), {})
    comparison = compare_runs([cell("transposed", 0), run])
    assert comparison.monitor == "val_iou"
    best = min(run.history, key=lambda row: row["val_loss"])
    assert comparison.entries[1].val == (best["val_iou"],)
    assert (
        "Runs were watched by different scores (val_iou and val_loss), so IoU on validation chooses"
        in comparison.notes[0]
    )


def test_unlike_losses_do_not_choose(tmp_path):
    """The least of two losses of one kind chooses; of two kinds it says nothing, and IoU does."""
    runs = [copied(cell(up, 0), tmp_path / up) for up in ("transposed", "bilinear")]
    for run in runs:
        run.write_config(run.config.replace({"train.monitor": "val_loss"}), {})
    alike = compare_runs(runs)
    assert alike.monitor == "val_loss" and alike.notes == ()
    assert alike.entries[0].val == (min(row["val_loss"] for row in runs[0].history),)
    runs[1].write_config(runs[1].config.replace({"loss": [{"name": "dice"}]}), {})
    unlike = compare_runs(runs)
    assert unlike.monitor == "val_iou" and unlike.entries[0].val[0] in [row["val_iou"] for row in runs[0].history]
    assert any(note.startswith("Values of different losses cannot be compared") for note in unlike.notes)
    assert any(text in unlike.notes for text in standings(unlike).sentences)


def test_thresholds_that_differ_are_told(tmp_path):
    """Scored at the run's own, at 0.2, and tuned on val by evaluation itself; tuned all alike is one way."""
    runs = [copied(cell("transposed", 0), tmp_path / "a"), copied(cell("bilinear", 0), tmp_path / "b")]
    assert compare_runs(runs).notes == ()
    evaluate(runs[1], "test", threshold=0.2)
    assert compare_runs(runs).notes == (
        "Foreground thresholds differ: 0.5 for a; 0.2 for b. A difference may come from these.",
    )
    evaluate(runs[1], "test", threshold="tuned")
    tuned = runs[1].read_json("evaluation/test.json")["threshold"]["value"]
    (note,) = compare_runs(runs).notes
    assert f"0.5 for a; {tuned:.3g} (tuned on val) for b" in note
    evaluate(runs[0], "test", threshold="tuned")
    assert compare_runs(runs).notes == ()


def test_boundary_f_at_different_widths_is_left_out(tmp_path):
    runs = [copied(cell("transposed", 0), tmp_path / "a"), copied(cell("bilinear", 0), tmp_path / "b")]
    assert "boundary_f" in standings(compare_runs(runs)).known_scores
    evaluate(runs[1], "test", boundary_width=1)
    comparison = compare_runs(runs)
    assert comparison.notes == ("Boundary F was counted at different widths (1 and 3 pixels), so it is left out.",)
    assert "boundary_f" not in standings(comparison).known_scores and "hd95" in standings(comparison).known_scores


def test_other_budgets_and_training_images_are_told(tmp_path):
    runs = [copied(cell("transposed", 0), tmp_path / "a"), copied(cell("bilinear", 0), tmp_path / "b")]
    runs[1].write_config(runs[1].config.replace({"train.epochs": 9}), {})
    assert compare_runs(runs).notes == ("The runs had different budgets: train.epochs (2 and 9) differs.",)
    for run in runs:  # within the same minutes the epochs come as they may
        run.write_config(run.config.replace({"train.epochs": "auto", "train.budget": "5m"}), {})
    assert compare_runs(runs).notes == ()
    changed(runs[1], lambda document: document["splits"]["train"].pop())
    assert compare_runs(runs).notes == (
        "The runs were trained on different images (3 and 4 of them): a difference may come from these.",
    )
    assert standings(compare_runs(runs)).chosen is not None
    changed(runs[1], lambda document: document["splits"]["val"].pop())
    assert compare_runs(runs).same_val is False and standings(compare_runs(runs)).chosen is None


def swap(document):
    first, second = document["splits"]["test"][:2]
    first["image_sha256"], second["image_sha256"] = second["image_sha256"], first["image_sha256"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda document: document["splits"]["test"].pop(), r"has 2 and .* 1, in .* they differ"),
        (lambda document: document["splits"]["test"][0].update(mask_sha256="0" * 64), "has other contents there"),
        (swap, "have other contents there"),
        (lambda document: document["splits"]["test"][0].update(id="other"), "they differ"),
        (lambda document: document["classes"].update(names=["background", "cat"]),
         "has background and foreground, .* background and cat"),
        (lambda document: document["classes"].update(values=[0, 128]), "same classes to be compared; .* has values"),
    ],
    ids=["fewer", "mask", "swapped", "name", "class", "value"],
)  # fmt: skip
def test_runs_on_other_images_are_refused(tmp_path, change, told):
    run = changed(copied(cell("bilinear", 0), tmp_path / "run"), change)
    with pytest.raises(RunError, match=told) as caught:
        compare_runs([cell("transposed", 0), run])
    assert "must have the same" in str(caught.value) and str(caught.value).count("\n") == 0


def test_what_cannot_be_compared_is_refused(tmp_path):
    run = cell("bilinear", 0)
    with pytest.raises(UsageError, match="at least two runs, each named once; got 1"):
        compare_runs([run])
    with pytest.raises(UsageError, match="twice"):
        compare_runs([run, Run.open(run.root.parent / "." / run.name)])
    half = copied(cell("bilinear", 1), tmp_path / "half")
    half.weights.unlink()
    with pytest.raises(RunError, match="must be a finished run"):
        compare_runs([run, half])
    with pytest.raises(UsageError, match="split"):
        compare_runs([run, cell("bilinear", 1)], "tset")


def test_finished_runs_are_kept_as_a_folder_that_opens_again(tmp_path):
    runs = [cell("transposed", 0), cell("transposed", 1), cell("bilinear", 0)]
    kept = keep_runs(compare_runs(runs), tmp_path / "kept")
    again = open_comparison(tmp_path / "kept")
    assert [(entry.name, entry.settings, entry.val, entry.cost) for entry in again.entries] == [
        (entry.name, entry.settings, entry.val, entry.cost) for entry in kept.entries
    ]
    assert kept.root == again.root == tmp_path / "kept"
    assert [Path(place.run) for place in read_plan(tmp_path / "kept").places] == [run.root.resolve() for run in runs]
    with pytest.raises(RunError, match="Go on with it: maskwright compare"):
        keep_runs(compare_runs(runs), tmp_path / "kept")
