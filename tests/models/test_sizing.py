"""Sizes: counted by hand, kept between calls, and every encoder listed without building one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskwright.config.models import SmpConfig, UnetConfig
from maskwright.models import encoders as listing
from maskwright.models.encoders import all_encoders, size_with
from maskwright.models.sizing import Size, Sizes, _built, architectures, measure, seconds_an_image

TINY = UnetConfig(width=4, depth=1, norm="none")


def test_a_unet_of_one_level_is_counted_by_hand() -> None:
    """3→4→4 at 8 × 8, 4→8→8 at 4 × 4, doubled to 4, then 8→4→4 and 4→2 at 8 × 8."""
    convolutions = [(8, 3, 4, 9), (8, 4, 4, 9), (4, 4, 8, 9), (4, 8, 8, 9), (8, 8, 4, 9), (8, 4, 4, 9), (8, 4, 2, 1)]
    products = sum(side * side * before * after * taps for side, before, after, taps in convolutions)
    doubling = 4 * 4 * 8 * 4 * 4  # each of 4 × 4 pixels gives 2 × 2
    weights = sum(before * after * taps + after for _, before, after, taps in convolutions) + 8 * 4 * 4 + 4
    assert measure(TINY, side=8) == Size(parameters=weights, multiply_adds=products + doubling, stride=2, side=8)


def test_multiply_adds_grow_with_the_area_and_padding_is_counted() -> None:
    counted = [measure(TINY, side=side).multiply_adds for side in (8, 16, 15)]
    assert counted[1] == 4 * (counted[0] or 0)
    assert counted[2] == counted[1]


def test_bands_and_classes_change_the_ends_alone() -> None:
    more = measure(TINY, num_classes=5, num_channels=6, side=8).parameters - measure(TINY, side=8).parameters
    assert more == 3 * 4 * 9 + 3 * (4 + 1)


def test_attention_is_counted() -> None:
    """Attention grows with the square of the tokens, all else with their number; so what remains is attention's share.

    tu-test_vit: blocks of width 64, a token for each 16 × 16 pixels and one for the class; two products, tokens² ×
    width each.
    """
    config = SmpConfig(arch="dpt", encoder="tu-test_vit", weights="none")
    encoder = _built(config, 2, 3).net.get_submodule("encoder.model")
    blocks, width = len(encoder.get_submodule("blocks")), int(encoder.embed_dim)  # pyright: ignore[reportArgumentType]
    counted = [measure(config, side=side).multiply_adds or 0 for side in (64, 128, 256)]
    tokens = [(side // 16) ** 2 + 1 for side in (64, 128, 256)]
    squares = [2 * blocks * width * count**2 for count in tokens]
    rest = [all_of_it - square for all_of_it, square in zip(counted, squares, strict=True)]
    # linear in the pixels, with a constant for the class token
    assert (rest[2] - rest[1]) == 4 * (rest[1] - rest[0])


def test_seconds_are_measured() -> None:
    assert 0 < seconds_an_image(TINY, side=8, repeats=1) < 60


def test_sizes_are_kept_and_forgotten_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sizes.opened(tmp_path) as sizes:
        found = sizes.of("tiny", TINY, 8)
        refused = sizes.of("no", SmpConfig(arch="dpt", encoder="resnet18", weights="none"), 8)
    assert isinstance(found, Size) and isinstance(refused, str) and "dpt" in refused
    with Sizes.opened(tmp_path) as sizes:
        assert sizes.of("tiny", None, 8) == found  # no configuration to build: it was read
        assert sizes.of("no", None, 8) == refused
    kept = json.loads((tmp_path / "sizes.json").read_text())
    kept["versions"]["torch"] = "0.1"
    (tmp_path / "sizes.json").write_text(json.dumps(kept))
    with Sizes.opened(tmp_path) as sizes:
        assert sizes.known == {}
    (tmp_path / "sizes.json").write_text("{")
    with Sizes.opened(tmp_path) as sizes:
        assert sizes.known == {}


def test_every_architecture_has_a_line() -> None:
    named = architectures()
    names = [one.name for one in named]
    assert len(set(names)) == len(names)
    assert {"unet (width 64)", "resnet34_unet", "unet/resnet34", "deeplabv3plus/resnet34"} <= set(names)
    assert all(one.licence for one in named)


class TestEncoders:
    def test_smp_s_and_timm_s_are_there_with_their_licences(self, tmp_path: Path) -> None:
        known = {one.name: one for one in all_encoders(tmp_path)}
        assert known["resnet34"].source == "smp" and known["tu-convnext_tiny"].source == "timm"
        assert list(known["resnet18"].licences) == ["imagenet", "ssl", "swsl"]
        assert known["resnet18"].licences["ssl"].startswith("CC-BY-NC-4.0")
        assert next(iter(known["tu-resnet18"].licences)) == "imagenet" and "a1_in1k" in known["tu-resnet18"].licences
        assert len(known) > 1000

    def test_a_second_look_imports_nothing_heavy_but_torch(self, tmp_path: Path) -> None:
        all_encoders(tmp_path)
        code = (
            "import sys; from pathlib import Path; from maskwright.models.encoders import all_encoders;"
            f"n = len(all_encoders(Path({str(tmp_path)!r})));"
            "print(n, *(m for m in ('timm', 'segmentation_models_pytorch', 'torchvision') if m in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(len(all_encoders(tmp_path)))]

    def test_another_version_is_looked_up_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = all_encoders(tmp_path)
        monkeypatch.setattr("maskwright.models.sizing.versions", lambda: {"timm": "0.1"})
        monkeypatch.setattr(listing, "_looked_up", lambda: before[:3])
        assert all_encoders(tmp_path) == before[:3]

    def test_an_encoder_unet_cannot_use_is_sized_with_dpt(self, tmp_path: Path) -> None:
        with Sizes.opened(tmp_path) as sizes:
            name, size = size_with("tu-test_vit", sizes, 32)
            assert name == "dpt/tu-test_vit" and isinstance(size, Size)
            name, size = size_with("tu-test_efficientnet", sizes, 32)
        assert name == "unet/tu-test_efficientnet" and isinstance(size, Size)
