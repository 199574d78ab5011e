"""maskwright models and encoders: what can be named, for a person and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.config import Config
from maskwright.config.keys import MODEL_SECTIONS
from maskwright.models import sizing
from maskwright.models.sizing import Named
from support import maskwright


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own."""
    folder = tmp_path_factory.getbasetemp() / "names-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def test_models_tells_every_section_and_its_options() -> None:
    told = maskwright("models", "--json").json
    assert [one["name"] for one in told] == list(MODEL_SECTIONS)
    assert next(one for one in told if one["name"] == "smp")["options"]["encoder"] == "resnet34"
    assert "--sizes" in maskwright("models").out


def test_models_lists_every_architecture_with_parameters_and_speed() -> None:
    """As they are typed: the table in the package holds for SMP's, torchvision's and transformers' of today."""
    out = maskwright("models").out
    names = [line.split()[0] for line in out.splitlines()[1:]]
    for one in sizing.architectures():
        assert one.name.removesuffix(" (width 64)") in names or one.name == "unet (width 32)", one.name
    rows = {line.split()[0]: line.split()[1:4] for line in out.splitlines()}
    assert rows["unet"] == ["31.0", "M", "slow"] and rows["fpn/resnet34"] == ["23.2", "M", "medium"]
    assert rows["lraspp_mobilenet_v3_large"] == ["3.2", "M", "fast"]


def test_the_sizes_that_are_shipped_are_those_of_the_networks() -> None:
    """The smallest of each family; `maskwright models --sizes --json` wrote the file."""
    sizes = {name: size for one in maskwright("models", "--json").json for name, size in one["sizes"].items()}
    for name in ("fpn/resnet34", "lraspp_mobilenet_v3_large", "segformer/b0"):
        measured = sizing.measure(Config.model_validate({"model": name}).model)
        assert sizes[name] == {"parameters": measured.parameters, "multiply_adds": measured.multiply_adds}


def test_models_sizes_measures_each_and_keeps_it(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Two of all architectures, to save the seconds; the list of all is tested with sizing."""
    few = [one for one in sizing.architectures() if one.name in ("unet (width 32)", "unet/resnet34")]
    monkeypatch.setattr(sizing, "architectures", lambda: few)
    told = maskwright("models", "--sizes", "--side", "64", "--json").json
    assert told["side"] == 64
    lab, smp = told["models"]
    assert lab["stride"] == 16 and smp["stride"] == 32
    # SMP's own count of unet/resnet34 for one class is 24,436,369; another output is 16 × 9 + 1 more
    assert smp["parameters"] == 24_436_369 + 145
    assert smp["licence"].startswith("BSD-3-Clause")
    assert lab["multiply_adds"] > 0 and "seconds" not in lab
    assert (cache / "maskwright" / "sizes.json").is_file()
    lines = maskwright("models", "--sizes", "--side", "64").out.splitlines()
    assert lines[0].split()[:2] == ["model", "parameters"] and "24.4 M" in lines[2]


def test_models_time_adds_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskwright.config.models import UnetConfig

    monkeypatch.setattr(sizing, "architectures", lambda: [Named("tiny", UnetConfig(width=2, depth=1), "none")])
    assert maskwright("models", "--time", "--side", "16", "--json").json["models"][0]["seconds"] > 0
    assert "seconds" in maskwright("models", "--time", "--side", "16").out


def test_a_model_that_cannot_be_built_here_is_told_and_the_others_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskwright.config.models import SmpConfig, UnetConfig

    named = [
        Named("bad", SmpConfig(arch="dpt", encoder="resnet18"), "none"),
        Named("good", UnetConfig(width=2, depth=1), "none"),
    ]
    monkeypatch.setattr(sizing, "architectures", lambda: named)
    bad, good = maskwright("models", "--sizes", "--side", "16", "--json").json["models"]
    assert "dpt/resnet18" in bad["cannot"] and good["parameters"] > 0


def test_encoders_lists_smp_s_and_counts_timm_s() -> None:
    out = maskwright("encoders").out
    assert "resnet34" in out and "mit_b0" in out and "non-commercial" in out
    assert "of timm as tu-NAME" in out and "\ntu-" not in out
    told = maskwright("encoders", "--json").json["encoders"]
    assert len(told) > 1000 and {"encoder", "from", "weights"} == told[0].keys()


def test_encoders_match_measures_the_few() -> None:
    told = maskwright("encoders", "--match", "MobileNet_V2", "--side", "64", "--json").json
    by_name = {row["encoder"]: row for row in told["encoders"]}
    assert "mobilenet_v2" in by_name and by_name["mobilenet_v2"]["model"] == "unet/mobilenet_v2"
    assert by_name["mobilenet_v2"]["parameters"] > 6_000_000 and by_name["mobilenet_v2"]["stride"] == 32
    out = maskwright("encoders", "--match", "mobilenet_v2", "--side", "64").out
    assert "multiply-adds" in out and "mobilenet_v2" in out


def test_encoders_match_of_many_only_lists() -> None:
    out = maskwright("encoders", "--match", "resnet").out
    assert "--sizes measures them all" in out and "multiply-adds" not in out
    assert "tu-resnet18" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("encoders", "--match", "convnxt_tiny"), "tu-convnext_tiny"),
        (("encoders", "--match", "resnet34", "--side", "0"), "`--side` must be 1 to 8192"),
        (("models", "--sizes", "--side", "99999"), "`--side` must be 1 to 8192"),
    ],
)
def test_bad_words_are_one_sentence(words: tuple[str, ...], told: str) -> None:
    outcome = maskwright(*words)
    assert outcome.code == 2
    assert told in outcome.sentence


def test_models_tells_how_each_is_named() -> None:
    told = {one["name"]: one["written"] for one in maskwright("models", "--json").json}
    assert "lraspp_mobilenet_v3_large" in told["torchvision"] and {"segformer/b5", "mask2former/tiny"} <= set(
        told["hf"]
    )
    listed = maskwright("models").out
    for written in told.values():
        for name in written:
            assert maskwright("config", "show", "--model", name).code == 0, name
            assert name in listed


def test_what_cannot_be_built_is_told_to_a_person_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskwright.config.models import SmpConfig

    named = [Named(f"bad {number}", SmpConfig(arch="dpt", encoder="resnet18"), "none") for number in range(7)]
    monkeypatch.setattr(sizing, "architectures", lambda: named)
    out = maskwright("models", "--sizes", "--side", "16").out
    assert "- bad 0: `model` must be a combination that can be built; got dpt/resnet18" in out
    assert out.count("can be built") == 5 and "and 2 more that cannot be built; --json tells why" in out


def test_measuring_without_a_match_keeps_to_smp_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's thousand and more would take hours; the list is cut to a few here."""
    from maskwright.models import encoders as listing
    from maskwright.models.encoders import Encoder

    few = [Encoder("mobilenet_v2", {}), Encoder("tu-test_vit", {})]
    monkeypatch.setattr(listing, "all_encoders", lambda: few)
    told = maskwright("encoders", "--sizes", "--side", "32", "--json").json["encoders"]
    assert [one["encoder"] for one in told] == ["mobilenet_v2"]
    assert [one["encoder"] for one in maskwright("encoders", "--json").json["encoders"]] == [
        "mobilenet_v2",
        "tu-test_vit",
    ]
