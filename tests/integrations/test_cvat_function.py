"""CVAT's auto-annotation: its own loader opens the function, its own driver checks what comes of it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from cvat_cli._internal.common import FunctionLoader
from cvat_cli._internal.parsers import parse_function_parameter
from cvat_sdk import models
from cvat_sdk.auto_annotation import BadFunctionError, annotate_task, driver
from cvat_sdk.masks import decode_mask
from PIL import Image

from maskwright.data.forms.outlines import fill
from maskwright.errors import RunError
from maskwright.prediction import Predictor
from maskwright.runs import Run
from support import finished, noise

SIZES = ((33, 47), (90, 20))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_run(Run.open(finished()))


@pytest.fixture
def task(monkeypatch, predictor):
    """A task of two images in memory; annotate(function, …) → what the driver uploads."""
    name = predictor.classes.names[1]

    def annotate(function, kind="any", label=name, **options):
        samples = [
            SimpleNamespace(frame_name=f"{index}.png", frame_index=10 + index,
                            media=SimpleNamespace(load_image=lambda size=size: Image.fromarray(noise(*size))))
            for index, size in enumerate(SIZES)
        ]  # fmt: skip
        labels = [models.Label(id=70, name=label, type=kind, attributes=[], sublabels=[])]
        monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: SimpleNamespace(labels=labels, samples=samples))
        sent = []
        api = SimpleNamespace(partial_update_annotations=lambda *_, **request: sent.extend(request.values()))
        client = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))
        annotate_task(client, 7, function, **options)
        (request,) = sent
        assert request.tags == []
        return request.shapes

    return annotate


def load(model: object, *parameters: str):
    """As `cvat-cli task auto-annotate ID --function-module maskwright.integrations.cvat -p …` does."""
    given = dict(parse_function_parameter(one) for one in (f"model=str:{model}", *parameters))
    return FunctionLoader("maskwright.integrations.cvat", None, given).load()


@pytest.mark.parametrize("kind", ["any", "mask"])
def test_masks_are_the_labels_of_predict(task, predictor, kind):
    shapes = task(load(finished()), kind)
    assert {shape.label_id for shape in shapes} == {70} and {shape.source for shape in shapes} == {"auto"}
    for index, (height, width) in enumerate(SIZES):
        expected = predictor.predict(noise(height, width)).labels == 1
        found = [shape.points for shape in shapes if shape.frame == 10 + index]
        masks = [decode_mask(points, image_width=width, image_height=height) for points in found]
        assert len(masks) == expected.any()
        assert (sum(masks, np.zeros(expected.shape, bool)) == expected).all()


@pytest.mark.parametrize("kind", ["any", "polygon"])
def test_polygons_enclose_the_regions(task, predictor, kind):
    shapes = task(load(finished(), "mask_threshold=float:0.4"), kind, conv_mask_to_poly=True)
    assert shapes and all(shape.type.value == "polygon" for shape in shapes)
    for index, size in enumerate(SIZES):
        inside = np.zeros(size, bool)
        for shape in shapes:
            if shape.frame == 10 + index:
                patch = fill(np.reshape(shape.points, (-1, 2)), *size)
                inside[patch.place] |= patch.inside
        expected = predictor.predict(noise(*size), 0.4).labels == 1
        assert (inside >= expected).all()  # a polygon of CVAT has no holes


def test_cvats_threshold_is_the_foregrounds(task, predictor):
    shapes = task(load(finished()), conf_threshold=0.3)
    sizes = [SIZES[shape.frame - 10] for shape in shapes]
    masks = [
        decode_mask(one.points, image_width=size[1], image_height=size[0])
        for one, size in zip(shapes, sizes, strict=True)
    ]
    assert sum(int(mask.sum()) for mask in masks) == sum(
        int((predictor.predict(noise(*size), 0.3).labels == 1).sum()) for size in SIZES
    )


def test_labels_the_task_has_not_are_cvats_to_refuse(task):
    with pytest.raises(BadFunctionError, match="not in dataset"):
        task(load(finished()), label="something else")


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match=r"must be a|must hold"):
        load(tmp_path)
