"""Search with Optuna itself on tiny runs: what is proposed, pruned or fails, what a kill leaves, what is never read."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwright.comparison.cells import compare_cells
from maskwright.comparison.measuring import Measured
from maskwright.comparison.plan import CellPlan, ComparisonPlan, SearchPlan
from maskwright.comparison.search import Watch, counted, importance, open_study, record_trial, search, suggest
from maskwright.comparison.search_result import SearchResult, Trial, in_words
from maskwright.comparison.search_space import Choices, Range, Space, read_space
from maskwright.comparison.spec import read_matrix
from maskwright.errors import ConfigError, RunError, install_command
from maskwright.models import Segmenter
from maskwright.reports.search_plots import panels, write_plots
from maskwright.training import fit, gate, module
from support import TINY, data, maskwright, start, wait_until

BASE = """base:
  data: {root: ROOT, size: 32}
  model: {width: 2, depth: 2}
  optim: {lr: 0.01}
  train: {epochs: 3, repeats: 2, batch_size: 4, precision: fp32, devices: cpu}
  log: csv
"""
SPACE = "search:\n  lr: {low: 1e-4, high: 1e-1, log: true}\n  model.width: [2, 4]\n"


def written(folder: Path, rest: str = SPACE, root: Path | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "search.yaml"
    path.write_text(BASE.replace("ROOT", str(root or data())) + rest)
    return path


def space_of(folder: Path, rest: str = SPACE, root: Path | None = None, **more: Any) -> Space:
    return read_space(written(folder, rest, root), **more)


def told(result: SearchResult) -> list[tuple[str, dict[str, Any], float]]:
    return [(trial.state, dict(trial.values), trial.score) for trial in result.trials]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Space, SearchResult]:
    """A search of four trials. Not to be changed."""
    folder = tmp_path_factory.mktemp("search")
    space = space_of(folder, trials=4)
    return space, search(space, folder / "out")


# ------------------------------------------------------------------ the file


def test_a_space_is_read_with_short_names_text_numbers_and_flags(tmp_path: Path) -> None:
    rest = "search:\n  lr: {low: 1e-4, high: 1, log: yes}\n  batch-size: {low: 2, high: 8, step: 2}\n"
    rest += "  model: [unet, unet/resnet18]\n"
    space = space_of(tmp_path, rest + "  wd: {choices: [0, 0.02]}\ntrials: 7\nminutes: 3\nseed: 5\npruner: hyperband\n",
                     overrides=[("train.epochs", "9", "--epochs")])  # fmt: skip
    assert space.axes[0] == Range("optim.lr", 1e-4, 1, log=True) and not space.axes[0].is_whole
    assert space.axes[1] == Range("train.batch_size", 2, 8, step=2) and space.axes[1].is_whole
    assert space.axes[2] == Choices("model", {"unet": "unet", "unet/resnet18": "unet/resnet18"})
    assert space.axes[3] == Choices("optim.weight_decay", {"0": 0, "0.02": 0.02})
    assert (space.trials, space.minutes, space.seed, space.pruner) == (7, 3, 5, "hyperband")
    assert space.base.train.epochs == 9
    config = space.config_of(
        {"optim.lr": 0.3, "train.batch_size": 6, "model": "unet/resnet18", "optim.weight_decay": "0.02"}
    )
    assert (config.optim.lr, config.train.batch_size, config.model.name, config.optim.weight_decay) == (
        0.3,
        6,
        "smp",
        0.02,
    )


def test_trials_and_minutes_as_flags_come_before_the_file_s(tmp_path: Path) -> None:
    assert space_of(tmp_path, SPACE + "trials: 7\n", trials=2, minutes=1.5).trials == 2
    assert space_of(tmp_path, SPACE, minutes=1.5).minutes == 1.5


def test_the_base_itself_is_proposed_where_it_lies_in_the_space(tmp_path: Path) -> None:
    assert space_of(tmp_path).base_proposal() == {"optim.lr": 0.01, "model.width": "2"}
    assert space_of(tmp_path, "search:\n  model.width: [4, 8]\n").base_proposal() is None
    assert space_of(tmp_path, "search:\n  lr: {low: 0.1, high: 1}\n").base_proposal() is None
    steps = Range("x", 1, 9, step=2)
    assert steps.holds(5) and not steps.holds(4) and not steps.holds(11) and not steps.holds(True)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("", "must say what is searched. Give `search:`"),
        ("search:\n  lrr: [1, 2]\n", "line 8: Unknown key 'search.lrr'. Did you mean 'lr'?"),
        ("search:\n  lr: 0.1\n", "line 8: `search.lr` must be a range or a list of two choices and more; got 0.1"),
        ("search:\n  lr: [0.1]\n", "must be a range or a list of two choices"),
        ("search:\n  lr: [0.1, 0.10]\n", "must hold each value once"),
        ("search:\n  lr: {low: 1, high: 0.1}\n", "must have low below high; got 1 and 0.1"),
        ("search:\n  lr: {low: 0, high: 0.1, log: true}\n", "must begin above 0 with log"),
        ("search:\n  lr: {low: 0, high: 0.1, stp: 1}\n", "got 'stp'. Did you mean 'step'?"),
        ("search:\n  lr: {low: 0.1}\n", "must have a number as high; got None"),
        (
            "search:\n  lr: {low: 0.1, high: 1, log: true, step: 0.1}\n",
            "must have a step between 0 and high - low, and no log",
        ),
        (
            "search:\n  lr: [0.1, 1]\n  optim.lr: [0.1, 1]\n",
            "`search` must hold each key once; optim.lr stands there twice",
        ),
        ("search:\n  seed: [0, 1]\n", "the luckiest seed is no setting"),
        ("search:\n  epochs: [1, 2]\n", "must not be searched: all trials are trained on one budget"),
        ("search:\n  data.split.seed: [0, 1]\n", "scored on the same validation images"),
        ("search:\n  train.monitor: [val_iou, val_loss]\n", "must not be searched"),
        ("search:\n  lr: {low: -1, high: 0.1}\n", "line 8: `optim.lr` must be"),
        ("search:\n  loss: [dice, dise]\n", "line 8: Unknown loss 'dise'"),
        (SPACE + "trials: 0\n", "`trials` must be a whole number above 0; got 0"),
        (SPACE + "seed: -1\n", "`seed` must be a whole number from 0 up"),
        (SPACE + "pruner: halving\n", "`pruner` must be median, hyperband or none; got 'halving'"),
        (SPACE + "trails: 3\n", "Did you mean 'trials'?"),
        (SPACE + "optim: {lr: 1}\n", "Write it below `base:`, as `base.optim`"),
    ],
)
def test_what_is_wrong_with_a_space_is_a_sentence(tmp_path: Path, rest: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        space_of(tmp_path, rest)
    assert sentence in str(raised.value)


def test_a_flag_over_a_searched_key_and_losses_by_val_loss_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--lr cannot be given: .* varies `optim\.lr`"):
        space_of(tmp_path, overrides=[("optim.lr", "1", "--lr")])
    with pytest.raises(ConfigError, match="must not be searched by val_loss"):
        space_of(
            tmp_path, "search:\n  loss: [dice, ce]\n", overrides=[("train.monitor", "val_loss", "--train.monitor")]
        )


# ------------------------------------------------------------------ trials


def test_the_base_is_tried_first_and_the_best_setting_is_ready_to_train(
    found: tuple[Space, SearchResult], tmp_path: Path
) -> None:
    _, result = found
    assert len(result.trials) == 4 and [trial.number for trial in result.trials] == [1, 2, 3, 4]
    assert dict(result.trials[0].values) == {"optim.lr": 0.01, "model.width": "2"}
    best = result.best
    assert best and best.score == max(trial.score for trial in result.trials if trial.state == "done")
    outcome = maskwright("train", result.best_config, "--out", tmp_path / "again", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["scores"]["val_iou"] == best.score  # the same run, to the last bit
    kept = [
        folder.name for folder in sorted((result.root / "trials").iterdir()) if (folder / "model.safetensors").is_file()
    ]
    assert kept == [f"{best.number:03d}"]
    assert all((result.root / trial.folder / "history.csv").is_file() for trial in result.trials)
    assert json.loads((result.root / "search.json").read_text())["best"]["number"] == best.number
    assert len((result.root / "trials.csv").read_text().splitlines()) == 5


def test_called_again_it_only_adds_what_is_missing(found: tuple[Space, SearchResult], tmp_path: Path) -> None:
    space, result = found
    root = shutil.copytree(result.root, tmp_path / "out")
    lines: list[str] = []
    again = search(space, root, say=lines.append)
    assert told(again) == told(result) and lines == []
    more = search(dataclasses.replace(space, trials=5), root, say=lines.append)
    assert told(more)[:4] == told(result) and len(more.trials) == 5
    assert len(lines) == 1 and lines[0].startswith("trial 5 of 5: lr ")


def test_a_folder_begun_with_other_settings_is_refused(found: tuple[Space, SearchResult], tmp_path: Path) -> None:
    space, result = found
    with pytest.raises(RunError, match=r"must be what .* was begun with; seed differs"):
        search(dataclasses.replace(space, seed=1), result.root)
    (tmp_path / "trials.log").write_text("mine")
    with pytest.raises(
        RunError, match=r"must be a new or empty folder; got .*, which holds trials\.log\. Choose another"
    ):
        search(space, tmp_path)
    assert (tmp_path / "trials.log").read_text() == "mine"


@pytest.mark.parametrize("lines", [0, 12], ids=["missing", "cut off"])
def test_trials_that_the_journal_does_not_tell_of_are_kept(
    found: tuple[Space, SearchResult], tmp_path: Path, lines: int
) -> None:
    space, result = found
    root = shutil.copytree(result.root, tmp_path / "out")
    journal = (root / "trials.log").read_text().splitlines(keepends=True)
    (root / "trials.log").write_text("".join(journal[:lines])) if lines else (root / "trials.log").unlink()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    told = "trials/00[1-3]. Restore it, or choose another --out"
    with pytest.raises(RunError, match=f"trials.log` must tell of every trial; it tells nothing of .*{told}"):
        search(space, root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    if lines:  # Optuna notes in it that it was opened
        after.pop(root / "trials.log")
        before.pop(root / "trials.log")
    assert after == before
    (root / "trials.log").write_text("".join(journal))
    assert len(search(space, root).trials) == 4


def test_a_search_killed_in_a_trial_proposes_and_finds_what_an_uninterrupted_one_does(
    found: tuple[Space, SearchResult], tmp_path: Path
) -> None:
    _, result = found
    config, root = written(tmp_path), tmp_path / "out"
    child = start(tmp_path / "log", "search", config, "--trials", 4, "--out", root)
    wait_until(lambda: (root / "trials" / "003" / "checkpoints").is_dir(), child.is_alive)
    child.kill()
    child.join()
    (root / "trials" / "003" / "mine.txt").write_text("of the trial that was cut short")
    outcome = maskwright("search", config, "--trials", 4, "--out", root, "--json")
    assert outcome.code == 0, outcome.err
    assert [(one["state"], one["values"], one["score"]) for one in outcome.json["trials"]] == told(result)
    assert not (root / "trials" / "003" / "mine.txt").exists()
    # those finished before are not tried again
    assert outcome.err.count("\ntrial ") + outcome.err.startswith("trial ") in (1, 2)


def test_test_images_are_never_predicted_and_change_nothing(
    found: tuple[Space, SearchResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise in place of the test images and masks gives the same trials, and of what is predicted nothing is a test
    image.

    Opening a data set looks at every file once, for its hash and its classes.
    """
    _, result = found
    root = shutil.copytree(data(), tmp_path / "data")
    names = json.loads((result.root / result.trials[0].folder / "data.json").read_text())["splits"]["test"]
    rng = np.random.default_rng(0)
    for entry in names:
        shape = np.asarray(Image.open(root / entry["mask"])).shape
        Image.fromarray(rng.integers(0, 256, (*shape[:2], 3)).astype(np.uint8)).save(root / entry["image"])
        values = np.unique(np.asarray(Image.open(root / entry["mask"])))
        Image.fromarray(rng.choice(values, shape).astype(np.uint8)).save(root / entry["mask"])
    predicted: list[bytes] = []
    logits = module.logits_at_own_size

    def noted(model: Any, image: np.ndarray, *rest: Any) -> Any:
        predicted.append(image.tobytes())
        return logits(model, image, *rest)

    monkeypatch.setattr(module, "logits_at_own_size", noted)
    space = space_of(tmp_path, root=root, trials=2)
    spoilt = search(space, tmp_path / "out")
    assert told(spoilt) == told(result)[:2]
    tests = {np.asarray(Image.open(root / entry["image"]).convert("RGB")).tobytes() for entry in names}
    # trials × epochs × val images
    assert len(tests) == 2 and len(predicted) == 2 * 3 * 2 and not tests & set(predicted)


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all trials together read and audit the data once."""
    look, audits = gate.judge, []
    monkeypatch.setattr(gate, "judge", lambda *rest: (audits.append(1), look(*rest))[1])
    rest = "search:\n  lr: [0.01, 1e+30]\n  optim.clip: [null, 1.0]\n"
    space = space_of(tmp_path, rest, trials=6, overrides=[("optim.warmup", "0", "--optim.warmup")])
    result = search(space, tmp_path / "out")
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert failed and all(trial.values["optim.lr"] == "1e+30" and "finite" in str(trial.reason) for trial in failed)
    assert result.best and result.best.values["optim.lr"] == "0.01" and len(result.trials) == 6
    assert any("failed" in line for line in (tmp_path / "out" / "trials.csv").read_text().splitlines())
    assert len(audits) == 1 and not (tmp_path / "out" / "cache").exists()


def test_a_trial_without_memory_fails_and_other_errors_do_not_hide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that runs out cannot be had in a test; the error torch raises then is."""
    errors: list[BaseException] = [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        ValueError("a bug"),
    ]

    def fails(*_: Any, **__: Any) -> Any:
        raise errors.pop(0)

    monkeypatch.setattr(fit, "train", fails)
    with pytest.raises(ValueError, match="a bug"):
        search(space_of(tmp_path, trials=2), tmp_path / "out")
    journal = space_of(tmp_path, trials=1)
    result = search(journal, tmp_path / "out")
    assert [(trial.state, trial.reason) for trial in result.trials] == [("failed", "memory did not suffice")]
    assert result.best is None and "None of 1 trials ran to its end" in in_words(result)[0]


