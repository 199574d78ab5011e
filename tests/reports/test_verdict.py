"""The report: its sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from report_making import ALIKE, facts_of, history, image_of

from maskwright.reports.facts import Facts
from maskwright.reports.verdict import remarks, verdict
from maskwright.training.diagnose import Diagnosis
from maskwright.training.diagnose_evidence import Severity


def test_verdict_of_a_usual_run() -> None:
    facts = facts_of([image_of(30, 10), image_of(20, 0), image_of(36, 0, 4)], history(20))
    low, high = facts.interval("iou")
    assert [text.replace("\xa0", " ") for text in verdict(facts)] == [
        f"On 3 test images the cat IoU is 0.86 (95 % interval {low:.2f} to {high:.2f}).",
        "The best epoch was 19 of 20, by validation IoU.",
        "The weakest image is a (0.75), the strongest b (1.00).",
    ]


def test_verdict_of_one_image_and_one_epoch() -> None:
    facts = facts_of([image_of(32, 8)], history(1))
    assert verdict(facts) == ("On 1 test image the cat IoU is 0.80; a single image allows no interval.",
                              "It was trained for a single epoch.")  # fmt: skip
    assert remarks(facts) == ("One image says little about the next.",)


def test_verdict_without_a_score_or_an_epoch() -> None:
    facts = facts_of([image_of(0, 0), image_of(0, 0)])
    assert verdict(facts) == ("On 2 test images the cat IoU is undefined: no scored class is in truth or prediction.",
                              "No epoch was recorded.")  # fmt: skip
    assert remarks(facts) == ()


def test_verdict_names_the_mean_over_the_classes_that_have_a_score() -> None:
    facts = facts_of([[[50, 0, 0], [10, 40, 0], [0, 0, 0]]] * 2, history(5))
    assert "the mean IoU over 2 classes is" in verdict(facts)[0]
    assert remarks(facts)[-1] == "dog is in neither truth nor prediction and has no score."


def test_verdict_is_silent_about_a_best_epoch_it_cannot_tell() -> None:
    nothing = history(3, val_iou=[math.nan] * 3, val_loss=[math.nan] * 3)
    facts = facts_of([image_of(30, 10)] * 2, nothing)
    assert facts.best is None
    assert len(verdict(facts)) == 2
    assert not any("validation" in text for text in remarks(facts))


def settled_history(val: float, epochs: int = 20) -> list[dict[str, float]]:
    """A run that reached its validation IoU early and stayed."""
    flat = [val] * epochs
    return history(epochs, val_iou=flat, train_iou=[val + 0.01] * epochs, val_loss=[0.3] * epochs)


def one_remark(facts: Facts) -> str:
    found = remarks(facts)
    assert len(found) == 1, found
    return found[0]


def test_nothing_to_remark_on_a_sound_run() -> None:
    assert remarks(facts_of(ALIKE, settled_history(0.75))) == ()


def test_few_images_are_told() -> None:
    text = one_remark(facts_of([image_of(30, 10), image_of(20, 5)], settled_history(0.76)))
    assert text == "2 test images are few: the interval is 0.60 wide, and a difference smaller than that may be chance."


def test_a_wide_interval_of_many_images_is_told() -> None:
    text = one_remark(facts_of([image_of(30, 10), image_of(10, 30)] * 6, settled_history(0.5)))
    assert re.fullmatch(r"The interval is 0\.\d\d wide; more test images would narrow it\.", text)


def test_a_gap_to_validation_is_told() -> None:
    outside = one_remark(facts_of(ALIKE, settled_history(0.9)))
    assert outside == ("The test IoU is 0.15 below the validation IoU of 0.90. "
                       "That lies outside the interval: the test images seem harder.")  # fmt: skip
    easier = one_remark(facts_of(ALIKE, settled_history(0.6)))
    assert easier.endswith(
        "above the validation IoU of 0.60. That lies outside the interval: the test images seem easier."
    )
    inside = remarks(facts_of([image_of(30, 10), image_of(10, 30)] * 6, settled_history(0.56)))
    assert inside[-1].endswith("That lies inside the interval, so it may be chance.")
    alone = remarks(facts_of([image_of(30, 10)], settled_history(0.9)))
    assert alone[-1].endswith("0.90; one image can't say why.")


def test_scores_of_images_seen_in_training_are_told() -> None:
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="val", asked="val")).startswith(
        "The best epoch was picked by"
    )
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="train", asked="train")).startswith(
        "The network learned from"
    )
    assert one_remark(facts_of(ALIKE, settled_history(0.9), split="val")).startswith("The run has no test images")


def read_as(severity: Severity, title: str) -> Diagnosis:
    return Diagnosis("x", severity, title, "Because.", "Do this.")


def test_the_gravest_warning_of_the_diagnosis_is_part_of_the_verdict() -> None:
    found = (
        read_as("warning", "Overfitting from epoch 7 on"),
        read_as("warning", "Labels are noisy"),
        read_as("note", "A note"),
    )
    facts = facts_of(ALIKE, settled_history(0.75), diagnosis=found)
    assert (
        verdict(facts)[1]
        == "The best epoch was 1 of 20, by validation IoU; the diagnosis: overfitting from epoch 7 on."
    )
    calm = facts_of(
        ALIKE, settled_history(0.75), diagnosis=(read_as("fine", "Nothing is wrong"), read_as("note", "A note"))
    )
    assert verdict(calm)[1] == "The best epoch was 1 of 20, by validation IoU."


def grouped(units: int, interval: Sequence[float | None] | None) -> Facts:
    facts = facts_of(ALIKE, settled_history(0.75))
    intervals = {**facts.evaluation["intervals"], "iou": interval}
    return replace(facts, evaluation={**facts.evaluation, "units": units, "intervals": intervals})


def test_intervals_of_groups_say_on_how_many_they_rest() -> None:
    told = verdict(grouped(3, [0.7, 0.8]))[0].replace("\xa0", " ")
    assert told == "On 12 test images the cat IoU is 0.75 (95 % interval 0.70 to 0.80 over 3 groups)."
    assert one_remark(grouped(3, [0.7, 0.8])).startswith("3 groups of test images are few: the interval is 0.10 wide")


def test_a_single_group_has_no_interval_and_says_so() -> None:
    for interval in ([None, None], None):
        facts = grouped(1, interval)
        assert verdict(facts)[0] == "On 12 test images the cat IoU is 0.75; images of a single group allow no interval."
        assert one_remark(facts) == "One group says little about the next."


def test_of_many_classes_the_weakest_and_strongest_are_named() -> None:
    facts = facts_of([[[50, 0, 0], [10, 40, 0], [5, 0, 15]]] * 2, history(5))
    assert verdict(facts)[2] == ("The weakest class is dog (0.75), the strongest cat (0.80); "
                                 "the weakest image is a (0.77), the strongest b (0.77).")  # fmt: skip


def test_a_run_cut_short_is_told() -> None:
    facts = facts_of(ALIKE, settled_history(0.75))
    longer = replace(facts, config=facts.config.replace({"train.epochs": 50}))
    assert one_remark(longer) == "Only 20 of 50 planned epochs are recorded."
    early = replace(facts, config=facts.config.replace({"train.epochs": 50, "train.early_stop": 5}))
    assert one_remark(early) == "Training stopped early, after 20 of 50 epochs."


def test_a_class_never_predicted_is_told() -> None:
    text = remarks(facts_of([image_of(0, 40)] * 12, settled_history(0.01)))
    assert "cat is in the truth but never predicted." in text


def test_a_network_worse_than_none_is_told_first() -> None:
    found = remarks(facts_of([image_of(5, 30, 40)] * 2, settled_history(0.06)))
    assert found[0].replace("\xa0", " ") == (
        "Only 30.0 % of the pixels are right; always answering background would get 65.0 % right. "
        "By that measure the network is worse than none."
    )
    assert len(found) > 1


def test_a_class_that_is_predicted_where_there_is_none_is_told_to_count_as_0() -> None:
    facts = facts_of([[[50, 0, 3], [10, 40, 0], [0, 0, 0]]] * 2, settled_history(0.5))
    assert "dog counts as 0: predicted where there is none." in remarks(facts)
    assert not any(
        "as 0" in text for text in remarks(facts_of([[[50, 0, 3], [10, 40, 0], [0, 0, 1]]] * 2, settled_history(0.5)))
    )


def test_all_of_the_weakest_classes_are_named() -> None:
    facts = facts_of([[[50, 0, 0, 0], [5, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, 40]]] * 2, settled_history(0.5))
    assert "The weakest classes are " in verdict(facts)[-1] and " and " in verdict(facts)[-1].partition("(")[0]
    assert (
        "The weakest class is " in verdict(facts_of([[[50, 0, 0], [5, 0, 3], [0, 0, 9]]] * 2, settled_history(0.5)))[-1]
    )
