"""maskwright models, maskwright losses"""

from __future__ import annotations

from maskwright.cli.types import Flag


def models(*, json: Flag = False) -> None:
    """List the models that can be named with --model.

    Parameters
    ----------
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say_json, table
    from maskwright.config_files import MODEL_SECTIONS

    rows = []
    for name, section in MODEL_SECTIONS.items():
        options = {key: field.default for key, field in section.model_fields.items() if key != "name"}
        about = (section.__doc__ or "").strip().splitlines()[0]
        rows.append((name, about, options))
    if json:
        say_json([{"name": name, "about": about, "options": options} for name, about, options in rows])
        return
    table(["model", "what it is", "options (default)"], [[n, a, ", ".join(f"{k}={v}" for k, v in o.items())] for n, a, o in rows])


def losses(*, json: Flag = False) -> None:
    """List the losses that can be named with --loss.

    Parameters
    ----------
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say_json, table
    from maskwright.losses import AUTO, LOSSES

    rows = [(name, (loss.__doc__ or "").strip().splitlines()[0]) for name, loss in LOSSES.items()]
    rows.append(("auto", "the default: " + " + ".join(f"{term.weight:g} {term.name}" for term in AUTO)))
    if json:
        say_json([{"name": name, "about": about} for name, about in rows])
        return
    table(["loss", "what it is"], [list(row) for row in rows])
