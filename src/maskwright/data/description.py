"""dataset.yaml: a data set's explicit description, some of the `data:` keys, used below those that are configured.

images: scans
masks: labels
classes: {background: 0, pet: 1}
split: {group: '^[^_]+'}
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from maskwright.config.data import DataConfig, SplitConfig
from maskwright.config.files import load_data_keys, read_keys
from maskwright.config.typed import command_on
from maskwright.errors import ConfigError, listed

FILE = "dataset.yaml"
# what the data are; how a network sees them is the configuration's business
KEYS = ("reader", "target", "boundary", "images", "masks", "classes", "ignore_index", "foreground_from",
        "window", "bands", "tones", "split")  # fmt: skip

_MEANT = 0.75  # so alike a key must be to one of ours to be taken for it, misspelt


def description_file(root: str | None) -> Path | None:
    """Where a data set's description is or would be: in its folder, or beside its CSV."""
    if root is None:
        return None
    path = Path(root)
    return (path if path.is_dir() else path.parent) / FILE


def check_command(config: DataConfig) -> str:
    """The command that looks at a data set, read as this configuration reads it, ready to be pasted."""
    found = config.model_dump(include={"root", *KEYS}, exclude_unset=True, exclude_defaults=True)
    return command_on(DataConfig.model_validate(found))


def described(config: DataConfig) -> tuple[DataConfig, tuple[str, ...]]:
    """The configuration with what dataset.yaml says where nothing else was said, and a note of what it gave."""
    path = description_file(config.root)
    if path is None or not path.is_file():
        return config, ()
    found = read_keys(path)
    # another program's
    if found and not any(get_close_matches(key, DataConfig.model_fields, 1, _MEANT) for key in found):
        return config, (f"{FILE} describes no data set ({listed(found, 'and', 4)}) and was left aside",)
    odd = [key for key in found if key in DataConfig.model_fields and key not in KEYS]
    if odd:
        where = f"{path}, line {found[odd[0]]}"
        detail = f"`{odd[0]}` must stand in the configuration of a training, not in the data set's description"
        raise ConfigError([f"{where}: {detail}; keys here are {listed(KEYS, 'and', 12)}. Move it."])
    said = load_data_keys(path)
    changes = _unsaid(config, said)
    if not changes:
        return config, ()
    # copied, not validated anew: which keys were given must stay known, so that this can be done twice
    return config.model_copy(update=changes), (f"{FILE} gives {listed(changes)}",)


def _unsaid(config: DataConfig, said: DataConfig) -> dict[str, Any]:
    """The keys of the description that the configuration leaves open."""
    changes = {
        key: getattr(said, key) for key in KEYS if key in said.model_fields_set - config.model_fields_set - {"split"}
    }
    if {"images", "masks", "reader"} & config.model_fields_set:  # where the files are is given by one of the two, whole
        changes = {key: value for key, value in changes.items() if key not in ("images", "masks", "reader")}
    if "split" in said.model_fields_set:
        split = _merged_split(config.split, said.split) if "split" in config.model_fields_set else said.split
        changes |= {"split": split} if split != config.split else {}
    return changes


def _merged_split(ours: SplitConfig, said: SplitConfig) -> SplitConfig:
    open_keys = said.model_fields_set - ours.model_fields_set
    return ours.model_copy(update={key: getattr(said, key) for key in open_keys})
