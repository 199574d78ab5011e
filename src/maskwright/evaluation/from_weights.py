"""A run made of a person's own weights: nothing is trained, and every command that takes a run then takes it.

run, notes = run_from_weights(config, Path("runs/mine"))
evaluate(run, "test")
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from maskwright.config import Config
from maskwright.data.dataset import Dataset
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.record import data_document, validate_outside_data
from maskwright.errors import counted
from maskwright.folders import new_folder
from maskwright.models.devices import choose_device
from maskwright.models.weights import UNKNOWN, Loaded
from maskwright.models.whole import config_for
from maskwright.prediction.from_weights import load_network, read_weights, view_note
from maskwright.runs import MADE, Run, provenance
from maskwright.training.initial_weights import describe_initial_weights, resolve_paths_and_pixels
from maskwright.training.resolve import Resolver, resolve, resolve_view


def run_from_weights(
    config: Config, out: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[Run, list[str]]:
    """Make a run folder of a configuration, its data and its weights file; what one should know of how they fit."""
    Run.refuse_taken(out)
    path, tensors = read_weights(config)
    if config.data.split.model_fields_set.isdisjoint({"val", "test", "folds"}):
        split = config.data.split.model_copy(update={"val": 0.0, "test": 0.0})
        config = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
    opened = open_dataset(config.data.model_copy(update={"cache": "none"}), None, progress)
    try:
        network = config_for(config.model, tensors, opened.dataset.bands.num_channels)
        whole, seen = _seen_as_predicted(config.model_copy(update={"data": opened.config, "model": network}), opened)
        resolved, reasons = resolve(whole, opened.dataset, ("none", "each image is read once"))
        reasons |= seen
        images = [opened.store.get(index)[0] for index in range(min(4, len(opened.dataset.items)))]
    finally:
        opened.store.close()
    dataset, notes = _to_score(opened.dataset, config)
    model, remarks = load_network(resolved, path, tensors, dataset.classes, dataset.bands.num_channels, images)
    model.loaded = Loaded(f"file {path}", UNKNOWN, len(tensors), notes=tuple(remarks))
    resolved, why = resolve_paths_and_pixels(
        resolved.replace({"train.epochs": 1, "train.budget": None, "log": ["csv"]}), model
    )
    data = resolved.data
    if "data.size" in reasons and data.view != "auto" and data.size != "auto":
        notes.append(view_note(data.view, data.size))
    if data.root is not None:
        resolved = resolved.replace({"data.root": str(Path(data.root).absolute())})
    validate_outside_data(out, dataset)
    with new_folder(out, partial(Run.refuse_taken, out), "config.yaml", (*MADE, "model.safetensors")):
        run = Run.create(out)
        run.write_json("environment.json", {**provenance(reasons | why), **describe_initial_weights(model)})
        run.write_json("data.json", data_document(dataset))
        from maskwright.training.callbacks import write_weights  # with Lightning, which other evaluations do without

        write_weights(run, {"state_dict": model.state_dict(), "source": str(path)})
        run.write_config(resolved, reasons | why)
    return run, remarks + notes


def _seen_as_predicted(config: Config, opened: Opened) -> tuple[Config, dict[str, str]]:
    """What `auto` leaves open of view and sizes, as `predict` decides it for weights whose training nobody knows."""
    to = Resolver(config)
    device = to.decide("train.devices", choose_device)
    to.decide("train.grow", lambda: (0.0, "nothing is trained"))  # and so `data.multiscale` is false
    resolve_view(to, statistics.median(max(item.height, item.width) for item in opened.dataset.items), device)
    return config.replace(to.changes), to.reasons


def _to_score(dataset: Dataset, config: Config) -> tuple[Dataset, list[str]]:
    """The splits the data set names, or was asked to be dealt into; else all its images are there to be scored."""
    if dataset.split_info.seed is None or config.data.split.val or config.data.split.test or config.data.split.folds:
        return dataset, []
    items = tuple(replace(item, record=replace(item.record, split="test")) for item in dataset.items)
    message = f"the data name no splits, so all {counted(len(items), 'image')} are scored, as test"
    return replace(dataset, items=items, split_info=replace(dataset.split_info, seed=None, reason=message)), [message]
