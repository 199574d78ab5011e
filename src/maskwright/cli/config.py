"""maskwright config show | schema | check"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

Keys = Annotated[str, Parameter(show=False)]


def show(config: str | None = None, /, *keys: Keys, json: Flag = False) -> None:
    """Print a configuration with every key and its value; flags as for train.

    maskwright config show
    maskwright config show my.yaml --model unet/resnet34 > whole.yaml

    Parameters
    ----------
    config
        YAML file; without one, the defaults.
    json
        Print JSON instead of YAML.
    """
    from pathlib import Path

    from maskwright.cli.output import say, say_json
    from maskwright.cli.source import path_and_overrides
    from maskwright.config.files import load_config, to_yaml

    asked = load_config(*path_and_overrides(config, keys))
    if asked.data.root:  # so that it holds wherever it is written down
        asked = asked.replace({"data.root": str(Path(asked.data.root).absolute())})
    if json:
        say_json(asked.model_dump(mode="json"))
    else:
        say(to_yaml(asked).rstrip())


def schema(*, json: Flag = False) -> None:
    """Print the JSON schema of the configuration, for editors.

    maskwright config schema > maskwright.schema.json

    Parameters
    ----------
    json
        Taken because every command takes it; a schema is JSON with it and without.
    """
    from maskwright.cli.output import say_json
    from maskwright.config import Config

    say_json(Config.model_json_schema())


def check(config: str | None = None, /, *keys: Keys, json: Flag = False) -> None:
    """Check a configuration, its data and its model without training; flags as for train.

    maskwright config check my.yaml
    maskwright config check --data my_data --model unet/resnet34

    Parameters
    ----------
    config
        YAML file; without one, the defaults.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json, stderr
    from maskwright.cli.source import path_and_overrides
    from maskwright.config.files import load_config
    from maskwright.errors import counted

    asked = load_config(*path_and_overrides(config, keys))

    from maskwright.losses import build_loss
    from maskwright.models import build_model
    from maskwright.training.plan import prepare
    from maskwright.training.summary import print_plan

    plan = prepare(asked)
    build_loss(plan.config.loss)
    model = build_model(plan.config.model, plan.opened.dataset.classes, plan.opened.dataset.bands.num_channels)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if json:
        say_json({"config": plan.config.model_dump(mode="json"), "reasons": plan.reasons, "parameters": parameters,
                  "images": plan.opened.dataset.sizes(), "notes": list(plan.opened.dataset.notes)})  # fmt: skip
        return
    print_plan(stderr(), verbose=True)(plan)
    images = counted(sum(plan.opened.dataset.sizes().values()), "image")
    say(f"the configuration fits: {parameters:,} parameters, {images}")
