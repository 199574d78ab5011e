"""Attempts to let test images have a say in what val decides."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from settled import files, opened, tuned

from maskwright.evaluation.tuning import ValImages, fit_on_val, tuned_on_val
from maskwright.prediction import Predictor
from maskwright.prediction.threshold import SETTLED
from support import maskwright, picture

pytestmark = pytest.mark.xdist_group("settle")


def test_what_is_settled_is_the_same_whatever_the_test_masks_are(own):
    """A twin of the run with the test masks inside out, and data.json saying so: test scores differ, val's say does
    not.
    """
    honest = own.evaluate(threshold="tuned").to_json()
    settled = (own.root / SETTLED).read_bytes()
    (own.root / SETTLED).unlink()
    document = own.data
    for entry in document["splits"]["test"]:
        path = Path(document["root"]) / entry["mask"]
        turned = picture(path, 255 - np.asarray(Image.open(path)))
        entry["mask_sha256"] = content_hash(turned)
    own.write_json("data.json", document)
    twin = own.evaluate(threshold="tuned").to_json()
    assert (own.root / SETTLED).read_bytes() == settled
    assert twin["threshold"] == honest["threshold"]
    assert twin["calibration"]["temperature"] == honest["calibration"]["temperature"]
    assert (
        twin["metrics"]["iou"] != honest["metrics"]["iou"]
        and twin["calibration"]["ece"] != honest["calibration"]["ece"]
    )


def content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("spoil", ["garbage", "deleted"])
def test_val_is_settled_though_test_is_spoilt(own, spoil):
    expected = tuned(own)
    (own.root / SETTLED).unlink()
    for path in files(own, "test"):
        path.write_bytes(b"garbage") if spoil == "garbage" else path.unlink()
    assert tuned(own) == expected
    (own.root / SETTLED).unlink()
    assert maskwright("evaluate", own.root, "--mask-threshold", "tuned").code == 2  # test is read only now
    assert own.read_json(SETTLED) == expected


@pytest.mark.parametrize("split", ["test", "train"])
def test_settling_opens_val_files_alone_and_is_over_before_the_split_is_opened(own, split):
    with opened() as paths:
        tuned_on_val(own, Predictor.from_run(own), tune=True)
    read = set(paths)
    assert {str(path) for path in files(own, "val")} <= read
    assert not {str(path) for other in ("test", "train") for path in files(own, other)} & read
    (own.root / SETTLED).unlink()
    with opened() as paths:
        own.evaluate(split, threshold="tuned")
    # a file is written under another name beside its place: the first JSON there is what was settled
    kept = min(
        place for place, path in enumerate(paths) if path.endswith(".json") and Path(path).parent.name == "evaluation"
    )
    first = min(paths.index(str(path)) for path in files(own, split))
    assert max(paths.index(str(path)) for path in files(own, "val")) < kept < first


def test_no_way_in_for_another_split(own):
    """`settle` names no split; `ValImages` holds val's entries alone, whatever it is asked."""
    names = {"split", "splits", "test", "entries", "images", "masks"}
    for function in (fit_on_val, tuned_on_val, ValImages.__init__, ValImages.read):
        assert not names & set(inspect.signature(function).parameters), function
    val = ValImages(own)
    held = json.dumps([vars(val)[name] for name in vars(val)], default=str)
    for entry in own.data["splits"]["test"] + own.data["splits"]["train"]:
        assert entry["image_sha256"] not in held and entry["mask"] not in held
    with pytest.raises(IndexError):
        list(val.read([len(val.entries)]))
    assert [name for name, _, _ in val.read([2, 0])] == [val.entries[2]["id"], val.entries[0]["id"]]


def test_settled_json_tells_what_it_was_settled_on(own):
    told = tuned(own)
    assert told["on"] == "val"
    entries = own.data["splits"]["val"]
    assert told["images"] == [{key: entry[key] for key in ("id", "image_sha256", "mask_sha256")} for entry in entries]
    assert told["temperature"]["seed"] == 0 and told["threshold"]["interval"][0] <= told["threshold"]["value"]
