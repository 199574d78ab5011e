"""Writing dataset.yaml: what an audit recognised, as the data set's explicit description with its reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from maskwright.config.data import DataConfig
from maskwright.data.checks.facts import pair_folders
from maskwright.data.checks.findings import Audit
from maskwright.data.dataset import ClassMap
from maskwright.data.description import description_file
from maskwright.errors import DataError, one_line
from maskwright.files import write_text

_OTHERS = ("target", "boundary", "foreground_from", "bands", "tones")  # written where they were given


def place_for(config: DataConfig) -> Path:
    """Where the description goes; one that is there already is not overwritten."""
    path = description_file(config.root)
    if path is None:
        raise DataError("`data.root` must be named; got nothing. Pass --data FOLDER.")
    if path.exists():
        raise DataError(
            f"`{path}` must not be there yet; it holds a description already. Change it, or remove it and write anew."
        )
    return path


def write_description(audit: Audit, config: DataConfig) -> Path:
    """Write dataset.yaml into the data set's folder; nothing else there is touched."""
    path = place_for(config)
    write_text(path, description(audit, config))
    return path


def description(audit: Audit, config: DataConfig) -> str:
    """The text of dataset.yaml: each key with why it is so."""
    parts = [
        "# What this data set is, written by `maskwright check --write`; keys are those of `data:` in a configuration."
    ]
    parts.append(_key("reader", audit.reader, audit.reason))
    folders = pair_folders(audit.records, Path(config.root or "")) if audit.reader == "folders" else None
    if folders:
        parts += [_key("images", folders[0], "where the images are"), _key("masks", folders[1], "where the masks are")]
    said = [key for key in _OTHERS if key in config.model_fields_set and getattr(config, key) is not None]
    parts += [_key(key, getattr(config, key), "as configured") for key in said]
    parts += _classes(audit.class_map, config) if audit.class_map else _proposed_classes(audit)
    parts += _groups(audit, config)
    return "\n".join(parts) + "\n"


def _key(name: str, value: Any, why: str) -> str:
    text = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=1000).rstrip()
    return f"\n# {one_line(why)}\n{text}"


def _classes(classes: ClassMap, config: DataConfig) -> list[str]:
    if classes.foreground_from is not None:
        return [_key("classes", list(classes.names), "names; the values are told by foreground_from")]
    named = {
        name: classes.format_value(value) if classes.colours else value
        for name, value in zip(classes.names, classes.values, strict=True)
    }
    parts = [_key("classes", named, classes.reason or "as the data set says")]
    if "ignore_index" in config.model_fields_set:
        parts.append(_key("ignore_index", config.ignore_index, "as configured"))
    elif classes.ignore_values:
        values = [classes.format_value(value) if classes.colours else value for value in classes.ignore_values]
        parts.append(_key("ignore_index", values[0] if len(values) == 1 else values, "neither scored nor learned"))
    return parts


def _proposed_classes(audit: Audit) -> list[str]:
    """A proposal to fill in, where nobody can say yet what the values mean."""
    asked = [finding.proposal for finding in audit.errors if finding.proposal and finding.proposal.question]
    named = [
        (proposal.question, answer.keys)
        for proposal in asked
        for answer in proposal.answers
        if "classes" in answer.keys
    ]
    if not named:
        return [f"\n# classes: {{name: value}}   to be named: {one_line(audit.classes_reason)}"]
    question, keys = named[0]
    text = yaml.safe_dump({"classes": keys["classes"]}, sort_keys=False, width=1000).rstrip()
    return [f"\n# {one_line(question)} Give the classes their names and take out the `# `:"] + [
        f"# {line}" for line in text.splitlines()
    ]


def _groups(audit: Audit, config: DataConfig) -> list[str]:
    """How the split is dealt, as configured, and the pattern of groups that names show, where it is ours to deal."""
    said = config.split.model_dump(exclude_unset=True) if "split" in config.model_fields_set else {}
    found = next(
        (finding for finding in audit.findings if finding.code == "groups" and "pattern" in finding.details), None
    )
    if "group" in said or found is None or not found.details["kept"]:
        return [_key("split", said, "as configured")] if said else []
    return [_key("split", {**said, "group": found.details["pattern"]}, found.evidence)]
