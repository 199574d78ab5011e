"""CONFIG of a comparison: which cells it makes, what they are called, and what is refused in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.comparison.naming import folder_names, value_name
from maskwright.comparison.spec import Matrix, read_matrix
from maskwright.config.flags import parse_overrides
from maskwright.errors import ConfigError


def read(tmp_path: Path, text: str, *flags: str) -> Matrix:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return read_matrix(path, parse_overrides(flags))


def refused(tmp_path: Path, text: str, *flags: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, *flags)
    return tuple(problem.replace(str(tmp_path / "my.yaml"), "my.yaml") for problem in caught.value.problems)


# ------------------------------------------------------------------ cells and their names


def test_models_and_seeds_make_cells_with_seeds_outermost(tmp_path):
    matrix = read(tmp_path, "base: {train: {epochs: 3}}\nmatrix: {model: [unet, unet/resnet34], seed: [0, 1]}")
    assert [cell.name for cell in matrix.cells] == [
        "unet · seed 0", "unet/resnet34 · seed 0", "unet · seed 1", "unet/resnet34 · seed 1"
    ]  # fmt: skip
    assert [cell.folder for cell in matrix.cells] == [
        "unet_seed-0",
        "unet-resnet34_seed-0",
        "unet_seed-1",
        "unet-resnet34_seed-1",
    ]
    assert [cell.entry for cell in matrix.cells] == ["unet", "unet/resnet34"] * 2
    assert [cell.config.train.seed for cell in matrix.cells] == [0, 0, 1, 1]
    assert {cell.config.train.epochs for cell in matrix.cells} == {3}
    assert matrix.cells[1].config.model.name == "smp" and dict(matrix.cells[1].settings) == {"model": "unet/resnet34"}


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("{loss: [dice, [{name: ce}, {name: dice, weight: 2}]]}", ["loss dice", "loss ce + 2 dice"]),
        ("{augment: [none, heavy], lr: [1e-3, 0.01]}",
         ["augment none · lr 0.001", "augment none · lr 0.01", "augment heavy · lr 0.001", "augment heavy · lr 0.01"]),
        ("{seed: [3, 4]}", ["auto · seed 3", "auto · seed 4"]),
        ("{model: [unet], seed: [7]}", ["unet"]),
        ("{model: [unet, {name: unet, up: bilinear}]}", ["unet", "unet (up bilinear)"]),
        ("{model: [segformer/b2, deeplabv3_resnet50, {arch: fpn, encoder: resnet18}]}",
         ["segformer/b2", "deeplabv3_resnet50", "fpn/resnet18"]),
        ("{optim.name: [adamw, sgd]}", ["optim adamw", "optim sgd"]),
        ("{size: [64, 96], optim.freeze: [[], [encoder]]}",
         ["size 64 · freeze none", "size 64 · freeze encoder", "size 96 · freeze none", "size 96 · freeze encoder"]),
        ("{optim.options: [{betas: [0.9, 0.98]}, {}]}", ["options betas 0.9, 0.98", "options "]),
        ("{model: [{name: unet, weights: none}, {name: smp, encoder: resnet18, weights: none}]}",
         ["unet (weights none)", "unet/resnet18 (weights none)"]),
    ],
)  # fmt: skip
def test_names_tell_what_varies(tmp_path, matrix, names):
    cells = read(tmp_path, f"matrix: {matrix}").cells
    assert [cell.name for cell in cells] == names
    assert len({cell.folder for cell in cells}) == len(cells)


def test_settings_that_stand_together_are_combined_with_the_matrix(tmp_path):
    text = "cells:\n- {model: unet, lr: 1e-3}\n- {name: big, model: unet/resnet34, lr: 1e-4}\nmatrix: {seed: [0, 1]}"
    cells = read(tmp_path, text).cells
    assert [cell.name for cell in cells] == [
        "unet · lr 0.001 · seed 0",
        "big · seed 0",
        "unet · lr 0.001 · seed 1",
        "big · seed 1",
    ]
    assert [cell.config.optim.lr for cell in cells] == [0.001, 0.0001, 0.001, 0.0001]
    assert [cell.entry for cell in cells] == ["unet · lr 0.001", "big"] * 2


def test_a_given_name_is_followed_by_what_else_varies(tmp_path):
    cells = read(tmp_path, "cells: [{name: mine, model: unet}]\nmatrix: {augment: [none, light]}").cells
    assert [cell.name for cell in cells] == ["mine · augment none", "mine · augment light"]


def test_flags_are_laid_over_the_base(tmp_path):
    matrix = read(tmp_path, "base: {train: {epochs: 9}}\nmatrix: {seed: [0, 1]}", "--epochs", "2", "--model.width", "8")
    assert {(cell.config.train.epochs, getattr(cell.config.model, "width", 0)) for cell in matrix.cells} == {(2, 8)}


def test_a_model_in_a_word_keeps_what_the_base_says_of_its_family(tmp_path):
    matrix = read(tmp_path, "base: {model: {arch: fpn, weights: none}}\nmatrix: {model: [unet/resnet34, unet]}")
    ours, other = (cell.config.model for cell in matrix.cells)
    assert (ours.arch, ours.encoder, ours.weights) == ("unet", "resnet34", "none")
    assert other.name == "unet"
    assert matrix.notes == ("base's model.weights holds for smp; unet has its own defaults",)


def test_a_flag_below_what_varies_holds_for_every_cell_and_is_kept(tmp_path):
    text = "matrix: {model: [{name: unet, depth: 2}, {name: unet, depth: 3}]}"
    matrix = read(tmp_path, text, "--model.width", "8")
    assert [(cell.config.model.width, cell.config.model.depth) for cell in matrix.cells] == [(8, 2), (8, 3)]
    again = read(tmp_path, yaml.safe_dump(matrix.document))
    assert [(cell.name, cell.config) for cell in again.cells] == [(cell.name, cell.config) for cell in matrix.cells]


TEXTS = [
    "base: {data: {root: d}, model: {width: 8}}\nmatrix: {model: [unet, unet/resnet34], seed: [0, 1, 2]}",
    "cells: [{model: unet, lr: 1e-3}, {name: b, model: fpn/resnet18, batch-size: 2}]\nmatrix: {augment: [none, heavy]}",
    "matrix: {loss: [auto, [{name: tversky, alpha: 0.2}]], optim.schedule: [poly, constant], precision: [fp32, bf16]}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_written_down_makes_the_same_cells(tmp_path, text):
    matrix = read(tmp_path, text, "--epochs", "4")
    again = read(tmp_path, yaml.safe_dump(matrix.document, sort_keys=False))
    assert [(cell.name, cell.folder, cell.config) for cell in again.cells] == [
        (cell.name, cell.folder, cell.config) for cell in matrix.cells
    ]


def test_finished_runs_are_kept_by_their_whole_paths(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    matrix = read(tmp_path, "matrix: {seed: [0, 1]}\nruns: [old]")
    assert matrix.joining == (tmp_path / "old",) and matrix.document["runs"] == [str(tmp_path / "old")]
    assert len(matrix.cells) == 2
    (problem,) = refused(tmp_path, "matrix: {seed: [0]}\nruns: [old, ./old]")
    assert problem.endswith("`runs` must hold each run once; got ./old twice. Remove one.")
    (problem,) = refused(tmp_path, "runs: [old]")
    assert "must say what varies" in problem


def test_paths_hold_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "old.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    matrix = read(tmp_path, "base: {data: {root: here}}\nmatrix: {weights: [none, old.safetensors]}")
    assert matrix.base.data.root == str(tmp_path / "here")
    assert matrix.cells[1].config.model.weights == str(tmp_path / "old.safetensors")
    assert [cell.name for cell in matrix.cells] == ["weights none", "weights old.safetensors"]


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=90)


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=8, unique=True))
def test_folder_names_are_safe_and_differ_on_any_file_system(found):
    folders = folder_names(found)
    assert len({name.lower() for name in folders}) == len(found)
    for name in folders:
        assert (
            name not in ("", ".", "..") and not set(name) & set('/\\:*?"<>| ()') and name.isascii() and len(name) <= 90
        )


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
                    lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(["name", "weight", "alpha"]), inner)))  # fmt: skip
def test_any_value_has_a_name(value):
    assert isinstance(value_name(value), str)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("matrix:\n  modle: [unet]", "my.yaml, line 2: Unknown key 'matrix.modle'. Did you mean 'model'?"),
        ("matrix:\n  batch: [2]", "my.yaml, line 2: Unknown key 'matrix.batch'. Did you mean 'batch_size'?"),
        ("matrix:\n  warmup: [0]", "my.yaml, line 2: Unknown key 'matrix.warmup'. Did you mean 'optim.warmup'?"),
        ("matrix:\n  optim.lrr: [1]", "my.yaml, line 2: Unknown key 'matrix.optim.lrr'. Did you mean 'optim.lr'?"),
        ("matrx: {seed: [0]}\nmatrix: {seed: [0]}", "my.yaml, line 1: Unknown key 'matrx'. Did you mean 'matrix'?"),
        ("matrix: {seed: [0]}\ntrain: {epochs: 3}",
         "my.yaml, line 2: Unknown key 'train'. Write it below `base:`, as `base.train`."),
        ("matrix:\n  seed: 3", "my.yaml, line 2: `matrix.seed` must be a list of values; got 3. Write [3]."),
        ("matrix:\n  seed: []",
         "my.yaml, line 2: `matrix.seed` must be a list of values; got an empty list. Name some."),
        ("matrix:\n  seed: [0, 0]",
         "my.yaml, line 2: `matrix.seed` must hold each value once; got 0 twice. Remove one."),
        ("matrix:\n  seed: [0]\n  train.seed: [1]",
         "my.yaml, line 3: `matrix.train.seed` must stand once; it means train.seed, which stands here already. Remove "
         "one."),
        ("matrix: {seed: [0]}\nruns: my", "my.yaml, line 2: `runs` must be a list of run folders; got 'my'."),
        ("matrix: {seed: [0]}\nruns: [nowhere]",
         "my.yaml, line 2: `runs.0` must be a run folder made by `maskwright train`; got nowhere. "
         "Check the path; it is looked for from where the command is called."),
        ("matrix: 3", "my.yaml, line 1: `matrix` must be keys with lists of values; got 3."),
        ("base: [1]\nmatrix: {seed: [0]}", "my.yaml, line 1: `base` must be a configuration; got [1]."),
        ("cells:\n- unet", "my.yaml, line 2: `cells.0` must be keys with values, such as {model: unet}; got 'unet'."),
        ("cells:\n- {model: unet}\nmatrix:\n  model: [unet]",
         "my.yaml, line 2: `model` must stand in the matrix or in cells; it stands in both. Remove one."),
        ("cells:\n- {model: unet}\n- {model: unet}",
         "`cells` must all differ; got unet and unet, which are the same. Remove one."),
        ("base:\n  data: {sise: 3}\nmatrix: {seed: [0]}",
         "my.yaml, line 2: Unknown key 'data.sise'. Did you mean 'data.size'?"),
        ("matrix:\n  model:\n  - unet\n  - unett",
         "my.yaml, line 4: Unknown model 'unett'. Did you mean 'unet'? "
         "An architecture with an encoder is written arch/encoder, such as unet/resnet34."),
        ("matrix:\n  model:\n  - name: smp\n    encodr: resnet18\n  - unet",
         "my.yaml, line 4: Unknown key 'model.encodr'. Did you mean 'model.encoder'?"),
        ("matrix:\n  loss: [dise, ce]", "my.yaml, line 2: Unknown loss 'dise'. Did you mean 'dice'?"),
        ("matrix:\n  lr:\n  - 0.1\n  - -1", "my.yaml, line 4: `optim.lr` must be greater than 0 or auto; got -1."),
        ("cells:\n- model: unet\n  lr: 0\n- model: unet/resnet18",
         "my.yaml, line 3: `optim.lr` must be greater than 0 or auto; got 0."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_and_nearest_key(tmp_path, text, problem):
    assert refused(tmp_path, text) == (problem,)


@pytest.mark.parametrize("text", ["", "base: {train: {epochs: 3}}", "matrix:\ncells:"])
def test_a_comparison_must_say_what_varies(tmp_path, text):
    (problem,) = refused(tmp_path, text)
    assert problem == "my.yaml: must say what varies. Give `matrix:`, such as {model: [unet, unet/resnet34]}."


@pytest.mark.parametrize("key", ["epochs", "train.epochs", "budget"])
def test_the_budget_must_not_vary(tmp_path, key):
    (problem,) = refused(tmp_path, f"matrix:\n  {key}: [1, 2]")
    assert problem.startswith(f"my.yaml, line 2: `matrix.{key}` must not vary: all cells are trained on one budget.")


@pytest.mark.parametrize(
    "key", ["data", "data.root", "data.split.seed", "data.split", "data.classes", "data.foreground_from"]
)
def test_the_test_must_not_vary(tmp_path, key):
    (problem,) = refused(tmp_path, f"matrix:\n  {key}: [a, b]")
    assert problem.startswith(
        f"my.yaml, line 2: `matrix.{key}` must not vary: all cells are scored on the same images and split."
    )


def test_repeats_may_vary_only_where_time_is_the_budget(tmp_path):
    (problem,) = refused(tmp_path, "matrix:\n  train.repeats: [1, 2]")
    assert problem.startswith("my.yaml, line 2: `train.repeats` must not vary")
    assert len(read(tmp_path, "base: {train: {budget: 3m}}\nmatrix:\n  train.repeats: [1, 2]").cells) == 2
    (problem,) = refused(tmp_path, "base: {train: {epochs: 2}}\nmatrix:\n  train.repeats: [1, 2]")
    assert problem.startswith("my.yaml, line 3: `train.repeats` must not vary")


def test_a_flag_that_would_change_nothing_is_refused(tmp_path):
    (problem,) = refused(tmp_path, "matrix: {loss: [ce, dice]}", "--loss", "bce")
    assert problem.startswith("--loss cannot be given: ") and "varies `loss`. Leave the flag out" in problem


def test_a_flag_that_only_some_cells_know_says_which_do_not(tmp_path):
    (problem,) = refused(tmp_path, "matrix: {model: [unet, unet/resnet34], seed: [0, 1]}", "--model.width", "8")
    assert problem.startswith("--model.width: Unknown key 'model.width'.") and problem.endswith("(With unet/resnet34.)")


def test_everything_wrong_is_told_at_once(tmp_path):
    text = "base:\n  data: {sise: 3}\nmatrix:\n  modle: [unet]\n  loss: [dise]\n  epochs: [1]\n  lr: [0]\nmatrx: 3"
    told = " ".join(refused(tmp_path, text))
    for line, name in ((2, "data.sise"), (4, "modle"), (5, "loss"), (6, "epochs"), (7, "lr"), (8, "matrx")):
        assert re.search(f"my.yaml, line {line}: (`|Unknown (key|loss) ')", told) and name in told
