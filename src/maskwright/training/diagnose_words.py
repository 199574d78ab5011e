"""The words of a diagnosis: a title, the evidence in figures, and what to try next with its exact flag."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from maskwright.config.base import MONITORS, higher_is_better
from maskwright.errors import listed

Figures = Mapping[str, Any]
Words = tuple[str, str, str]  # title, evidence, advice

_LOSSES = {"train": "training", "val": "validation"}
_STRONGER = {"none": "standard", "light": "standard", "standard": "heavy"}


def words_of(code: str, figures: Figures) -> Words:
    """Title, evidence and advice of a finding."""
    return WORDS[code](figures)


def _lr_high(figures: Figures) -> Words:
    lr, how = figures["lr"], figures["how"]
    title = "The learning rate seems too high"
    if how == "not finite":
        done = figures["epochs"]
        title = "Training diverged: the loss stopped being a number"
        evidence = f"{figures['reason']} {_counted(done, 'epoch')} had ended before."
        advice = f"Lower the rate with --lr {_rate(lr / 10)}" if _known(lr) else "Let a range test choose the rate with --lr auto"
        clip = "" if figures["clip"] is not None else ", limit the gradient with --optim.clip 1"
        return title, evidence, f"{advice}{clip}, or, if single images are named each time, look at those first."
    evidence = {
        "rose": lambda: f"The training loss ended at {_loss(figures['to'])}, above its first epoch's {_loss(figures['from'])}.",
        "spikes": lambda: f"The training loss leapt up {figures['spikes']} times by more than a quarter of all it has fallen.",
        "saws": lambda: f"The training loss swings by {_percent(figures['swing'])} of its fall from one epoch to the next.",
        "late": lambda: f"{_percent(figures['share'])} of the training loss's fall came after the rate had dropped to a third: "
                        "until then little was learned.",
    }[how]()  # fmt: skip
    lower = f"--lr {_rate(lr / 3)}" if _known(lr) else "a lower --lr"
    told = f" (it was {_rate(lr)})" if _known(lr) else ""
    clip = ", limit the gradient with --optim.clip 1," if figures["clip"] is None else ""
    return title, evidence, f"Try {lower}{told}{clip} or let a range test choose with --lr auto."


def _lr_low(figures: Figures) -> Words:
    lr = figures["lr"]
    evidence = (
        f"The {_LOSSES[figures['of']]} loss fell evenly from {_loss(figures['from'])} to {_loss(figures['to'])} and still did "
        f"at the end: {_percent(figures['share'])} of the fall came in the second half of all the rate was spent; a rate that is "
        "high enough leaves far less for it."
    )
    higher = f"--lr {_rate(5 * lr)} (it was {_rate(lr)})" if _known(lr) else "a higher --lr"
    return "The learning rate seems too low", evidence, f"Try {higher}, or let a range test choose with --lr auto."


def _collapse(figures: Figures) -> Words:
    name = figures["class"]
    if figures["on"] == "val":
        evidence = (
            f"{_percent(figures['predicted'])} of the validation pixels are predicted as {name}, which has "
            f"{_percent(figures['truth'])} of the masks."
        )
    else:
        evidence = (
            f"The validation IoU stands at {_iou(figures['iou'])}, where predicting {name} everywhere would put it "
            f"({_iou(figures['alone'])}), though {name} has {_percent(figures['truth'])} of the pixels only."
        )
        if figures["alone"] == 0:
            evidence = "The validation IoU stands at 0: the foreground is not found anywhere."
    advice = (
        "Check first that masks say what they should (maskwright check). Then try a loss of overlap alone, --loss lovasz, "
        "a lower --lr, or --data.sampling balanced, which shows rare classes more often."
    )
    return f"The network predicts {_quoted(name)} everywhere", evidence, advice


def _unlooked(figures: Figures) -> Words:
    evidence = (
        f"{_percent(figures['accuracy'])} of the {_LOSSES[figures['on']]} pixels are right; always answering {figures['answer']} "
        f"would get {_percent(figures['reached'])} right."
    )
    advice = (
        "Check that masks say what they should (maskwright check); then train longer (--epochs), or let a range test choose the "
        "rate with --lr auto."
    )
    return "The network is worse than an answer without looking", evidence, advice


def _class_missed(figures: Figures) -> Words:
    told = [
        f"{name} ({_percent(share)} of the pixels)" for name, share in zip(figures["classes"], figures["shares"], strict=True)
    ]
    evidence = f"{listed(told)} {'is' if len(told) == 1 else 'are'} in the validation masks and predicted nowhere."
    advice = "Show them more often with --data.sampling balanced, or try --loss lovasz; more images of them help most."
    return "Some classes are never predicted", evidence, advice


def _overfitting(figures: Figures) -> Words:
    gap, told = figures["gap"], ""
    if not math.isnan(gap) and gap > 0.02:
        told = f" At the end training images score {_iou(gap)} of IoU above validation images."
    if "rise" in figures:
        evidence = (
            f"From epoch {figures['from_epoch']} on the validation loss rose by {_percent(figures['rise'])}, from "
            f"{_loss(figures['lowest'])} to {_loss(figures['ends'])} ({_slope(figures)} an epoch), "
            f"while the training loss went from {_loss(figures['train_from'])} to {_loss(figures['train_to'])}."
        )
        fall = figures["iou_fall"]
        evidence += f" The validation IoU ended {_iou(fall)} below its best." if fall >= 0.005 else " The IoU held."
        title = f"Overfitting from epoch {figures['from_epoch']} on"
        kept = f" The weights kept are those of epoch {figures['best_epoch']}."
        return title, evidence + told + kept, _more_regular(figures, early=True)
    evidence = (
        f"Training images score {_iou(figures['train_iou'])}, validation images {_iou(figures['val_iou'])}: {_iou(gap)} less."
    )
    if figures["by_chance"]:
        evidence += f" On {_counted(figures['num_val'], 'validation image')} that may be chance: its interval reaches so far."
    return "The network fits its training images better than new ones", evidence, _more_regular(figures, early=False)


def _overconfident(figures: Figures) -> Words:
    evidence = (
        f"From epoch {figures['from_epoch']} on the validation loss rose by {_percent(figures['rise'])}, from "
        f"{_loss(figures['lowest'])} to {_loss(figures['ends'])}, while the training loss went from "
        f"{_loss(figures['train_from'])} to {_loss(figures['train_to'])} and the validation IoU held "
        f"({_iou(figures['iou_best'])} at its best, {_iou(figures['iou_ends'])} at the end): labels stay as right as they were, "
        "but what is wrong is believed ever more firmly."
    )
    if _known(figures["sure_and_wrong"]):
        evidence += f" Of the pixels it is nine tenths sure of, {_percent(figures['sure_and_wrong'])} contradict the masks."
    kept = "keep the epoch of the lowest loss with --train.monitor val_loss, or "
    if figures["monitor"] == "val_loss":
        kept = f"the weights kept are those of the lowest loss (epoch {figures['best_epoch']}); "
    advice = (
        f"The labels can be used. Where probabilities matter, {kept}see in the calibration of maskwright evaluate how far they "
        f"can be trusted. {_more_regular(figures, early=True)}"
    )
    return f"Overconfident from epoch {figures['from_epoch']} on: the loss rises while the IoU holds", evidence, advice


def _more_regular(figures: Figures, early: bool) -> str:
    augment, ways = figures["augment"], []
    if augment in _STRONGER:
        ways.append(f"--augment {_STRONGER[augment]} (it was {augment})")
    if figures["model"] in ("unet", "resnet34_unet"):
        ways.append("an encoder that has seen images before, --model unet/resnet34")
    if figures["weight_decay"] < 0.05:
        ways.append(f"--weight-decay 0.05 (it was {figures['weight_decay']:g})")
    if early and figures["patience"] is None:
        ways.append(f"--train.early_stop {max(5, figures['epochs'] // 10)} to save the time")
    return f"More than {_counted(figures['num_train'], 'training image')} help most; else try {listed(ways, 'or')}."


def _underfitting(figures: Figures) -> Words:
    evidence = (
        f"At the end even the training images score {_iou(figures['train_iou'])} IoU (validation {_iou(figures['val_iou'])}), "
        f"and over the last third of the epochs their loss fell by {_percent(max(0.0, figures['still']))} only."
    )
    ways = [f"--epochs {2 * figures['epochs']}"]
    if figures["width"]:
        ways.append(f"a wider network, --model.width {2 * figures['width']}")
    if figures["model"] in ("unet", "resnet34_unet"):
        ways.append("an encoder that has seen images before, --model unet/resnet34")
    if figures["augment"] == "heavy":
        ways.append("--augment standard")
    return (
        "Underfitting: too little is learned",
        evidence,
        f"Check the masks with maskwright check; then try {listed(ways, 'or')}.",
    )


def _not_converged(figures: Figures) -> Words:
    is_score = higher_is_better(figures["by"])
    amount = (_iou if is_score else _loss)(figures["gained"])
    span = " to ".join((_iou if is_score else _loss)(figures[end]) for end in ("low", "high"))
    what = f"{MONITORS[figures['by']]} {'rose' if is_score else 'fell'}"
    evidence = (
        f"Over the last {figures['over']} epochs the validation {what} by {amount} (95 % interval {span}), "
        f"and the best epoch was {figures['best_epoch']} of {figures['epochs']}."
    )
    advice = f"Train longer: --epochs {2 * figures['epochs']}."
    if figures["stopped_early"] and figures["patience"]:
        advice = f"Be more patient: --train.early_stop {2 * figures['patience']}."
    return "Training ended before it had converged", evidence, advice


def _label_noise(figures: Figures) -> Words:
    told = [f"{image}: {_percent(share)} {_of(given, predicted)}" for image, given, predicted, share, _ in figures["suspects"]]
    evidence = (
        f"In {len(figures['images'])} of {_counted(figures['of'], 'evaluated image')} one class is taken for another throughout, "
        f"though elsewhere both are known well: {listed(told, 'and', 3)}."
    )
    if figures["learned"]:
        evidence += f" {_counted(figures['learned'], 'of them was', 'of them were')} trained on and still not believed."
    if _known(figures["sure_and_wrong"]):
        evidence += f" Of the pixels it is nine tenths sure of, {_percent(figures['sure_and_wrong'])} contradict the masks."
    advice = (
        "Look at these masks (maskwright report shows them, maskwright check DATA --html audit.html the whole set) and mend them."
    )
    return "Some masks may be wrong", evidence, advice


def _of(given: str, predicted: str) -> str:
    return f"of {given} predicted as {predicted}"


def _weak_images(figures: Figures) -> Words:
    told = [f"{name} ({_iou(score)})" for name, score in zip(figures["images"], figures["iou"], strict=True)]
    one = len(told) == 1
    title = "One validation image is" if one else f"{len(told)} validation images are"
    evidence = f"{listed(told, 'and', 4)} {'lies' if one else 'lie'} far below the median IoU of {_iou(figures['median'])}."
    return (
        f"{title} far below the rest",
        evidence,
        "Look at their masks: wrong ones are to be mended, hard ones need more like them.",
    )


def _val_small(figures: Figures) -> Words:
    parts = [f"There {'is' if figures['images'] == 1 else 'are'} {_counted(figures['images'], 'validation image')}."]
    if _known(figures["width"]):
        parts.append(
            f"The 95 % interval of the validation IoU is {_iou(figures['low'])} to {_iou(figures['high'])}, "
            f"{_iou(figures['width'])} wide."
        )
    if _known(figures["swing"]) and figures["swing"] >= 0.005:
        parts.append(
            f"From epoch to epoch it swings by {_iou(figures['swing'])} (standard deviation over the last "
            f"{figures['epochs']} epochs), so which epoch is best is partly chance."
        )
    more = "Hold out more with --data.split.val 0.3, take turns with --data.split.folds 5"
    if not figures["is_dealt"]:
        more = "Give validation more images"
    advice = f"{more}, or train with several --seed and compare their means."
    return "Validation is too small to tell much", " ".join(parts), advice


def _leakage(figures: Figures) -> Words:
    if "shared" in figures:
        told = [_sentence(one) for one in (*figures["shared"][:3], *figures["parted"][:2])]
        more = len(figures["shared"]) - 3
        evidence = " ".join(told) + (f" And {more} more." if more > 0 else "")
        advice = "Take the doubles out (maskwright check DATA --fix OUT), or keep them together with --data.split.group auto."
        return "Leakage: the same content on both sides of the split", evidence, advice
    why = "as they are, by the same weights" if figures["how"] == "evaluated" else f"under augmentation {figures['how']}"
    evidence = (
        f"Validation images score {_iou(figures['ahead'])} of IoU above training images ({why}); "
        f"up to {_iou(figures['allowed'])} can be explained."
    )
    advice = (
        "See whether validation images are easier, or copies of training images: maskwright check DATA tells near-duplicates."
    )
    return "Leakage suspected: validation is better than training", evidence, advice


def _few_epochs(figures: Figures) -> Words:
    evidence = f"{_counted(figures['epochs'], 'epoch')} {'makes' if figures['epochs'] == 1 else 'make'} no curve to read."
    return "Too few epochs to say how training went", evidence, "Train longer, for example --epochs 30."


def _unfinished(figures: Figures) -> Words:
    planned = f" of {figures['planned']}" if figures["planned"] else ""
    evidence = f"{_counted(figures['epochs'], 'epoch')}{planned} recorded, and no weights were written."
    evidence += f" It stopped because {figures['reason']}" if figures["reason"] else ""
    return "Training has not come to its end", evidence, "Go on where it stopped with maskwright train --resume RUN."


def _healthy(figures: Figures) -> Words:
    parts = [f"Best epoch {figures['best_epoch']} of {figures['epochs']} with validation IoU {_iou(figures['val_iou'])}."]
    gap = figures["gap"]
    if _known(gap):
        parts.append(
            f"Training images score {_iou(gap)} above validation images." if gap > 0.005 else "Validation keeps up with training."
        )
    advice = "Evaluate it on the test images; more epochs, a larger --size or another --model may still bring more."
    return "The curves show nothing wrong", " ".join(parts), advice


WORDS: dict[str, Callable[[Figures], Words]] = {
    "lr-high": _lr_high, "lr-low": _lr_low, "collapse": _collapse, "unlooked": _unlooked, "class-missed": _class_missed,
    "overfitting": _overfitting, "overconfident": _overconfident, "underfitting": _underfitting, "not-converged": _not_converged,
    "label-noise": _label_noise, "weak-images": _weak_images, "val-small": _val_small, "leakage": _leakage,
    "few-epochs": _few_epochs, "unfinished": _unfinished, "healthy": _healthy,
}  # fmt: skip


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _iou(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"


def _loss(value: float) -> str:
    return f"{value:.3g}"


def _rate(value: float) -> str:
    return f"{value:.2g}"


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "without bound"
    percent = 100 * share
    return f"{percent:.1f} %" if percent < 10 and round(percent, 1) != round(percent) else f"{percent:.0f} %"


def _slope(figures: Figures) -> str:
    return f"{figures['slope']:+.2g}, 95 % interval {figures['slope_low']:+.2g} to {figures['slope_high']:+.2g}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _quoted(name: str) -> str:
    return f"{name!r}"


def _counted(num: int, one: str, many: str | None = None) -> str:
    return f"{num:,} {one if num == 1 else many or one + 's'}"
