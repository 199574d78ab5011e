"""What Weights & Biases' own files below a run folder hold already: read to go on after a kill without a gap or an
epoch twice.

A .wandb file is a log of protobuf records in blocks of 32 KiB (LevelDB's log format after a header of 7
bytes). A killed process leaves its last seconds out, or a torn record at the end; what is whole is read.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def segments(folder: Path, run_id: str) -> list[Path]:
    """The folders W&B wrote of a run, one for each time it was opened, in that order."""
    return sorted(path for path in folder.glob(f"*run-*-{run_id}") if path.is_dir() and not path.is_symlink())


@dataclass
class Held:
    """What W&B's files of a run hold: the last epoch and step (-1 for none), which tables, and the summary."""

    epoch: int = -1
    step: int = -1
    summary: dict[str, Any] = field(default_factory=dict)


def held(folder: Path, run_id: str) -> Held:
    """What the run's files hold, all together."""
    found = Held()
    for segment in segments(folder, run_id):
        for record in records(segment / f"run-{run_id}.wandb"):
            if record.HasField("history"):
                values = _tree(record.history.item)
                found.epoch = max(found.epoch, int(values.get("epoch", -1)))
                found.step = max(found.step, int(record.history.step.num))
            elif record.HasField("summary"):
                found.summary |= {name: value for name, value in _tree(record.summary.update).items() if name[0] != "_"}
    return found


def _tree(items: Iterable[Any]) -> dict[str, Any]:
    """W&B's keys, nested ones too, and their values."""
    tree: dict[str, Any] = {}
    for item in items:
        *parents, last = item.nested_key or [item.key]
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = json.loads(item.value_json)
    return tree


def drop_empty(folder: Path, run_id: str) -> None:
    """Remove what a kill left of a start: files without a record, which `wandb sync` would stumble over."""
    for segment in segments(folder, run_id):
        if next(records(segment / f"run-{run_id}.wandb"), None) is None:
            shutil.rmtree(segment, ignore_errors=True)


def records(path: Path) -> Iterator[Any]:
    """The whole records of a .wandb file, as W&B's own messages."""
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2  # protobuf makes its classes when it is imported
    for data in _payloads(path.read_bytes() if path.is_file() else b""):
        record = messages.Record()
        try:
            record.ParseFromString(data)
        except DecodeError:
            return
        yield record


def _payloads(content: bytes) -> Iterator[bytes]:
    at, parts = _FILE_HEADER, []
    while at + _HEADER.size <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER.size:  # the end of a block, too short for a header
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, at)
        begin, at = at + _HEADER.size, at + _HEADER.size + length
        if at > len(content) or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        parts = [*parts, content[begin:at]] if kind in (_MIDDLE, _LAST) else [content[begin:at]]
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
