"""Several runs on the same images: the comparison's own standings as a table, points and sentences."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import HTTPException

from maskwright.app.answers import text_of
from maskwright.app.runs import Runs, images_of
from maskwright.comparison.collect import assemble, gathered, is_scored
from maskwright.comparison.disagreement import least_disputed
from maskwright.comparison.entries import DISTANCES, SCORES
from maskwright.comparison.standings import standings
from maskwright.comparison.tables import cost_columns, interval_columns
from maskwright.files import plain
from maskwright.runs import refuse_unfinished
from maskwright.terminal import score

_COSTS = {"parameters": "parameters", "multiply_adds": "multiply-adds", "train_seconds": "train seconds",
          "milliseconds_an_image": "time an image"}  # fmt: skip
_MOST = 24  # runs side by side


def compare(folder: Runs, ids: list[str], split: str = "test", metric: str = "iou") -> dict[str, Any]:
    """What the command line's comparison says of these runs; seeds of one setting are one row, as there."""
    if not 2 <= len(set(ids)) <= _MOST or len(set(ids)) < len(ids):
        raise HTTPException(422, f"`runs` must name 2 to {_MOST} different runs, with commas between. Choose others.")
    runs = [folder.open(id) for id in ids]
    for run in runs:
        refuse_unfinished(run)
    unscored = [run.name for run in runs if not is_scored(run, split)]
    if unscored:
        raise HTTPException(
            409, f"runs must be scored on {split} to be compared; {', '.join(unscored)} is not. Evaluate it first."
        )
    comparison = assemble(gathered(runs), split)
    found = standings(comparison, metric)
    of = {entry.name: [ids[runs.index(run)] for run in entry.runs] for entry in comparison.entries}
    texts = {column.title: column.cells for column in (*interval_columns(found)[1:], *cost_columns(found)[1:])}
    # the library's texts stand in the same order as its scores and costs
    scores = dict(zip(found.known_scores, list(texts)[: len(found.known_scores)], strict=True))
    costs = dict(zip(_COSTS, list(texts)[-len(_COSTS) :], strict=True))
    columns: list[dict[str, Any]] = [{"key": "name", "title": "model", "better": None}]
    columns += [{"key": key, "title": SCORES[key], "better": "low" if key in DISTANCES else "high"} for key in scores]
    columns += [
        {"key": "val", "title": "validation", "better": "high"},
        {"key": "verdict", "title": "verdict", "better": None},
    ]
    columns += [{"key": key, "title": title, "better": "low"} for key, title in _COSTS.items()]
    rows, points = [], []
    for place, row in enumerate(found.rows):
        spent = asdict(row.cost)
        cells = {
            key: {"value": row.metrics[key], "text": texts[title][place], "interval": row.intervals[key]}
            for key, title in scores.items()
        }
        cells |= {
            key: {"value": spent[key], "text": texts[title][place], "interval": None} for key, title in costs.items()
        }
        cells |= {"val": {"value": row.val, "text": score(row.val), "interval": None},
                  "verdict": {"value": row.verdict, "text": row.verdict, "interval": None},
                  "name": {"value": row.name, "text": row.name, "interval": None}}  # fmt: skip
        rows.append(
            {"id": of[row.name][0], "ids": of[row.name], "name": row.name, "chosen": row.chosen, "cells": cells}
        )
        low, high = row.intervals[metric]
        points.append({"id": of[row.name][0], "name": row.name, "cost": spent[found.front_cost],
                       "score": row.metrics[metric], "lo": low, "hi": high, "front": row.on_front})  # fmt: skip
    places = [{one.entry["id"]: one.id for one in images_of(run) if one.split == split} for run in runs]
    order = (
        np.argsort(-least_disputed(comparison.entries), kind="stable")
        if len(comparison.entries) > 1
        else range(len(comparison.images))
    )
    images = [
        {"name": text_of(name), "ids": {id: place[name] for id, place in zip(ids, places, strict=True)}}
        for name in (comparison.images[index] for index in order)
    ]
    return plain({"split": split, "metric": metric, "cost": found.front_cost, "columns": columns, "rows": rows,
                  "points": points, "sentences": list(found.sentences), "images": images})  # fmt: skip
