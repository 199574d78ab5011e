"""Short flags and dotted keys → overrides of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from maskwright.config.files import Override
from maskwright.config.keys import FREE, known_keys
from maskwright.config.sentences import SYNONYMS
from maskwright.config.yaml_text import flag_value
from maskwright.errors import UsageError, as_typed, closest, unknown

# short name → dotted key; the seeds' own spellings stand beside ours
SHORT = {
    "--data": "data.root", "--data-path": "data.root", "--model": "model", "--arch": "model.arch",
    "--encoder": "model.encoder", "--weights": "model.weights", "--epochs": "train.epochs",
    "--batch-size": "train.batch_size", "--lr": "optim.lr", "--learning-rate": "optim.lr",
    "--weight-decay": "optim.weight_decay", "--wd": "optim.weight_decay", "--loss": "loss", "--seed": "train.seed",
    "--precision": "train.precision", "--devices": "train.devices", "--augment": "augment", "--size": "data.size",
    "--budget": "train.budget", "--mask-threshold": "train.mask_threshold",
}  # fmt: skip
SHORT_NAMES = {flag[2:].replace("-", "_"): key for flag, key in SHORT.items()}  # as Python and YAML have them
ALLOW = "--allow"  # once for each code
LOG = "--log"  # once, with commas, or once for each logger
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
FREEZE = {"--freeze-encoder": "encoder", "--freeze-decoder": "decoder", "--freeze-head": "head"}


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Flag words → (key, value, flag); unknown flags are refused together, each with the nearest known one.

    >>> parse_overrides(["--lr", "1e-3", "--data.size=256"])
    [('optim.lr', '1e-3', '--lr'), ('data.size', '256', '--data.size')]
    """
    found: list[Override] = []
    lists: dict[str, list[str]] = {ALLOW: [], LOG: []}
    strangers: dict[str, str] = {}
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag in FREEZE:
            said = value if equals else rest.pop(0) if rest and rest[0].lower() in TRUTHS else "true"
            found.append((f"optim.freeze.{FREEZE[flag]}", "always" if _is_yes(flag, said) else "never", flag))
            continue
        if not flag.startswith("-"):
            meant = f"--data {as_typed(flag)}"
            raise UsageError(f"only one CONFIG and flags are taken; got {flag!r}. Did you mean {meant}?")
        if flag not in lists and flag not in SHORT and not _may_be_key(flag):
            strangers[flag] = _unknown(flag)
            if not equals and rest and not rest[0].startswith("--"):
                rest.pop(0)
            continue
        if not equals:
            if not rest or (rest[0].startswith("--") and len(rest[0]) > 2):
                raise UsageError(f"`{flag}` must be followed by a value; got nothing. Write {flag} VALUE.")
            value = rest.pop(0)
        if flag in lists:
            lists[flag].append(value)
        else:
            found.append((SHORT.get(flag, flag[2:]), value, flag))
    if strangers:
        head = "" if len(strangers) == 1 else f"{len(strangers)} flags are not known:\n  "
        raise UsageError(head + "\n  ".join(strangers.values()))
    allowed, logged = lists[ALLOW], lists[LOG]
    found += [("train.allow", allowed, ALLOW)] if allowed else []
    found += [("log", logged[0] if len(logged) == 1 else [_read(value) for value in logged], LOG)] if logged else []
    return found


def _read(text: str) -> Any:
    """One of several values, each read as YAML; what is none stays as it is, to be refused as an unknown name."""
    try:
        return flag_value(text)
    except yaml.YAMLError:
        return text


def _is_yes(flag: str, said: str) -> bool:
    """`--freeze-encoder`, with `true` and with `=1` are the same; false lets the part learn, whatever the file says."""
    if said.lower() not in TRUTHS:
        raise UsageError(f"`{flag}` must stand alone or be followed by true or false; got {said!r}. Write {flag}.")
    return TRUTHS[said.lower()]


def _may_be_key(flag: str) -> bool:
    """Whether a flag is a key, or below a section: then the configuration names the nearest, with its reason."""
    key, keys = flag[2:], known_keys()
    section = key.rpartition(".")[0]
    return key in keys or section in keys or section.startswith(tuple(f"{one}." for one in FREE))


def _unknown(flag: str) -> str:
    """An unknown flag's sentence: what other tools mean by it, else the keys that end on its word, else the nearest."""
    keys, word = known_keys(), flag.lstrip("-").replace("-", "_")
    short = f"--{SYNONYMS.get(word, word).replace('_', '-')}"
    near = [short] if short in SHORT else [f"--{key}" for key in keys if key.rpartition(".")[2] == word]
    if not near:
        own = ("--out", "--resume", "--folds", "--plan", "--verbose", "--json")
        near = closest(flag, [*SHORT, *FREEZE, ALLOW, LOG, *(f"--{key}" for key in keys), *own], limit=1)
    return unknown("flag", flag, near, "" if near else "See maskwright train --help.")
