"""recipes/run.py: what it prints and runs, where things go, how it goes on, and what a failing step comes to."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_lab import RECIPE, ROOT, lab, recipe, runner

from support import TINY, data, noise, picture

pytestmark = pytest.mark.xdist_group("puzzle-lab")


def commands(said: str) -> list[list[str]]:
    """The commands that were printed."""
    return [shlex.split(line[2:]) for line in said.splitlines() if line.startswith("$ ")]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """write(steps, …) makes a recipe called toy, the only one there is."""
    monkeypatch.setattr(runner(), "RECIPES", tmp_path / "recipes")

    def write(*steps, make="data make puzzle {data} --count 4 --size 32"):
        (tmp_path / "recipes" / "toy").mkdir(parents=True, exist_ok=True)
        tree = {"title": "A toy", "make": make, "steps": list(steps)}
        (tmp_path / "recipes" / "toy" / "recipe.yaml").write_text(yaml.safe_dump(tree))
        return tmp_path / "out"

    return write


def test_without_a_name_the_recipes_are_told():
    told = recipe()
    names = [line.split()[0] for line in told.out.splitlines()]
    assert told.code == 0 and names == runner().known() and "puzzle-lab" in names


def test_a_python_without_maskwright_goes_on_with_the_clones_own(tmp_path):
    """Another Python is this one with no packages to be seen."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "recipes", clone / "recipes", ignore=shutil.ignore_patterns("*.ipynb", "__pycache__"))
    words = [sys.executable, "-S", "-E", str(clone / "recipes" / "run.py")]
    alone = subprocess.run(words, capture_output=True, text=True, check=False)
    assert alone.returncode == 1 and "make install" in alone.stderr and "Traceback" not in alone.stderr
    (clone / ".venv" / "bin").mkdir(parents=True)
    python = clone / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "puzzle-lab" in told.stdout, told.stderr


def test_an_unknown_recipe_is_refused_in_a_sentence():
    told = recipe("puzle-lab")
    assert told.code == 2 and "puzzle-lab" in told.err and "Traceback" not in told.err


def test_a_flag_is_printed_once_with_what_was_given_last():
    words = (
        "train c.yaml --batch_size 128 --allow a --lr=1 --freeze-encoder --lr 2 --allow b --batch-size 16 --batch_size "
        "8"
    )
    once = " ".join(runner().each_once(words.split()))
    assert once == "train c.yaml --allow a --freeze-encoder --lr 2 --allow b --batch_size 8"
    printed = commands(recipe("pets-scratch", "--list", "--tiny", "--batch_size", "4").out)
    assert any(words[words.index("--batch_size") + 1] == "4" for words in printed if "--batch_size" in words)
    assert all(words.count(word) == 1 for words in printed for word in words if word.startswith("--"))


def test_list_prints_every_command_and_does_nothing(tmp_path):
    told = recipe("puzzle-lab", "--list", "--out", tmp_path / "lab")
    assert told.code == 0 and not (tmp_path / "lab").exists()
    verbs = [words[1] for words in commands(told.out)]
    assert verbs[:2] == ["data", "check"]
    assert {"compare", "evaluate", "diagnose", "report", "predict"} <= set(verbs)


def test_places_are_filled_in(tmp_path):
    made, check, *_ = commands(recipe("puzzle-lab", "--list", "--out", tmp_path).out)
    assert made[:4] == ["maskwright", "data", "make", "puzzle"] and made[4] == f"{tmp_path}/data"
    assert check == ["maskwright", "check", f"{tmp_path}/data"]
    variants = next(
        words for words in commands(recipe("puzzle-lab", "--list", "--out", tmp_path).out) if "compare" in words
    )
    assert variants[2] == f"{RECIPE.as_posix()}/variants.yaml"
    assert variants[variants.index("--out") + 1] == f"{tmp_path}/variants"


def test_data_of_ones_own_is_used_and_none_is_made(tmp_path):
    told = commands(recipe("puzzle-lab", "--list", "--data", "my_puzzle", "--out", tmp_path).out)
    assert not any(words[1:3] == ["data", "make"] for words in told)
    assert all(words[words.index("--data") + 1] == "my_puzzle" for words in told if "--data" in words)


@pytest.mark.parametrize(("size", "width"), [((), None), (("--laptop",), "16"), (("--tiny",), "2")])
def test_a_size_adds_what_the_recipe_says_and_flags_come_last(size, width):
    told = recipe("puzzle-lab", "--list", *size, "--weights", "none", "--epochs", "3")
    step = next(words for words in commands(told.out) if words[1] == "compare")
    assert (step[step.index("--model.width") + 1] if "--model.width" in step else None) == width
    assert step[-4:] == ["--weights", "none", "--epochs", "3"]


