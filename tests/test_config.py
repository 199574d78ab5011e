"""The configuration: what is known, what is refused and in which words, and that it survives being written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from maskwright.comparison.search_space import read_space
from maskwright.comparison.spec import read_matrix
from maskwright.config import Config
from maskwright.config.augment import AugmentOp
from maskwright.config.files import load_config, read_keys, to_yaml
from maskwright.config.keys import MODEL_SECTIONS, known_keys, sections_of
from maskwright.config.losses import CeTerm, DiceTerm, FocalTerm
from maskwright.config.models import SmpConfig, UnetConfig
from maskwright.errors import ConfigError
from support import maskwright


def refused(tmp_path: Path, text: str) -> tuple[str, ...]:
    """The problems told for a YAML text."""
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return tuple(problem.replace(str(path), "my.yaml") for problem in caught.value.problems)


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return load_config(path)


# ------------------------------------------------------------------ paths


READ = {
    "train": ("{}", lambda path, flags: load_config(path, flags).data),
    "compare": ("base: {}\nmatrix: {{seed: [0, 1]}}", lambda path, flags: read_matrix(path, flags).base.data),
    "search": ("base: {}\nsearch: {{lr: [0.1, 0.2]}}", lambda path, flags: read_space(path, flags).base.data),
}


@pytest.mark.parametrize("command", READ)
def test_the_data_of_a_file_are_looked_for_beside_it_and_those_of_a_flag_in_the_current_folder(
    command, tmp_path, monkeypatch
):
    form, read = READ[command]
    (tmp_path / "here" / "set").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = Path("../there/my.yaml")
    path.write_text(form.format("{data: {root: set}}"))
    with pytest.raises(ConfigError) as caught:  # as it was before: relative to the current folder
        read(path, [])
    (problem,) = caught.value.problems
    assert str(tmp_path / "there" / "set") in problem and str(tmp_path / "here" / "set") in problem
    assert "../there/my.yaml, line 1: `data.root`" in problem
    assert problem.endswith("Write `root: ../here/set`, or add --data set")
    given = read(path, [("data.root", "set", "--data")]).root
    assert Path(given).absolute() == tmp_path / "here" / "set"
    path.write_text(form.format("{data: {root: ../here/set}}"))
    assert read(path, []).root == str(tmp_path / "here" / "set")
    path.write_text(form.format("{data: {root: set}}"))
    (tmp_path / "there" / "set").mkdir()
    assert read(path, []).root == str(tmp_path / "there" / "set")


def test_a_file_reached_by_a_link_to_its_folder_has_its_data_beside_it(tmp_path, monkeypatch):
    (tmp_path / "real" / "conf").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "conf")
    (tmp_path / "real" / "conf" / "my.yaml").write_text("data: {root: ../set}")
    assert load_config(tmp_path / "link" / "my.yaml").data.root == str(tmp_path / "real" / "set")


# ------------------------------------------------------------------ unknown keys and wrong values


@pytest.mark.parametrize(
    ("text", "where", "key", "near"),
    [
        ("data:\n  sise: 3", "my.yaml, line 2", "data.sise", "data.size"),
        ("modle: unet", "my.yaml, line 1", "modle", "model"),
        ("train:\n  epochs: 3\n  batch: 4", "my.yaml, line 3", "train.batch", "train.batch_size"),
        ("optim: {wd: 0.1}", "my.yaml, line 1", "optim.wd", "optim.weight_decay"),
        ("learning_rate: 1", "my.yaml, line 1", "learning_rate", "optim.lr"),
        ("optim: {lerning_rate: 1}", "my.yaml, line 1", "optim.lerning_rate", "optim.lr"),
        ("optimizer: adam", "my.yaml, line 1", "optimizer", "optim"),
        ("optim: {optimizer: adam}", "my.yaml, line 1", "optim.optimizer", "optim.name"),
        ("data: {imgsz: 64}", "my.yaml, line 1", "data.imgsz", "data.size"),
        ("img_size: 64", "my.yaml, line 1", "img_size", "data.size"),
        ("train: {ema: true}", "my.yaml, line 1", "train.ema", "train.average"),
        ("train: {gradient_clip_val: 1}", "my.yaml, line 1", "train.gradient_clip_val", "optim.clip"),
        ("data:\n  split:\n    tset: 0.2", "my.yaml, line 3", "data.split.tset", "data.split.test"),
        ("model:\n  name: unet\n  widht: 8", "my.yaml, line 3", "model.widht", "model.width"),
        ("model:\n  name: smp\n  encodr: resnet18", "my.yaml, line 3", "model.encodr", "model.encoder"),
        ("loss:\n- name: ce\n  wieght: 2", "my.yaml, line 3", "loss.0.wieght", "loss.0.weight"),
        ("augment:\n- name: hflip\n  amont: 2", "my.yaml, line 3", "augment.0.amont", "augment.0.amount"),
    ],
)
def test_an_unknown_key_is_told_with_file_line_and_nearest_key(tmp_path, text, where, key, near):
    problems = refused(tmp_path, text)
    assert problems == (f"{where}: Unknown key '{key}'. Did you mean '{near}'?",)


def test_a_change_leaves_open_which_keys_of_the_data_were_given():
    """What nobody gave is dataset.yaml's to say."""
    mine = Config.model_validate({"data": {"root": "x", "split": {"val": 0.3}}})
    assert mine.replace({"train.epochs": 3}).data.model_fields_set == {"root", "split"}
    moved = mine.replace({"data.split.folds": 5, "data.size": 64}).data
    assert moved.model_fields_set == {"root", "split", "size"} and moved.split.model_fields_set == {"val", "folds"}


