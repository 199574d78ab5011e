"""The Python verbs: train, resume, load_run, evaluate, predict, and how their results print."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import maskwright as mw
from maskwright.comparison.search_result import Trial
from maskwright.errors import ConfigError, DataError, RunError, UsageError
from maskwright.prediction import Predictor
from maskwright.reports.audit_page import write_audit_page
from support import TINY, copy_of, data, disc_data, evaluated, finished, maskwright, noise, picture

SMALL = {"model.width": 2, "model.depth": 1, "data.size": 32, "train.repeats": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "run"
    return mw.train(data(), model="unet", epochs=1, batch_size=2, lr=1e-3, out=out, progress=False, **SMALL)


def test_importing_imports_nothing_of_weight():
    heavy = ("torch", "numpy", "lightning", "pydantic")
    program = f"import sys, maskwright; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


def test_the_public_names_are_all_there_and_no_others():
    for name in mw.__all__:
        assert getattr(mw, name).__name__ == name
        assert getattr(mw, name).__doc__
    assert set(mw.__all__) <= set(dir(mw))
    with pytest.raises(AttributeError, match="no attribute 'wat'"):
        _ = mw.wat


def test_dir_lists_what_is_public_and_nothing_else():
    program = "import maskwright as mw; print(sorted(mw.__all__) == dir(mw))"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "True"
    )


class Shown(HTMLParser):
    """Tags that are open and closed, pictures and text of what a notebook would show."""

    def __init__(self, html):
        super().__init__()
        self.depth, self.pictures, self.text, self.tags, self.handlers = 0, [], "", set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.depth += tag not in ("img", "br", "meta", "link", "wbr")
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.pictures += [dict(attrs)["src"] for _ in [0] if tag == "img"]

    def handle_endtag(self, tag):
        self.depth -= 1

    def handle_data(self, data):
        self.text += data


NASTY = """<img src=x onerror=alert(1)> & "x" 'y' $\\frac$ {{ 1 }}"""


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """A run, classes, files and a folder whose names would be markup; the results with what they were made of."""
    root = tmp_path_factory.mktemp("nasty")
    data = root / NASTY
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    disc_data(data, [(32, 32)] * 8)
    rows = [["image", "mask", "split"]]
    for index, split in enumerate(splits):
        for kind in ("images", "masks"):
            (data / kind / f"{index}.png").rename(data / kind / f"{NASTY}{index}.png")
        rows.append([*(f"{kind}/{NASTY}{index}.png" for kind in ("images", "masks")), split])
    with (data / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    classes = {f"0{NASTY}": 0, NASTY: 255}
    keys = {"epochs": 1, "progress": False, "size": 32, "model.width": 2, "model.depth": 1, "data.classes": classes}
    runs = [mw.train(data, out=root / f"{NASTY}{seed}", seed=seed, **keys) for seed in (0, 1)]
    return runs, mw.check(data, **{"data.classes": classes}), root


def harmless(html):
    """What was read of a page, in which no name has become markup."""
    found = Shown(html)
    assert found.depth == 0 and not found.tags & {"script", "iframe", "object"} and not found.handlers
    assert found.text.count(NASTY) > 2 and all(source.startswith("data:image/") for source in found.pictures)
    return found


def test_no_name_becomes_markup_on_a_page(nasty, tmp_path):
    runs, audited, root = nasty
    pages = [run.report() for run in runs[:1]]
    mw.compare(*(run.root for run in runs), out=root / f"compared {NASTY}", progress=False)
    pages.append(root / f"compared {NASTY}" / "report.html")
    write_audit_page(audited, audited.config, tmp_path / "audit.html")
    for page in (*pages, tmp_path / "audit.html"):
        harmless(page.read_text(encoding="utf-8"))


def test_results_show_themselves_in_a_notebook(nasty, tmp_path):
    """Escaped whatever people named, small, with a table and three pictures of four panels."""
    runs, audited, root = nasty
    before = Shown(mw.load_run(copy_of(finished(), tmp_path / "run"))._repr_html_())
    assert "run.evaluate()" in before.text and not before.pictures
    evaluations = [run.evaluate() for run in runs]
    compared = mw.compare(*(run.root for run in runs), out=root / "compared", progress=False)
    for result in (runs[0], evaluations[0], compared, audited):
        html = result._repr_html_()
        found = harmless(html)
        assert found.pictures and "style" not in found.tags and len(html) < 400_000 and "nan" not in found.text.lower()
    scores = Shown(evaluations[0]._repr_html_())
    low, high = evaluations[0].intervals["iou"]
    assert f"{low:.3f} to {high:.3f}" in scores.text and f"{evaluations[0].metrics['iou']:.3f}" in scores.text
    assert len(scores.pictures) == 2 * 4  # of two test images
    moved = (root / NASTY).rename(root / "moved")
    assert "so there are no pictures" in Shown(runs[0]._repr_html_()).text
    assert len(Shown(runs[0].evaluate(data=moved)._repr_html_()).pictures) == 2 * 4


def test_a_search_shows_itself_in_a_notebook(tmp_path):
    trials = tuple(Trial(n, state, {"optim.lr": 0.1 * n}, value, 3, 1.0) for n, state, value in
                   ((0, "done", 0.5), (1, "failed", math.nan), (2, "done", 0.7)))  # fmt: skip
    found = Shown(mw.SearchResult(tmp_path, "val_iou", trials)._repr_html_())
    assert found.text.index("0.7000") < found.text.index("0.5000") and "trial 2" in found.text and found.depth == 0


def test_keys_reach_the_run(run):
    config = run.config
    assert (config.train.epochs, config.train.batch_size, config.optim.lr, config.model.width) == (1, 2, 1e-3, 2)
    assert len(run.history) == 1


def test_a_run_prints_as_one_line(run):
    assert str(run) == repr(run)
    assert str(run).startswith(f"Run {run.root}: 1 epoch, best 1 with val IoU 0.")
    assert "\n" not in str(run)


def test_a_run_that_was_not_trained_says_so(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    (copy / "history.csv").unlink()
    assert str(mw.load_run(copy)) == f"Run {copy}: not trained yet"


def test_the_best_epoch_told_is_the_one_of_the_checkpoint():
    from maskwright.runs import Run
    from maskwright.training.callbacks import read_best

    best = read_best(Run.open(finished()))
    assert f"best {best['epoch'] + 1} with val IoU {best['val_iou']:.4f}" in str(mw.load_run(finished()))


def test_an_evaluation_prints_as_a_few_lines():
    result = mw.load_run(finished()).evaluate()
    lines = str(result).splitlines()
    assert repr(result) == str(result)
    assert lines[0] == "run on test (2 images, foreground)"
    told_when_bad = [line for line in lines if "always answering" in line]  # a line that a good run has not
    assert len(lines) - len(told_when_bad) <= 15 and max(map(len, lines)) <= 130
    assert f"{result.metrics['iou']:.4f}" in str(result)
    told = result.to_json()
    assert {**told, "cost": None} == {**evaluated().json, "cost": None}  # what a clock decides
    assert told["cost"]["parameters"] == evaluated().json["cost"]["parameters"]


def test_a_prediction_prints_and_shows_itself(run, tmp_path):
    prediction = run.predict(picture(tmp_path / "x.png", noise(33, 47)))
    assert str(prediction).startswith("Prediction 47x33: background ")
    assert "\n" not in str(prediction) and repr(prediction) == str(prediction)
    assert sum(prediction.shares.values()) == pytest.approx(1)
    with Image.open(io.BytesIO(prediction._repr_png_())) as shown:
        assert (shown.format, shown.size) == ("PNG", (47, 33))


def test_an_array_and_its_file_are_predicted_alike(run, tmp_path):
    pixels = noise(20, 31)
    from_file, from_array = run.predict(str(picture(tmp_path / "x.png", pixels))), run.predict(pixels)
    assert (from_file.probabilities == from_array.probabilities).all()
    grey = run.predict(pixels[..., 0])
    assert (grey.labels == run.predict(np.repeat(pixels[..., :1], 3, axis=2)).labels).all()


def test_a_run_that_was_trained_anew_predicts_anew(tmp_path):
    pixels, root = noise(20, 31), copy_of(finished(), tmp_path / "run")
    before = mw.load_run(root).predict(pixels)
    assert mw.load_run(root).predict(pixels).probabilities.tobytes() == before.probabilities.tobytes()
    shutil.rmtree(root)
    assert maskwright("train", "--data", data(), *TINY, "--seed", 1, "--epochs", 1, "--out", root).code == 0
    after = mw.load_run(root).predict(pixels)
    assert not np.allclose(after.probabilities, before.probabilities)
    assert (after.probabilities == Predictor.from_run(mw.load_run(root)).predict(pixels).probabilities).all()
    config = root / "config.yaml"
    config.write_text(config.read_text().replace("mask_threshold: 0.5", "mask_threshold: 0.999999"))
    assert mw.load_run(root).predict(pixels).shares["background"] == 1
    (root / "model.safetensors").unlink()
    with pytest.raises(RunError, match="must be a finished run"):
        mw.load_run(root).predict(pixels)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)]
)
def test_an_array_of_another_kind_is_refused(run, wrong):
    with pytest.raises(DataError, match="height × width × 3 of uint8"):
        run.predict(wrong)


@pytest.mark.parametrize(
    ("keys", "error", "told"),
    [
        ({"epoch": 1}, UsageError, "Did you mean 'epochs'"),
        ({"wat": 1}, UsageError, "Unknown keyword 'wat'. See help"),
        ({"optim": {"lrr": 1}}, ConfigError, "Did you mean 'optim.lr'"),
        ({"train.epoch": 1}, ConfigError, "Did you mean 'train.epochs'"),
        ({"epochs": 0}, ConfigError, r"`train\.epochs` must be greater than 0 or auto; got 0"),
    ],
)
def test_a_wrong_keyword_is_told_with_the_nearest(tmp_path, keys, error, told):
    with pytest.raises(error, match=told):
        mw.train(data(), out=tmp_path / "run", progress=False, **keys)
    assert not (tmp_path / "run").exists()


def test_whole_sections_are_taken(tmp_path):
    (tmp_path / "my.yaml").write_text("train: {epochs: 1, repeats: 1}\nmodel: {width: 2, depth: 1}\ndata: {size: 32}\n")
    run = mw.train(
        data(),
        config=tmp_path / "my.yaml",
        out=tmp_path / "run",
        progress=False,
        optim={"lr": 0.5, "name": "sgd"},
        log=["csv"],
        loss="ce",
    )
    assert (run.config.optim.name, run.config.optim.lr, run.config.model.width) == ("sgd", 0.5, 2)
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.parametrize("model", [{"name": "unet", "width": 3}, {"width": 3}])
def test_a_model_may_be_a_section_too(tmp_path, model):
    run = mw.train(
        data(), model=model, epochs=1, out=tmp_path / "run", progress=False, **{"data.size": 32, "model.depth": 1}
    )
    assert run.config.model.width == 3


def test_progress_can_be_silenced(run, tmp_path, capfd):
    mw.train(data(), epochs=1, out=tmp_path / "run", progress=False, **SMALL)
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


def test_training_says_what_the_command_says(tmp_path, capfd):
    """Data, warnings, what is trained, and where the run is."""
    root = copy_of(data(), tmp_path / "mine")
    picture(root / "images" / "image-0.png", np.full((32, 40, 3), 7, np.uint8))
    run = mw.train(root, epochs=1, out=tmp_path / "run", **SMALL)
    lines = capfd.readouterr().err.splitlines()
    for head in ("data    4 train", "model   ", "warning constant-image: ", "plan    1 epoch of 4 images"):
        assert any(line.startswith(head) for line in lines), (head, lines)
    assert lines[-1].startswith("best epoch 1: val IoU ") and lines[-1].endswith(f"; run in {run.root}")


def test_an_audit_is_shown_as_it_prints():
    audit = mw.check(data())
    assert repr(audit) == str(audit)


def test_a_run_lists_what_is_public_of_it(run):
    assert {"evaluate", "predict", "diagnose", "report", "config", "history"} <= {*dir(run)}
    assert all(hasattr(run, name) for name in dir(run))
    assert not {"create", "html_of", "refuse_taken", "write_rows", "resolved_config"} & {*dir(run)}


@pytest.mark.parametrize("thing", [None, 7])
def test_what_is_no_image_is_refused_in_a_sentence(run, thing):
    with pytest.raises(UsageError, match=r"`image` must be a path, a PIL image, an array or tensor .* got"):
        run.predict(thing)


def test_a_folder_of_images_is_refused_without_advice_to_remove_it(run, tmp_path):
    with pytest.raises(DataError, match=r"must be a file; it is a folder\. Predict its images one by one"):
        run.predict(tmp_path)


def test_data_is_made_and_audited(tmp_path):
    made = mw.make_data("puzzle", tmp_path / "set", count=4, size=(32, 48))
    audit = mw.check(made.root, **{"data.classes": {"background": 0, "piece": 255}})
    assert (audit.num_images, audit.clean, audit.classes) == (4, True, ("background", "piece"))
    assert str(audit).startswith("reader   csv: ") and "images   4 (" in str(audit)
    with pytest.raises(UsageError, match="Did you mean 'epochs'"):
        mw.check(made.root, epoch=1)


def test_a_run_is_diagnosed():
    found = mw.load_run(finished()).diagnose()
    assert "val-small" in {one.code for one in found} and all(str(one).startswith(one.title) for one in found)


def test_resuming_a_finished_run_gives_the_same_run(run):
    before = run.weights.read_bytes()
    assert str(mw.resume(run.root, progress=False)) == str(run)
    assert run.weights.read_bytes() == before


def test_what_is_no_run_is_refused(tmp_path):
    for verb in (mw.load_run, mw.resume):
        with pytest.raises(RunError, match="run folder made by `maskwright train`"):
            verb(tmp_path)


def test_a_search_goes_on_and_prints_as_a_few_lines(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rates.yaml").write_text("search: {lr: [0.01, 0.001]}\nbase: {train: {repeats: 1}}\n")
    keys = {key: value for key, value in SMALL.items() if key != "train.repeats"}
    found = mw.search("rates.yaml", data=data(), trials=1, epochs=1, progress=False, **keys)
    assert isinstance(found, mw.SearchResult) and len(found.trials) == 1
    assert (
        str(found).startswith(f"Search {found.root}: 1 trial (1 done)\nbest trial 1: val IoU ")
        and found.root.name == "rates-search"
    )
    assert (found.root / "plots" / "search.png").is_file() and found.best_config.is_file()
    more = mw.search("rates.yaml", data=data(), trials=2, epochs=1, progress=False, **keys)
    assert [trial.number for trial in more.trials] == [1, 2] and more.trials[0] == found.trials[0]


def test_mistakes_in_a_search_are_told():
    with pytest.raises(UsageError, match="`trials` must be above 0 and at most 1000000; got 0"):
        mw.search("rates.yaml", trials=0)
    with pytest.raises(UsageError, match="Did you mean 'epochs'"):
        mw.search("rates.yaml", epoch=1)
    with pytest.raises(ConfigError, match="must be a YAML file"):
        mw.search("nowhere.yaml")
