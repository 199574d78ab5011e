"""maskwright models, maskwright encoders, maskwright losses"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.models.sizing import Size, Sizes

_MOST_MEASURED = 24  # encoders that --match measures without being asked to
_MOST_REASONS = 5  # why a network could not be built
_SPEEDS = {"fast": 20e9, "medium": 60e9}  # multiply-adds of an image of 512 × 512, at most; above them slow
_FIGURES = ["parameters", "multiply-adds", "stride"]


def models(*, sizes: Flag = False, time: Flag = False, side: int = 512, json: Flag = False) -> None:
    """List the models that can be named with --model, with their parameters and speed.

    maskwright models
    maskwright models --sizes --side 256
    maskwright models --time

    Parameters
    ----------
    sizes
        Measure each architecture's parameters, multiply-adds, stride and licence of weights; kept for the next time.
    time
        And seconds an image on this machine.
    side
        The image's side that multiply-adds and seconds are for.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json, table

    if sizes or time:
        return _measured_models(side, time, json)
    rows = _sections()
    if json:
        return say_json(rows)
    lines = []
    for row in rows:
        for name in row["written"]:
            size = row["sizes"].get(name)
            cells = [f"{size['parameters'] / 1e6:.1f} M", _speed(size["multiply_adds"])] if size else ["-", "-"]
            lines.append([name, *cells, row["about"] if name == row["written"][0] else ""])
    table(["--model", "parameters", "speed", "what it is"], lines)
    say("resnet34 stands for any encoder, such as fpn/tu-convnext_tiny: maskwright encoders lists them.")
    say("fast takes at most 20 G multiply-adds for an image of 512 x 512, medium 60 G; --time measures seconds here.")
    return say("maskwright config show --model NAME tells a model's options, and so does --json; --sizes measures.")


def _sections() -> list[dict[str, Any]]:
    """Each family of networks: its name, how its networks are typed, what it is, its options, and the known sizes."""
    import json
    from pathlib import Path

    from maskwright.config.keys import MODEL_SECTIONS
    from maskwright.config.models import model_shorthand

    # `maskwright models --sizes --json` wrote it
    text = Path(__file__).with_name("models.json").read_text(encoding="utf-8")
    known = {row["model"].removesuffix(" (width 64)"): row for row in json.loads(text)["models"]}
    typed: dict[str, list[str]] = {}
    for name in known:
        model: Any = model_shorthand(name)
        typed.setdefault(model["name"], []).append(name)
    rows = []
    for family, section in MODEL_SECTIONS.items():
        fields = {key: one for key, one in section.model_fields.items() if key != "name" and not one.is_required()}
        written = typed.get(family, ["FILE.py:NAME" if family == "custom" else family])
        rows.append({
            "name": family,
            "written": written,
            "about": (section.__doc__ or "").strip().splitlines()[0],
            "options": {key: one.get_default(call_default_factory=True) for key, one in fields.items()},
            "sizes": {name: {key: known[name][key] for key in ("parameters", "multiply_adds")}
                      for name in written if name in known},
        })  # fmt: skip
    return rows


def _speed(multiply_adds: float | None) -> str:
    if multiply_adds is None:
        return "-"
    return next((word for word, most in _SPEEDS.items() if multiply_adds <= most), "slow")


def _measured_models(side: int, time: bool, json: bool) -> None:
    from maskwright.cli.output import say, say_json
    from maskwright.models.sizing import architectures

    configs = {one.name: one.config for one in architectures()}
    rows: list[dict[str, Any]] = [{"model": one.name, "licence": one.licence} for one in architectures()]
    _measure(
        rows,
        side,
        time,
        lambda row, known: (row["model"], known.of(row["model"], configs[row["model"]], side)),
        configs,
    )
    if json:
        return say_json({"side": side, "models": rows})
    for row in rows:
        row["licence"] = _first_words(row["licence"])
    _print_measured("model", rows, side, time, "licence of its weights")
    return say("resnet34 stands for any encoder: maskwright encoders lists them. --json has the licences whole.")


