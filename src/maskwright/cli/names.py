"""maskwright models, maskwright encoders, maskwright losses"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.models.sizing import Size

_MOST_MEASURED = 24  # encoders that --match measures without being asked to
# SMP's architectures, told here so that the list of models need not import it
SMP_ARCHS = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet",
             "segformer", "dpt")  # fmt: skip
_MOST_TOLD = 5  # reasons why a network could not be built


def models(*, sizes: Flag = False, time: Flag = False, side: int = 512, json: Flag = False) -> None:
    """List the models that can be named with --model.

    maskwright models
    maskwright models --sizes --side 256
    maskwright models --time

    Parameters
    ----------
    sizes
        Each architecture's parameters, multiply-adds, stride and licence of weights; kept for the next time.
    time
        And seconds an image on this machine.
    side
        The image's side that multiply-adds and seconds are for.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json, table
    from maskwright.config.keys import MODEL_SECTIONS
    from maskwright.errors import listed

    if sizes or time:
        _architectures(side, time, json)
        return
    rows = []
    for name, section in MODEL_SECTIONS.items():
        fields = {key: field for key, field in section.model_fields.items() if key != "name" and not field.is_required()}
        options = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
        about = (section.__doc__ or "").strip().splitlines()[0]
        rows.append((name, _written(name), about, options))
    if json:
        keys = ("name", "written", "about", "options")
        say_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    lines: list[list[str]] = []
    for _, written, about, options in rows:
        told = ", ".join(f"{key}={'null' if value is None else value}" for key, value in options.items())
        lines += [[written[0], about, told], *([other, "", ""] for other in written[1:])]
    table(["--model", "what it is", "options below model: (default)"], lines)
    say(f"ARCH is {listed(SMP_ARCHS, 'or', len(SMP_ARCHS))}; maskwright encoders lists what ENCODER may be.")
    say("--sizes tells every ARCH with its parameters, multiply-adds, stride and licence; --time seconds an image here.")


def _written(family: str) -> list[str]:
    """How a family's networks are named with --model."""
    from maskwright.config.models import HF_SIZES, TorchvisionArch

    if family == "hf":
        return [f"{arch}/{size}" for arch, sizes in HF_SIZES.items() for size in sizes]
    written = {"smp": ["ARCH/ENCODER"], "custom": ["FILE.py:NAME"], "torchvision": list(get_args(TorchvisionArch))}
    return written.get(family, [family])


def _architectures(side: int, time: bool, json: bool) -> None:
    from maskwright.cli.output import counting, say, say_json, table
    from maskwright.errors import MaskwrightError
    from maskwright.models.sizing import Sizes, architectures, seconds_an_image

    _refuse_side(side)
    named = architectures()
    tell = counting("measuring")
    rows: list[dict[str, Any]] = []
    with Sizes.opened() as known:
        for index, one in enumerate(named):
            row = {"model": one.name, **_size_cells(known.of(one.name, one.config, side)), "licence": one.licence}
            if time and "cannot" not in row:
                try:
                    row["seconds"] = round(seconds_an_image(one.config, side=side), 4)
                except MaskwrightError as error:
                    row["cannot"] = str(error)
            rows.append(row)
            if tell:
                tell(index + 1, len(named))
    if json:
        say_json({"side": side, "models": rows})
        return
    table(
        ["model", *_HEAD[: 4 if time else 3], "licence of its weights"],
        [[r["model"], *_told(r, time), _first_words(r["licence"])] for r in rows],
    )
    _say_why_not("model", rows)
    _say_what_was_counted(side)
    say("resnet34 stands for any encoder: maskwright encoders lists them. Licences are told whole with --json.")