def test_a_key_of_another_model_is_not_offered_as_its_own_mending(tmp_path):
    (problem,) = refused(tmp_path, "model: {name: smp, width: 8}")
    assert "Did you mean 'model.width'" not in problem
    assert "encoder" in problem  # the keys this model has
    (problem,) = refused(tmp_path, "model: {arch: unet, width: 8}")
    assert "Did you mean 'model.width'" not in problem


def test_all_problems_are_told_at_once(tmp_path):
    problems = refused(tmp_path, "modle: unet\ndata:\n  sise: 3\noptim:\n  lr: fast\ntrain:\n  epochs: -2\n")
    assert len(problems) == 4
    assert {problem.split(":")[0] for problem in problems} == {f"my.yaml, line {line}" for line in (1, 3, 5, 7)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("optim:\n  lr: fast", "my.yaml, line 2: `optim.lr` must be a number or auto; got 'fast'."),
        ("train:\n  epochs: -2", "my.yaml, line 2: `train.epochs` must be greater than 0 or auto; got -2."),
        ("model: {depth: 0}", "my.yaml, line 1: `model.depth` must be greater than or equal to 1; got 0."),
        (
            "optim: {options: 3}",
            "my.yaml, line 1: `optim.options` must be arguments by name, such as {betas: [0.9, 0.98]}; got 3.",
        ),
        (
            "log: [wandbb]",
            "my.yaml, line 1: `log`: Unknown logger 'wandbb'. Did you mean 'wandb'?",
        ),
        ("data: {split: {val: 0.6, test: 0.6}}", "my.yaml, line 1: `data.split`: val + test must be below 1; got 1.2."),
        (
            "data: {images: x}",
            "my.yaml, line 1: `data`: images and masks must be named together; got only one of them.",
        ),
        (
            "data: {classes: {a: 0, b: 70000}}",
            "my.yaml, line 1: `data.classes.b` must be 0 to 65535, '#rrggbb' or [r, g, b]; got 70000.",
        ),
        ("data: {tones: [9, 9]}", "my.yaml, line 1: `data.tones` must be a lower and a higher value; got 9 and 9."),
        (
            "data: {foreground_from: 1" + 30 * "0" + "}",
            "my.yaml, line 1: `data.foreground_from` must be less than or equal to 65535; got 1" + 30 * "0" + ".",
        ),
        (
            "train: {devices: 'cuda:0'}",
            "my.yaml, line 1: `train.devices` must be auto, cpu or gpu; got 'cuda:0'. Did you mean 'gpu'?",
        ),
        (
            "data: {classes: 'background,lesion'}",
            "my.yaml, line 1: `data.classes` must be a list or a dictionary; got 'background,lesion'. "
            "Did you mean '[background, lesion]'?",
        ),
        (
            "augment: hevy",
            "my.yaml, line 1: `augment` must be auto, none, light, standard or heavy; got 'hevy'. Did you mean "
            "'heavy'?",
        ),
    ],
)
def test_a_wrong_value_is_told_once_with_what_must_hold(tmp_path, text, problem):
    assert refused(tmp_path, text) == (problem,)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("data:\n  ignore_index: #9b9b9b", "data.ignore_index", 2),
        ("data:\n  root: #2\n  size: 3", "data.root", 2),
        ("data:\n  classes:\n    road: #ff0000\n    sky: '#00ff00'", "data.classes.road", 3),
        ("data:\n  ignore_index:\n  - 0\n  - #9b9b9b", "data.ignore_index.1", 4),
        ("loss: #dice", "loss", 1),
    ],
)
def test_a_colour_without_quotes_is_no_silent_nothing(tmp_path, text, key, line):
    """YAML takes it for a remark."""
    (problem,) = refused(tmp_path, text)
    assert problem.startswith(f"my.yaml, line {line}: `{key}` must have a value; #") and 'Quote it ("#' in problem