def encoders(
    *, match: str | None = None, sizes: Flag = False, time: Flag = False, side: int = 512, json: Flag = False
) -> None:
    """List the encoders that can be named, in ARCH/ENCODER or as model.encoder.

    maskwright encoders
    maskwright encoders --match convnext_tiny
    maskwright encoders --match efficientnet-b --time --side 256

    Parameters
    ----------
    match
        Only names that hold this text; with parameters, multiply-adds and stride when they are few.
    sizes
        Parameters, multiply-adds and stride, however many: each is built once, and kept for the next time. Without
        --match of SMP's own encoders.
    time
        And seconds an image on this machine.
    side
        The image's side that multiply-adds and seconds are for.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json, table
    from maskwright.errors import UsageError, unknown
    from maskwright.models.encoders import all_encoders, size_with

    known = all_encoders()
    chosen = [one for one in known if match is None or match.lower() in one.name.lower()]
    if not chosen:
        raise UsageError(unknown("encoder", match, [one.name for one in known], "maskwright encoders lists all."))
    measured = sizes or time or (match is not None and len(chosen) <= _MOST_MEASURED)
    if match is None and (measured or not json):  # timm's, a thousand and more, only by name
        chosen = [one for one in chosen if one.source == "smp"]
    rows: list[dict[str, Any]] = [{"encoder": one.name, "from": one.source, "weights": one.licences} for one in chosen]
    if measured:
        _measure(rows, side, time, lambda row, known: size_with(row["encoder"], known, side))
    if json:
        return say_json({"side": side if measured else None, "encoders": rows})
    for row in rows:
        row["licence"] = _licences(row["weights"])
    if measured:
        of = " of unet (dpt for plain vision transformers) on the encoder"
        return _print_measured("encoder", rows, side, time, "weights: licence", of)
    table(["encoder", "weights: licence"], [[row["encoder"], row["licence"]] for row in rows])
    if match is not None:
        return say(f"{len(chosen)} encoders; --sizes measures them all, a longer --match fewer.")
    return say(f"and {len(known) - len(chosen)} of timm as tu-NAME: --match TEXT finds them by name, --json lists all.")


def _measure(
    rows: list[dict[str, Any]], side: int, time: bool,
    size_of: Callable[[dict[str, Any], Sizes], tuple[str, Size | str]], configs: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Add to each row the model's name, parameters, multiply-adds, stride and seconds, or why it cannot be built."""
    from maskwright.cli.output import counting
    from maskwright.config import Config
    from maskwright.errors import MaskwrightError, UsageError, must
    from maskwright.models.sizing import Sizes, seconds_an_image

    if not 1 <= side <= 8192:
        raise UsageError(must("--side", "1 to 8192 pixels", side))
    tell = counting("measuring")
    with Sizes.opened() as known:
        for index, row in enumerate(rows):
            name, size = size_of(row, known)
            row["model"] = name
            if isinstance(size, str):
                row["cannot"] = size
            else:
                row |= {"parameters": size.parameters, "multiply_adds": size.multiply_adds, "stride": size.stride}
            if time and "cannot" not in row:
                config = configs[name] if configs else Config.model_validate({"model": name}).model
                try:
                    row["seconds"] = round(seconds_an_image(config, side=side), 4)
                except MaskwrightError as error:
                    row["cannot"] = str(error)
            tell(index + 1, len(rows))


def _print_measured(key: str, rows: list[dict[str, Any]], side: int, time: bool, last: str, of: str = "") -> None:
    """The table of what was measured, what its dashes stand for, and what was counted."""
    from maskwright.cli.output import say, table

    table(
        [key, *_FIGURES, *(["seconds"] if time else []), last],
        [[row[key], *_figures(row, time), row["licence"]] for row in rows],
    )
    failed = [row for row in rows if "cannot" in row]
    for row in failed[:_MOST_REASONS]:
        say(f"- {row[key]}: {row['cannot']}")
    if len(failed) > _MOST_REASONS:
        say(f"- and {len(failed) - _MOST_REASONS} more that cannot be built; --json tells why.")
    counted = "counted are convolutions, products and attention"
    say(f"parameters and multiply-adds{of}, two classes, one image of {side} x {side}; {counted}.")


def _figures(row: dict[str, Any], time: bool) -> list[str]:
    """A row's figures as a person reads them; a dash each for a network that could not be built here."""
    if "cannot" in row:
        return ["-"] * (4 if time else 3)
    counted = "not counted" if row["multiply_adds"] is None else f"{row['multiply_adds'] / 1e9:.1f} G"
    cells = [f"{row['parameters'] / 1e6:.1f} M", counted, str(row["stride"])]
    return [*cells, f"{row['seconds']:.3f}"] if time else cells


def _licences(licences: dict[str, str]) -> str:
    """Each licence once, with the sets it holds for: at most three of them, the first words of each."""
    from maskwright.errors import listed

    if not licences:
        return "none to be had"
    sets: dict[str, list[str]] = {}
    for name, licence in licences.items():
        sets.setdefault(_first_words(licence), []).append(name)
    return "; ".join(f"{listed(names, 'and', 3)}: {licence}" for licence, names in sets.items())


def _first_words(licence: str) -> str:
    return licence.partition(";")[0].partition(": its")[0]


def losses(*, json: Flag = False) -> None:
    """List the losses that can be named with --loss.

    maskwright losses
    maskwright train --data my_data --loss focal

    Parameters
    ----------
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say_json, table
    from maskwright.config.losses import LOSS_SECTIONS
    from maskwright.losses import AUTO, LOSSES

    rows: list[dict[str, Any]] = []
    for name in LOSSES:
        fields = {key: field for key, field in LOSS_SECTIONS[name].model_fields.items() if key != "name"}
        about = (LOSS_SECTIONS[name].__doc__ or "").strip().splitlines()[0]
        parameters = {key: {"default": one.default, "about": one.description} for key, one in fields.items()}
        rows.append({"name": name, "about": about, "parameters": parameters})
    weights = f"class weights on {AUTO[0].name} where a class is rare in what training is shown"
    rows.append({"name": "auto", "about": f"{' + '.join(term.name for term in AUTO)}; {weights}", "parameters": {}})
    if json:
        return say_json(rows)
    cells = []
    for row in rows:
        defaults = {key: "null" if one["default"] is None else one["default"] for key, one in row["parameters"].items()}
        cells.append([row["name"], row["about"], ", ".join(f"{key}={value}" for key, value in defaults.items())])
    return table(["loss", "what it is", "parameters (default)"], cells)
