"""Every key a YAML may hold: typed, frozen, resolved once. No torch in here.

    config = load_config("my.yaml", [("train.epochs", "20", "--epochs")])
    config.train.epochs            # 20

A key that is not known, and a value that does not fit, is reported with its file and line (or
flag) and the nearest valid key; all of them at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from maskwright import custom
from maskwright.config.augment import AugmentPreset, AugmentStep, augment_shorthand
from maskwright.config.base import Auto, Budget, Count, CustomCode, Fraction, Monitor, Section, Seed, option
from maskwright.config.data import DataConfig
from maskwright.config.log import LogEntry, LogInput, log_shorthand
from maskwright.config.losses import LossName, LossTerm, loss_shorthand
from maskwright.config.models import MASK2FORMER_RATE, AutoModelConfig, ModelConfig, model_shorthand
from maskwright.config.optim import OptimConfig


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_OneOrMore = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=list[str] | str)]


class TrainConfig(Section):
    """How long and on what training runs."""

    epochs: Count | Auto = option("auto", "passes over the training images")
    budget: Budget | None = option(None, "time to spend in all: 30s, 5m, 2h, 1d; without it or epochs 10m")
    grow: Fraction | Auto = option("auto", "share of the epochs or of the budget, from its start, at half the size")
    repeats: Count | Auto = option("auto", "inputs drawn from each image an epoch")
    batch_size: Count | Auto = option("auto", "inputs the network sees at once")
    accumulate: Count = option(1, "batches whose gradients make one step")
    seed: Seed = option(0, "decides the first weights and every random choice")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option("auto", "arithmetic; fp16 on NVIDIA's GPUs alone")
    compile: bool | Auto = option("auto", "torch.compile for training; auto: on a GPU, where the time repays it")
    devices: Literal["auto", "cpu", "gpu"] = option("auto", "what the network runs on")
    num_devices: Count = option(1, "GPUs that share each batch, with a process for each; on a CPU, processes")
    workers: Annotated[int, Field(ge=0, le=1024)] | Auto = option("auto", "processes that prepare inputs")
    monitor: Monitor = option("val_iou", "what the best epoch is picked by")
    mask_threshold: float = option(0.5, "two classes: from which probability a pixel is foreground", gt=0, lt=1)
    save_every: Count | None = option(None, "epochs between two writings of checkpoints; null: when it costs little")
    early_stop: Count | None = option(None, "stop after so many epochs without a better one")
    average: Literal["ema", "none"] = option("ema", "average the weights over the last steps")
    allow: _OneOrMore = option([], "codes of errors that maskwright check finds and that training goes on in spite of")

    @model_validator(mode="after")
    def _epochs_or_time(self) -> TrainConfig:
        if self.budget is not None and self.epochs != "auto":
            both = f"{self.budget} and {self.epochs}"
            raise ValueError(f"budget and epochs must not be given together; got {both}. Leave one out")
        return self


class Config(Section):
    """Everything that decides a run.

    >>> Config().model.name
    'auto'
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = AutoModelConfig()
    loss: Annotated[
        Auto | list[LossTerm],
        BeforeValidator(loss_shorthand, json_schema_input_type=Auto | LossName | str | list[LossName | str | LossTerm]),
    ] = option("auto", "auto, one name, FILE.py:NAME, or a weighted mix: [ce, {name: dice, weight: 0.5}]")
    augment: Annotated[
        AugmentPreset | list[AugmentStep],
        BeforeValidator(augment_shorthand, json_schema_input_type=AugmentPreset | str | list[AugmentStep | str]),
    ] = option("auto", "auto: by the images; a preset, a list of operations, or FILE.py:NAME")
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    log: Annotated[
        list[LogEntry],
        BeforeValidator(log_shorthand, json_schema_input_type=LogInput),
        Field(description="csv, which is always written, tensorboard, wandb, mlflow; {name: wandb, …} for options"),
    ] = Field(default_factory=lambda: ["csv", "tensorboard"])

    @model_validator(mode="before")
    @classmethod
    def _default_rate(cls, keys: Any) -> Any:
        """Mask2Former may end at one map for all images at the others' rate: its default is its paper's."""
        if not isinstance(keys, dict):
            return keys
        model, optim = model_shorthand(keys.get("model")), keys.get("optim", {})
        arch = model.get("arch") if isinstance(model, dict) else getattr(model, "arch", None)
        if arch != "mask2former" or not isinstance(optim, dict) or "lr" in optim:
            return keys
        return {**keys, "optim": {**optim, "lr": MASK2FORMER_RATE}}

    def custom_code(self) -> dict[str, CustomCode]:
        """Code of a person's own that the configuration names, by its dotted key.

        >>> list(Config.model_validate({"model": "my.py:Net", "loss": ["ce", "my.py:loss"]}).custom_code())
        ['model', 'loss.1']
        """
        steps = {"loss": self.loss, "augment": self.augment}
        parts = {
            f"{key}.{at}": one for key, some in steps.items() if isinstance(some, list) for at, one in enumerate(some)
        }
        return {key: one for key, one in {"model": self.model, **parts}.items() if isinstance(one, CustomCode)}

    def refuse_unnamed_code(self) -> None:
        """Stop where it was read from a folder, and names code that nobody has named on this machine."""
        for key, code in self.custom_code().items():
            custom.refuse_unnamed(key, code.source, code.options, code.hash)

    def replace(self, changes: dict[str, Any]) -> Config:
        """A copy with dotted keys changed, validated anew.

        >>> Config().replace({"train.epochs": 3}).train.epochs
        3
        """
        tree = self.model_dump()
        for key, value in changes.items():
            *parents, last = key.split(".")
            node: Any = tree
            for part in parents:
                node = node[int(part) if isinstance(node, list) else part]
            node[last] = value
        new = Config.model_validate(tree)
        for before, after, at in ((self.data, new.data, "data."), (self.data.split, new.data.split, "data.split.")):
            changed = {key.removeprefix(at).partition(".")[0] for key in changes if key.startswith(at)}
            # dataset.yaml says the others
            after.model_fields_set.intersection_update(before.model_fields_set | changed)
        return new