def num_networks() -> int:
    return sum(isinstance(one, Segmenter) for one in gc.get_objects())


@pytest.mark.parametrize("many", ["search", "folds", "compare"])
def test_a_network_is_gone_before_the_next_is_trained(tmp_path: Path, many: str) -> None:
    """A trainer's references go in circles: nothing but the collector, which asks for no memory of a GPU, ends them."""
    before, left = num_networks(), []
    gc.disable()
    try:
        if many == "search":
            search(space_of(tmp_path, trials=2), tmp_path / "out", say=lambda _: left.append(num_networks()))
        elif many == "folds":
            maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--folds", 2, "--out", tmp_path / "out")
            left.append(num_networks())
        else:
            matrix = tmp_path / "compare.yaml"
            matrix.write_text(BASE.replace("ROOT", str(data())) + "matrix: {seed: [0, 1]}\n")
            compare_cells(read_matrix(matrix), tmp_path / "out", say=lambda _: left.append(num_networks()))
    finally:
        gc.enable()
    assert left and max(left) <= before + (many == "folds"), "the last fold's predictor may be there"


def test_data_that_cannot_be_used_are_told_before_anything_is_written(tmp_path: Path) -> None:
    outcome = maskwright("search", written(tmp_path), "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert outcome.code == 2 and "none" in outcome.sentence and not (tmp_path / "out").exists()


# ------------------------------------------------------------------ pruning


def test_training_ends_after_the_epoch_the_hook_says(tmp_path: Path) -> None:
    space = space_of(tmp_path)
    seen: list[tuple[int, int, float]] = []

    def hook(done: int, planned: int, scores: dict[str, float]) -> bool:
        seen.append((done, planned, scores["val_iou"]))
        return done == 2

    result = fit.train(space.base, tmp_path / "run", after_epoch=hook)
    assert [(done, planned) for done, planned, _ in seen] == [(1, 3), (2, 3)]
    assert [row["val_iou"] for row in result.run.history] == [score for *_, score in seen]
    assert result.run.weights.is_file()


@pytest.mark.parametrize(("pruner", "epochs"), [("median", 20), ("median", 5), ("hyperband", 20)])
def test_a_trial_far_below_the_others_is_pruned_whatever_its_length(tmp_path: Path, pruner: str, epochs: int) -> None:
    """Optuna's own study and pruners; the scores are drawn, as many epochs as the trial has."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = dataclasses.replace(space_of(tmp_path), pruner=pruner)
    (tmp_path / "out").mkdir()
    study = open_study(optuna, space, tmp_path / "out")

    def course(level: float, num: int) -> tuple[bool, int]:
        proposal = study.ask()
        watch = Watch(proposal, "val_iou")
        ended = [watch.after_epoch(done, num, {"val_iou": level * done / num}) for done in range(1, num + 1)]
        pruned = True in ended
        study.tell(proposal, None if pruned else level, optuna.trial.TrialState.PRUNED if pruned else None)
        return pruned, ended.index(True) + 1 if pruned else num

    lengths = (20, 10, 5, 8, 10, 20) if pruner == "median" else (epochs,) * 6
    assert not any(course(0.8, num)[0] for num in lengths)
    outcomes = [course(0.1, epochs) for _ in range(4)]  # hyperband has brackets that prune late
    assert any(pruned and at < epochs for pruned, at in outcomes)
    if pruner == "median":
        # the first look after the warm-up, never after one epoch
        assert outcomes[0] == (True, max(2, epochs * 2 // 10))
    assert not course(0.9, epochs)[0]


def test_an_undefined_score_is_waited_out(tmp_path: Path) -> None:
    import optuna

    study = optuna.create_study()
    watch = Watch(study.ask(), "val_loss")
    assert not watch.after_epoch(1, 2, {"val_loss": math.nan}) and math.isnan(watch.best)
    assert not watch.after_epoch(2, 2, {"val_loss": 0.5}) and watch.best == 0.5


# ------------------------------------------------------------------ words, plots, the command


def made(num: int, importance: dict[str, float], near: int = 0) -> SearchResult:
    trials = [
        Trial(index + 1, "done", {"optim.lr": 10.0**-index, "model.width": "2"}, 0.5 - 0.03 * index, 3, 1.0)
        for index in range(num)
    ]
    trials += [
        Trial(num + index + 1, "done", {"optim.lr": 1.0, "model.width": "4"}, 0.495, 3, 1.0) for index in range(near)
    ]
    return SearchResult(Path("x"), "val_iou", tuple(trials), importance, num_val=4)


def test_what_the_trials_say_in_words() -> None:
    few = in_words(made(3, {}))
    assert "there are 3" in few[-1] and "looks somewhat better than it is" in few[0]
    many = in_words(made(10, {"optim.lr": 0.97, "model.width": 0.03}, near=2))
    assert (
        many[0]
        == "2 other trials lie within 0.01 of the best IoU: on 4 validation images they can hardly be told apart."
    )
    assert "optim.lr decided 97 %; model.width hardly mattered" in many[-1]


def test_importance_is_optuna_s_once_enough_trials_ran(tmp_path: Path) -> None:
    """A score that hangs on one of two keys alone."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = space_of(
        tmp_path, "search:\n  lr: {low: 0.001, high: 1.0, log: true}\n  model.width: {low: 2, high: 64}\npruner: none\n"
    )
    (tmp_path / "out").mkdir()
    study = open_study(optuna, space, tmp_path / "out")
    for number in range(12):
        study.sampler = optuna.samplers.RandomSampler(seed=number)
        proposal = study.ask()
        values = {axis.key: suggest(proposal, axis) for axis in space.axes}
        assert isinstance(values["model.width"], int)
        score = -abs(math.log10(values["optim.lr"]) + 2)
        record_trial(optuna, study, proposal, Trial(number + 1, "done", values, score, 1, 1.0))
        shares = importance(optuna, study, tuple(counted(study, space)))
        assert bool(shares) == (number >= 9)
    assert shares["optim.lr"] > 0.7 and sum(shares.values()) == pytest.approx(1)