def test_a_remark_is_a_remark(tmp_path):
    assert loaded(tmp_path, "loss:   # the default\noptim: # below\n  lr: 1 #high\n").optim.lr == 1


def test_yaml_that_is_text_in_files_too(tmp_path):
    """What PyYAML writes is read as it was, whatever it looks like."""
    names = [
        "no",
        "on",
        "0x10",
        "010",
        "08",
        "1e3",
        "1:30",
        "2024-01-05",
        "null",
        "1_000",
        "~",
        "=",
        "<<",
        "1.5e3",
        ".5",
        "true",
    ]
    tree = {"data": {"classes": dict(zip(names, range(len(names)), strict=True)), "root": "1e3"}}
    assert loaded(tmp_path, yaml.safe_dump(tree)).data.classes == tree["data"]["classes"]
    assert loaded(tmp_path, "data: {classes: {no: 0, on: 1}}").data.classes == {"no": 0, "on": 1}


@pytest.mark.parametrize(("keys", "meant"), [("matrix: {seed: [0]}", "compare"), ("search: {lr: [0.1]}", "search")])
def test_a_config_of_another_command_is_told_so(tmp_path, keys, meant):
    path = tmp_path / "c.yaml"
    path.write_text(f"base: {{data: {{root: x}}}}\n{keys}\n")
    others = {"train", "compare", "search"} - {meant}
    for command in sorted(others):
        sentence = maskwright(command, path).sentence
        assert sentence.startswith(
            f"`CONFIG` must be one for maskwright {command}; got {path}, which holds base and {keys[:6]}"
        )
        assert sentence.endswith(f"It is for: maskwright {meant} {path}")


@pytest.mark.parametrize("text", ["optim: 3", "augment: [hflip]", "loss: [3]", "data: [a]", "1: 2"])
def test_a_wrong_shape_is_told_in_words_for_people(tmp_path, text):
    problems = refused(tmp_path, text)
    assert len(problems) == 1
    assert problems[0].startswith("my.yaml, line 1: ")
    for jargon in ("instance of", "dictionary", "Config;", "AugmentOp", "LossTerm", "Keys should be", "valid list"):
        assert jargon not in problems[0]


