"""How losses are written: names, parameters, and what a mistake is told; `maskwright losses`."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.config import Config
from maskwright.config.files import load_config, to_yaml
from maskwright.config.losses import LOSS_SECTIONS, BceTerm, CeTerm, DiceTerm, TopkTerm, TverskyTerm
from maskwright.config.sentences import LOSS_SYNONYMS
from maskwright.errors import ConfigError
from maskwright.losses import LOSSES
from support import maskwright


def refused(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    return tuple(problem.replace(str(path), "my.yaml") for problem in error.value.problems)


def test_a_name_is_a_mix_of_one() -> None:
    for name, section in LOSS_SECTIONS.items():
        assert Config.model_validate({"loss": name}).loss == [section()]
        assert load_config(None, [("loss", name, "--loss")]).loss == [section()]
    assert Config().loss == Config.model_validate({"loss": "auto"}).loss == "auto"


def test_names_within_a_mix() -> None:
    mix = load_config(None, [("loss", "[ce, {name: dice, weight: 2}, topk]", "--loss")]).loss
    assert mix == [CeTerm(), DiceTerm(weight=2), TopkTerm()]


def test_a_class_that_is_called_by_a_number() -> None:
    (term,) = load_config(None, [("loss", "[{name: ce, class_weights: {1: 2, sky: 3}}]", "--loss")]).loss
    assert term == CeTerm(class_weights={"1": 2.0, "sky": 3.0})


def test_every_parameter_is_written_down_and_read_back(tmp_path: Path) -> None:
    terms = [
        CeTerm(class_weights="auto", smoothing=0.1),
        TverskyTerm(weight=2, class_weights={"road": 2.0}, alpha=0.7, beta=0.3),
        TopkTerm(class_weights=[1.0, 0.0], share=0.2), BceTerm(), DiceTerm(weight=0.5),
    ]  # fmt: skip
    text = to_yaml(Config(loss=terms))
    assert "smoothing: 0.1" in text and "road: 2.0" in text
    (tmp_path / "my.yaml").write_text(text)
    assert load_config(tmp_path / "my.yaml").loss == terms


def test_runs_of_before_load(tmp_path: Path) -> None:
    """Their configurations name a loss and its weight, no more."""
    (tmp_path / "my.yaml").write_text("loss:\n- name: ce\n  weight: 1.0\n- name: dice\n  weight: 1.0\n")
    assert load_config(tmp_path / "my.yaml").loss == [CeTerm(), DiceTerm()]


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("dise", "Unknown loss 'dise'. Did you mean 'dice'?"),
        ("atuo", "Unknown loss 'atuo'. Did you mean 'auto'?"),
        ("ohem", "Unknown loss 'ohem'. Did you mean 'topk'?"),
        ("ce+dice", "`loss` must be one name; got 'ce+dice'. Write a mix as [ce, dice]."),
        ("'ce, dice'", "`loss` must be one name; got 'ce, dice'. Write a mix as [ce, dice]."),
        ("[ce, focall]", "Unknown loss 'focall' in `loss.1.name`. Did you mean 'focal'?"),
        (
            "xyz",
            "Unknown loss 'xyz'. Choose from bce, ce, dice, jaccard, tversky, focal, lovasz, topk, boundary and auto.",
        ),
        ("[]", "`loss` must have at least one term; got an empty list."),
        ("3", "`loss` must be auto, the name of a loss, or a list of names and {name: …}; got 3."),
        ("[{weight: 2}]", "`loss.0.name` must be given. Write {name: …}; losses are bce, ce, "),
        ("[{name: ce}, {name: focall}]", "Unknown loss 'focall' in `loss.1.name`. Did you mean 'focal'?"),
        ("[{name: focal, gama: 3}]", "Unknown key 'loss.0.gama'. Did you mean 'loss.0.gamma'?"),
        (
            "[{name: ce}, {name: ce, gamma: 3}]",
            "Unknown key 'loss.1.gamma'. The keys of ce are name, weight, class_weights and smoothing. focal takes it.",
        ),
        ("[{name: tversky, alpha: -1}]", "`loss.0.alpha` must be greater than or equal to 0; got -1."),
        ("[{name: tversky, alpha: 0, beta: 0}]", "`loss.0`: alpha or beta must be above 0; got 0 for both."),
        ("[{name: topk, share: 0}]", "`loss.0.share` must be greater than 0; got 0."),
        ("[{name: ce, smoothing: 1}]", "`loss.0.smoothing` must be less than 1; got 1."),
        ("[{name: ce, class_weights: autoo}]", "`loss.0.class_weights` must be auto, a list of numbers in"),
        (
            "[{name: ce, class_weights: [1, -2]}]",
            "`loss.0.class_weights.1` must be greater than or equal to 0; got -2.",
        ),
        ("[{name: ce, class_weights: {road: x}}]", "`loss.0.class_weights.road` must be a number; got 'x'."),
        ("[{name: ce, class_weights: [0, 0]}]", "`loss.0.class_weights` must hold a weight above 0; got [0, 0]."),
    ],
)
def test_a_mistake_is_told_once_with_its_line(tmp_path: Path, loss: str, told: str) -> None:
    (problem,) = refused(tmp_path, f"train: {{epochs: 3}}\nloss: {loss}\n")
    assert problem.startswith("my.yaml, line 2: ") and told in problem


def test_mistakes_of_several_terms_are_told_together_with_their_lines(tmp_path: Path) -> None:
    text = "loss:\n  - {name: ce, smothing: 0.1}\n  - name: tversky\n    gamma: 2\n  - name: focall\n"
    assert [problem.split(": Unknown ")[0] for problem in refused(tmp_path, text)] == [
        f"my.yaml, line {line}" for line in (2, 4, 5)
    ]


def test_names_of_other_tools_lead_to_ours() -> None:
    assert set(LOSS_SYNONYMS.values()) <= set(LOSSES) and not set(LOSS_SYNONYMS) & set(LOSSES)


def test_losses_are_listed_with_their_parameters() -> None:
    lines = maskwright("losses").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [*LOSSES, "auto"]
    for name, line in zip(LOSSES, lines, strict=False):
        for key in set(LOSS_SECTIONS[name].model_fields) - {"name"}:
            assert f"{key}=" in line
    rows = {row["name"]: row for row in maskwright("losses", "--json").json}
    assert rows["topk"]["parameters"]["share"] == {
        "default": 0.2, "about": "share of the labelled pixels that count, the worst first",
    }  # fmt: skip
    assert all(about["about"] for row in rows.values() for about in row["parameters"].values())