def test_a_result_prints_as_a_few_lines(found: tuple[Space, SearchResult]) -> None:
    _, result = found
    lines = str(result).splitlines()
    assert repr(result) == str(result) and len(lines) <= 6
    assert lines[0].startswith(f"Search {result.root}: 4 trials (") and " done" in lines[0]
    assert result.best and lines[1].startswith(
        f"best trial {result.best.number}: val IoU {result.best.score:.4f} with lr "
    )
    assert lines[-1] == f"best setting in {result.best_config}"
    assert str(SearchResult(Path("x"), "val_loss", ())) == "Search x: 0 trials"


def test_the_data_of_the_plot_and_the_plot(found: tuple[Space, SearchResult], tmp_path: Path) -> None:
    space, result = found
    course, rate, width = panels(result, space)
    assert [x for x, _, _ in course.points] == [1, 2, 3, 4]
    assert course.line[-1][1] == result.best.score  # type: ignore[union-attr]
    assert [y for _, y in course.line] == sorted(y for _, y in course.line)
    assert rate.is_log and rate.best == (result.best.values["optim.lr"], result.best.score)  # type: ignore[union-attr]
    assert width.names == ("2", "4") and {x for x, _, _ in width.points} <= {0.0, 1.0}
    path = write_plots(dataclasses.replace(result, root=tmp_path), space)
    assert path and np.asarray(Image.open(path).convert("L")).std() > 5
    nothing = SearchResult(tmp_path / "none", "val_iou", ())
    assert write_plots(nothing, space) is None and in_words(nothing) == ()


