"""How a run was made, in words: the loss and what of it was changed, what was frozen for how long, what was `auto`."""

from __future__ import annotations

from report_making import facts_of, image_of

from maskwright.config import Config
from maskwright.reports.facts import Facts
from maskwright.reports.origin import chosen, training_terms

MIX = [
    {"name": "ce", "class_weights": [0.5, 4.0], "smoothing": 0.1},
    {"name": "dice", "weight": 2},
    {"name": "topk", "share": 0.5},
]


def facts(auto: dict[str, str] | None = None, **sections: object) -> Facts:
    return facts_of([image_of(30, 10)], config=Config.model_validate(sections), environment={"auto": auto or {}})


def test_a_loss_is_told_with_what_of_it_was_changed() -> None:
    assert (
        dict(training_terms(facts(loss=MIX)))["Loss"]
        == "ce (class weights, smoothing 0.1) + 2 × dice + topk (share 0.5)"
    )
    assert dict(training_terms(facts(loss="jaccard")))["Loss"] == "jaccard"


def test_what_was_frozen_is_told_with_how_long() -> None:
    def told(freeze: object) -> str:
        return dict(training_terms(facts(optim={"lr": 0.1, "freeze": freeze})))["Optimiser"]

    assert told(["encoder"]).endswith(", encoder frozen")
    assert told({"encoder": 5, "head": "always"}).endswith(", encoder for 5 epochs and head frozen")
    assert "frozen" not in told([])


def test_every_auto_is_told_with_what_it_became() -> None:
    auto = {"loss": "rare", "loss.0.class_weights": "rarer", "data.size": "small"}
    rows = chosen(facts(auto, loss=MIX, data={"size": 64}))
    assert rows == [
        ("loss", "ce (class weights, smoothing 0.1) + 2 × dice + topk (share 0.5)", "rare"),
        ("loss.0.class_weights", "[0.5, 4.0]", "rarer"),
        ("data.size", "64", "small"),
    ]