def encoders(*, match: str | None = None, sizes: Flag = False, time: Flag = False, side: int = 512, json: Flag = False) -> None:
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
    from maskwright.models.encoders import all_encoders

    _refuse_side(side)
    known = all_encoders()
    chosen = [one for one in known if match is None or match.lower() in one.name.lower()]
    if not chosen:
        raise UsageError(unknown("--match", match, [one.name for one in known], "maskwright encoders lists all."))
    measured = sizes or time or (match is not None and len(chosen) <= _MOST_MEASURED)
    if match is None and (measured or not json):  # timm's, a thousand and more, only by name
        chosen = [one for one in chosen if one.source == "smp"]
    rows: list[dict[str, Any]] = [{"encoder": one.name, "from": one.source, "weights": one.licences} for one in chosen]
    if measured:
        _measure(rows, side, time)
    if json:
        say_json({"side": side if measured else None, "encoders": rows})
        return
    for row in rows:
        row["licence"] = _licences(row["weights"])
    head = ["encoder", *(_HEAD[: 4 if time else 3] if measured else []), "weights: licence"]
    table(head, [[row["encoder"], *(_told(row, time) if measured else []), row["licence"]] for row in rows])
    if measured:
        _say_why_not("encoder", rows)
        _say_what_was_counted(side, " of unet (dpt for plain vision transformers) on the encoder")
    elif match is not None:
        say(f"{len(chosen)} encoders; --sizes measures them all, a longer --match fewer.")
    else:
        say(f"and {len(known) - len(chosen)} of timm as tu-NAME: --match TEXT finds them by name, --json lists all.")


def _measure(rows: list[dict[str, Any]], side: int, time: bool) -> None:
    from maskwright.cli.output import counting
    from maskwright.config.models import SmpConfig
    from maskwright.models.encoders import size_with
    from maskwright.models.sizing import Sizes, seconds_an_image

    tell = counting("measuring")
    with Sizes.opened() as known:
        for index, row in enumerate(rows):
            name, answer = size_with(row["encoder"], known, side)
            row |= {"model": name, **_size_cells(answer)}
            if time and "cannot" not in row:
                arch, _, encoder = name.partition("/")
                row["seconds"] = round(seconds_an_image(SmpConfig(arch=arch, encoder=encoder, weights="none"), side=side), 4)
            if tell:
                tell(index + 1, len(rows))


_HEAD = ["parameters", "multiply-adds", "stride", "seconds"]


def _size_cells(size: Size | str) -> dict[str, Any]:
    if isinstance(size, str):
        return {"cannot": size}
    return {"parameters": size.parameters, "multiply_adds": size.multiply_adds, "stride": size.stride}


def _told(row: dict[str, Any], time: bool) -> list[str]:
    """A row's figures as a person reads them; a dash each for a network that could not be built here."""
    if "cannot" in row:
        return ["-"] * (4 if time else 3)
    counted = "not counted" if row["multiply_adds"] is None else f"{row['multiply_adds'] / 1e9:.1f} G"
    cells = [f"{row['parameters'] / 1e6:.1f} M", counted, str(row["stride"])]
    return [*cells, f"{row['seconds']:.3f}"] if time else cells


def _say_why_not(key: str, rows: list[dict[str, Any]]) -> None:
    """What the dashes in a table stand for."""
    from maskwright.cli.output import say

    failed = [row for row in rows if "cannot" in row]
    for row in failed[:_MOST_TOLD]:
        say(f"- {row[key]}: {row['cannot']}")
    if len(failed) > _MOST_TOLD:
        say(f"- and {len(failed) - _MOST_TOLD} more that cannot be built; --json tells why.")


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


def _say_what_was_counted(side: int, of: str = "") -> None:
    from maskwright.cli.output import say

    counted = "counted are convolutions, products and attention"
    say(f"parameters and multiply-adds{of}, two classes, one image of {side} x {side}; {counted}.")


def _refuse_side(side: int) -> None:
    from maskwright.errors import UsageError, must

    if not 1 <= side <= 8192:
        raise UsageError(must("--side", "1 to 8192 pixels", side))


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

    about_auto = " + ".join(term.name for term in AUTO)
    about_auto += f"; class weights on {AUTO[0].name} where a class is rare in what training is shown"
    rows = []
    for name in LOSSES:
        fields = {key: field for key, field in LOSS_SECTIONS[name].model_fields.items() if key != "name"}
        rows.append((name, (LOSS_SECTIONS[name].__doc__ or "").strip().splitlines()[0], fields))
    rows.append(("auto", about_auto, {}))
    if json:
        told = [{key: {"default": one.default, "about": one.description} for key, one in its.items()} for _, _, its in rows]
        say_json([{"name": row[0], "about": row[1], "parameters": its} for row, its in zip(rows, told, strict=True)])
        return
    plain = {key: "null" if one.default is None else one.default for _, _, its in rows for key, one in its.items()}
    cells = [[name, about, ", ".join(f"{key}={plain[key]}" for key in its)] for name, about, its in rows]
    table(["loss", "what it is", "parameters (default)"], cells)