def test_the_chosen_run_its_test_images_and_all_runs_are_found():
    told = commands(recipe("puzzle-lab", "--tiny", "--list", "--out", lab()).out)
    rows = json.loads((lab() / "backbones" / "standings.json").read_text())["rows"]
    places = json.loads((lab() / "backbones" / "plan.json").read_text())["cells"]
    chosen = next(row["name"] for row in rows if row["chosen"])
    predict = next(words for words in told if words[1] == "predict")
    assert Path(predict[2]) == lab() / "backbones" / next(place["run"] for place in places if place["entry"] == chosen)
    images = predict[3 : predict.index("--out")]
    assert len(images) == 4 and all(Path(image).is_file() for image in images)
    assert len(runner().cells(lab() / "variants")) == 2 and len(runner().cells(lab() / "backbones")) == 6


def test_a_finished_run_is_not_trained_again_and_a_stopped_one_goes_on(toy):
    out = toy(
        {"run": "train --data {data} --out {out}/run {flags}", "tiny": shlex.join(TINY)},
        "evaluate {out}/run --split val",
    )
    assert recipe("toy", "--tiny", "--out", out, "--epochs", "2").code == 0
    weights, before = out / "run" / "model.safetensors", (out / "run" / "model.safetensors").read_bytes()
    again = recipe("toy", "--tiny", "--out", out, "--epochs", "2")
    assert again.code == 0 and [words[1] for words in commands(again.out)] == ["evaluate"]  # neither data nor training
    weights.unlink()
    resumed = recipe("toy", "--tiny", "--out", out, "--epochs", "2")
    assert resumed.code == 0 and ["maskwright", "train", "--resume", f"{out}/run"] in commands(resumed.out)
    assert weights.read_bytes() == before


def test_the_first_step_that_fails_stops_the_recipe_with_its_exit_code(toy, tmp_path):
    out = toy("check {data}", "train --data {data} --out {out}/run")
    for name in ("a", "b"):
        picture(tmp_path / "mine" / "images" / f"{name}.png", noise(32, 32))
    picture(tmp_path / "mine" / "masks" / "a.png", noise(32, 32)[..., 0] // 255)
    told = recipe("toy", "--data", tmp_path / "mine", "--out", out)
    assert told.code == 1 and [words[1] for words in commands(told.out)] == ["check"]  # the answer was no
    assert "stopped there with exit code 1" in told.err and not out.exists()


@pytest.mark.parametrize(
    ("step", "code", "sentence"),
    [
        ("train --data {data} --epochs 0 --out {out}/run", 2, "`train.epochs` must be"),
        ("train --data {out}/nowhere --out {out}/run", 2, "nowhere"),
        ("python -c 'raise SystemExit(3)'", 3, "exit code 3"),
    ],
)
def test_a_step_that_fails_is_told_in_a_sentence(toy, step, code, sentence):
    told = recipe("toy", "--data", data(), "--out", toy(step, "check {data}"))
    assert told.code == code and "Traceback" not in told.err
    assert sentence in told.err and len(commands(told.out)) == 1


def test_a_flag_that_is_not_known_is_refused_by_the_step_that_gets_it(toy):
    told = recipe("toy", "--data", data(), "--out", toy("train --data {data} --out {out}/run {flags}"), "--epoch", "2")
    assert told.code == 2 and "Did you mean '--epochs'" in told.err


def test_every_recipe_lists_its_commands(tmp_path):
    for name in runner().known():
        told = recipe(name, "--list", "--tiny", "--out", tmp_path)
        assert told.code == 0 and commands(told.out), name
        assert not any("{" in word for words in commands(told.out) for word in words if "recipe" in word), name


def test_every_extra_is_asked_for_before_the_first_step(toy, monkeypatch):
    """An extra whose package is not installed stands in for one that is not: nothing has been run when it is named."""
    out = toy("check {data}")
    recipe_file = runner().RECIPES / "toy" / "recipe.yaml"
    recipe_file.write_text(recipe_file.read_text() + "extras: [search]\n")
    monkeypatch.setattr(runner(), "installed", lambda package: package != "optuna")
    with pytest.raises(SystemExit, match=r"needs optuna, which is not installed\. Run: .*pip install .*\[search\]"):
        runner().main(["toy", "--out", str(out)])
    assert not out.exists()
    monkeypatch.setattr(runner(), "installed", lambda package: package != "wandb")
    with pytest.raises(SystemExit, match=r"\[wandb\]"):
        runner().main(["toy", "--out", str(out), "--log", "csv,wandb"])
    assert not out.exists()


@pytest.mark.parametrize(("name", "extra"), [("pets-scratch", "search"), ("satellite", "albumentations")])
def test_recipes_name_the_extras_their_steps_need(name, extra):
    told = runner().load(name)
    assert extra in told["extras"] and runner().requirements(extra)
    assert all(runner().installed(package) for package in runner().requirements(extra))