def test_an_unknown_model_names_the_models_and_the_shorthand(tmp_path):
    (problem,) = refused(tmp_path, "model: unett")
    told = "Unknown model 'unett'. Did you mean 'unet'?"
    assert told in problem and "arch/encoder" in problem


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (problem,) = refused(tmp_path, "train:\n  epochs: 2\n  epochs: 3\n")
    assert "epochs" in problem and "line 3" in problem


def test_keys_merged_from_an_anchor_are_keys_like_others(tmp_path):
    """What is written stands over what is merged, and what is wrong is told with its line."""
    path = tmp_path / "my.yaml"
    path.write_text(
        "optim: &base {lr: 0.5}\ntrain:\n  <<: [{epochs: 3, seed: 2}, {epochs: 4, workers: 0}]\n  seed: 1\n"
    )
    train = load_config(path).train
    assert (train.epochs, train.seed, train.workers) == (3, 1, 0)
    assert read_keys(path) == {"optim": 1, "train": 2}
    path.write_text("# first\n<<: {train: {epochs: 3}}\n")
    assert read_keys(path) == {"train": 2} and load_config(path).train.epochs == 3
    (problem,) = refused(tmp_path, "train:\n  <<: {epoch: 3}\n")
    assert "line 2: Unknown key 'train.epoch'" in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2\n", "my.yaml, line 2: must be valid YAML"),
        ("- 1\n", "must hold keys such as `data:`"),
        ("just words", "got a str"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, told):
    (problem,) = refused(tmp_path, text)
    assert told in problem


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"data: {root: \xe9\xff}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="which is not there"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"a folder.*Did you mean --data"):
        load_config(tmp_path)


# ------------------------------------------------------------------ what is understood


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_is_the_defaults(tmp_path, text):
    assert loaded(tmp_path, text) == Config()


@pytest.mark.parametrize("written", ["1e-3", "1.0e-3", "0.001", "1E-3", "'1e-3'"])
def test_a_thousandth_is_a_number_however_it_is_written(tmp_path, written):
    assert loaded(tmp_path, f"optim: {{lr: {written}}}").optim.lr == 0.001
    assert load_config(None, [("optim.lr", written.strip("'"), "--lr")]).optim.lr == 0.001


def test_the_shorthand_of_models(tmp_path):
    smp = SmpConfig(arch="unet", encoder="resnet34")
    assert loaded(tmp_path, "model: unet").model == UnetConfig()
    assert loaded(tmp_path, "model: unet/resnet34").model == smp
    assert loaded(tmp_path, "model: {arch: unet, encoder: resnet34}").model == smp
    assert loaded(tmp_path, "model: {width: 8}").model == UnetConfig(width=8)
    assert load_config(
        None, [("model", "fpn/resnet18", "--model"), ("model.weights", "none", "--weights")]
    ).model == SmpConfig(arch="fpn", encoder="resnet18", weights="none")


def test_a_flag_lies_over_the_file_even_over_its_shorthand(tmp_path):
    (tmp_path / "my.yaml").write_text("model: unet/resnet34\ntrain: {epochs: 3, seed: 5}\n")
    flags = [("train.epochs", "9", "--epochs"), ("model.weights", "none", "--weights")]
    config = load_config(tmp_path / "my.yaml", flags)
    assert (config.train.epochs, config.train.seed) == (9, 5)
    assert config.model == SmpConfig(encoder="resnet34", weights="none")


def test_the_order_of_a_section_and_its_keys_does_not_matter():
    flags = [("model.width", "3", "--model.width"), ("model", "unet", "--model")]
    assert load_config(None, flags).model.width == load_config(None, flags[::-1]).model.width == 3
    with pytest.raises(ConfigError, match=r"--model\.width: Unknown key 'model\.width'"):
        load_config(None, [flags[0], ("model", "unet/resnet18", "--model")])


def test_a_problem_of_a_flag_names_the_flag_not_the_file(tmp_path):
    (tmp_path / "my.yaml").write_text("optim:\n  lr: 1\n")
    with pytest.raises(ConfigError, match=r"^--lr: `optim.lr` must be a number or auto; got 'fast'\.$"):
        load_config(tmp_path / "my.yaml", [("optim.lr", "fast", "--lr")])