def test_the_command_tells_a_table_and_where_the_best_is(found: tuple[Space, SearchResult], tmp_path: Path) -> None:
    _, result = found
    root = shutil.copytree(result.root, tmp_path / "out")
    config = written(tmp_path)
    outcome = maskwright("search", config, "--out", root, "--trials", 4)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["trial", "optim.lr", "model.width", "val_iou", "state", "epochs", "seconds"]
    assert f"best setting in {root / 'best.yaml'}" in lines[-1] and (root / "plots" / "search.png").is_file()
    none = maskwright("search", config, "--out", tmp_path / "other", "--minutes", "0.000001")
    assert none.code == 1 and "minutes are used up after 0 of 20 trials" in none.err
    assert "above 0" in maskwright("search", config, "--trials", 0).sentence


def test_a_plan_tells_the_space_and_the_time_and_writes_nothing(tmp_path: Path) -> None:
    config = written(tmp_path)
    outcome = maskwright("search", config, "--plan", "--out", tmp_path / "out", "--trials", 3)
    assert outcome.code == 0, outcome.err
    assert (
        "optim.lr: 0.0001 to 0.1 (by order of magnitude)" in outcome.out
        and "3 trials, seed 0, pruner median" in outcome.out
    )
    assert "a trial" in outcome.out and not (tmp_path / "out").exists()


def test_a_plan_of_several_models_is_their_mean_and_the_room_of_two() -> None:
    def measured(seconds: float, disk: int) -> Measured:
        return Measured(1000, 1e6, 0.1, 3, 64 << 20, disk, seconds)

    cells = (CellPlan("a", measured(10, 5)), CellPlan("b", measured(20, 7)), CellPlan("c", None, "it does not fit"))
    document = SearchPlan({"model": "a, b or c"}, 6, None, ComparisonPlan(cells, {}, 0, 0)).to_json()
    assert document["seconds_a_trial"] == 15 and document["seconds"] == 90 and document["disk"] == 14
    assert document["problems"] == ["c cannot be trained: it does not fit"]


def test_without_optuna_one_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = maskwright("search", written(tmp_path), "--out", tmp_path / "out")
    assert outcome.code == 2 and install_command("search") in outcome.sentence and not (tmp_path / "out").exists()