def test_lists_and_mixes(tmp_path):
    config = loaded(
        tmp_path, "loss: [{name: ce}, {name: dice, weight: 0.5}]\naugment: [{name: hflip, p: 1}]\nlog: [csv]\n"
    )
    assert config.loss == [CeTerm(), DiceTerm(weight=0.5)]
    assert config.augment == [AugmentOp(name="hflip", p=1)]
    assert config.log == ["csv"]


def test_nothing_can_be_changed_in_place():
    config = Config()
    for holder, name in ((config, "loss"), (config.optim, "lr"), (config.data.split, "val"), (config.model, "width")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(holder, name, 1)


def test_replace_validates_and_leaves_the_original_alone():
    config = Config()
    assert config.replace({"train.epochs": 3, "data.split.val": 0.5}).data.split.val == 0.5
    assert config == Config()
    with pytest.raises(ValidationError):
        config.replace({"train.epochs": 0})
    with pytest.raises(ValidationError):
        config.replace({"train.epoch": 1})


# ------------------------------------------------------------------ keys, schema, round trip


def leaves(tree: Any, prefix: str = "") -> list[str]:
    """Dotted paths of a tree's values."""
    if not isinstance(tree, dict):
        return [prefix[:-1]]
    return [leaf for key, value in tree.items() for leaf in leaves(value, f"{prefix}{key}.")]


def test_known_keys_are_all_keys_of_every_model():
    keys = known_keys()
    for section in MODEL_SECTIONS.values():
        model = section(**{"source": "my.py:Net"} if "source" in section.model_fields else {})
        assert set(leaves(Config(model=model).model_dump())) <= set(keys)
    assert len(keys) == len(set(keys))


SECTIONS = ("data", "model", "optim", "train", "data.split", "data.tiles")


@pytest.mark.parametrize("key", [key for key in known_keys() if key not in SECTIONS])
def test_every_key_says_what_it_is(key):
    """A name that has one value, and sections, which have a docstring, aside."""
    *parents, last = key.split(".")
    sections: list[Any] = [Config]
    for part in parents:  # of a union, each branch that has the key
        sections = [inner for section in sections for inner in sections_of(section.model_fields[part].annotation)]
        sections = [section for section in sections if (set(parents) | {last}) & section.model_fields.keys()]
    sections = [section for section in sections if last in section.model_fields]
    assert sections
    for section in sections:
        described = section.model_fields[last].description or (section.__doc__ if key == "model.name" else None)
        assert described, f"{key} of {section.__name__} has no description"


FLOATS = st.floats(1e-12, 1e6, allow_nan=False)
# control characters and line separators aside: PyYAML does not give all of them back (U+0085, say)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
MODELS = st.one_of(
    st.builds(
        UnetConfig, width=st.integers(1, 512), depth=st.integers(1, 8), up=st.sampled_from(["transposed", "bilinear"])
    ),
    st.builds(SmpConfig, arch=NAMES, encoder=NAMES, weights=NAMES, outputs=st.sampled_from(["softmax", "sigmoid"])),
)
TERMS = st.builds(DiceTerm, weight=FLOATS) | st.builds(
    FocalTerm,
    weight=FLOATS,
    gamma=st.floats(0, 10),
    class_weights=st.just("auto") | st.lists(FLOATS, min_size=1) | st.dictionaries(NAMES, FLOATS),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "data.root": st.none() | NAMES.map("/sets/{}".format),  # elsewhere than in a file it may be relative
        "data.size": st.just("auto") | st.integers(1, 10000) | st.lists(st.integers(1, 10000), min_size=2, max_size=2),
        "data.scale": st.just("auto") | st.floats(0.01, 16),
        "data.classes": st.none() | st.lists(NAMES) | st.dictionaries(NAMES, st.integers(0, 65535)),
        "data.split.group": st.none() | NAMES,
        "data.split.stratify": st.booleans(),
        "optim.lr": FLOATS,
        "optim.clip": st.none() | FLOATS,
        "optim.freeze": st.lists(st.sampled_from(["encoder", "decoder", "head"])),
        "train.budget": st.none(),
        "train.epochs": st.just("auto") | st.integers(1, 10**6),
        "train.early_stop": st.none() | st.integers(1, 99),
        "loss": st.sampled_from(["auto", "ce", "lovasz"])
        | st.lists(TERMS.map(lambda term: term.model_dump()), min_size=1),
        "augment": st.sampled_from(["none", "light", "standard", "heavy"])
        | st.lists(st.builds(AugmentOp, name=NAMES, p=st.none() | st.floats(0, 1)).map(lambda op: op.model_dump())),
        "log": st.lists(st.sampled_from(["csv", "tensorboard"])),
    },
)


@settings(max_examples=60, deadline=None)
@given(model=MODELS, changes=CHANGES)
def test_what_is_written_loads_back_to_an_equal_configuration(tmp_path_factory, model, changes):
    config = Config(model=model).replace(changes)
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(to_yaml(config, {"data.size": "because"}), encoding="utf-8")
    assert load_config(path) == config


def test_config_show_loads_back_to_an_equal_configuration(tmp_path):
    flags = ("--model", "unet/resnet34", "--lr", "1e-3", "--data", "my data", "--freeze-encoder", "--loss", "dice")
    shown = maskwright("config", "show", *flags)
    assert shown.code == 0
    again = loaded(tmp_path, shown.out)
    assert again.model_dump(mode="json") == maskwright("config", "show", *flags, "--json").json
    assert again.optim.lr == 0.001 and again.data.root == str(Path.cwd() / "my data")


def test_reasons_stand_as_comments():
    text = to_yaml(Config(), {"data.size": "images are 40 pixels"})
    assert text.startswith("# data.size was auto: images are 40 pixels\n")
    assert yaml.safe_load(text) == Config().model_dump(mode="json")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\0", "\x1b"])
def test_a_reason_stays_in_its_comment(end):
    text = to_yaml(Config(), {"data.size": f"so{end}train: {{epochs: 1}}"})
    assert yaml.safe_load(text) == Config().model_dump(mode="json")


def test_the_schema_is_whole_and_knows_every_key():
    schema = maskwright("config", "schema").json
    known = set(schema["$defs"])
    text = json.dumps(schema)
    for part in text.split('"#/$defs/')[1:]:
        assert part.partition('"')[0] in known, "a reference leads nowhere"
    spelled = {f"{name}" for section in [schema, *schema["$defs"].values()] for name in section.get("properties", {})}
    assert {key.split(".")[-1] for key in known_keys()} <= spelled
    assert schema["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in schema["$defs"].values())
    assert schema["$defs"]["OptimConfig"]["properties"]["power"]["exclusiveMinimum"] == 0


def test_the_schema_takes_the_shorthand_of_models_too():
    """An editor must not underline `model: unet/resnet34`, which the program takes."""
    model = maskwright("config", "schema").json["properties"]["model"]
    assert any(branch.get("type") == "string" for branch in model.get("anyOf", model.get("oneOf", [])))


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (64, 64),
        ("64", 64),
        ("48x64", (48, 64)),
        ("48 × 64", (48, 64)),
        ([48, 64], (48, 64)),
        ([64, 64], 64),
        ("8X8", 8),
    ],
)
def test_an_input_has_one_side_or_height_and_width(given: object, size: object) -> None:
    config = load_config(None, [("data.size", str(given) if isinstance(given, str) else given, "--size")])
    assert config.data.size == size
    assert Config.model_validate(yaml.safe_load(to_yaml(config, {}))).data.size == size


@pytest.mark.parametrize("given", ["48x", "48x64x3", [48], [48, 0], "0x48", [48.5, 64], "wide", 0])
def test_what_is_no_size_is_refused_in_a_sentence(given: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.size"):
        load_config(None, [("data.size", given, "--size")])
