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


def words_of(code: str, figures: Figures, check: str, run: str) -> Words:
    """Title, evidence and advice of a finding; `check` is the command on the run's data, `run` its folder as it is typed."""
    title, evidence, advice = WORDS[code](figures)
    return title, evidence, advice.replace("RUN", run).replace("maskwright check DATA", check)


def _lr_high(figures: Figures) -> Words:
    lr, how = figures["lr"], figures["how"]
    title = "The learning rate seems too high"
    if how == "not finite":
        done = figures["epochs"]
        title = "Training diverged: the loss stopped being a number"
        evidence = f"{figures['reason']} {_counted(done, 'epoch')} had been completed by then."
        advice = f"Lower the learning rate with --lr {_rate(lr / 10)}" if _known(lr) else "Let a range test choose with --lr auto"
        clip = "" if figures["clip"] is not None else ", clip gradients with --optim.clip 1"
        return title, evidence, f"{advice}{clip}, or look first at the images that are named, if it is the same ones each time."
    evidence = {
        "rose": lambda: f"The training loss ended at {_loss(figures['to'])}, above its first epoch's {_loss(figures['from'])}.",
        "spikes": lambda: f"The training loss leapt up {figures['spikes']} times, each by more than a quarter of its whole fall.",
        "saws": lambda: f"The training loss swings from epoch to epoch by {_percent(figures['swing'])} of its whole fall.",
        "late": lambda: f"{_percent(figures['share'])} of the fall in training loss came only after the schedule had lowered the "
                        "learning rate to a third of its peak; little was learned before.",
    }[how]()  # fmt: skip
    lower = f"--lr {_rate(lr / 3)}" if _known(lr) else "a lower --lr"
    told = f" (it was {_rate(lr)})" if _known(lr) else ""
    clip = ", clip gradients with --optim.clip 1," if figures["clip"] is None else ""
    return title, evidence, f"Try {lower}{told}{clip} or let a learning-rate range test choose with --lr auto."


def _lr_low(figures: Figures) -> Words:
    lr = figures["lr"]
    evidence = (
        f"The {_LOSSES[figures['of']]} loss fell in nearly a straight line, from {_loss(figures['from'])} to "
        f"{_loss(figures['to'])}, and was still falling when training ended: counting each epoch by its learning rate, "
        f"{_percent(figures['share'])} of the fall came in the second half. With a high enough rate most of the fall comes early."
    )
    higher = f"--lr {_rate(5 * lr)} (it was {_rate(lr)})" if _known(lr) else "a higher --lr"
    advice = f"Try {higher}, or let a learning-rate range test choose with --lr auto."
    return "The learning rate seems too low", evidence, advice


def _collapse(figures: Figures) -> Words:
    name = figures["class"]
    if figures["on"] == "val":
        evidence = (
            f"{_percent(figures['predicted'])} of the validation pixels are predicted as {name}, which has "
            f"{_percent(figures['truth'])} of the masks' pixels."
        )
    else:
        evidence = (
            f"The validation IoU stays at {_iou(figures['iou'])}, about what predicting {name} everywhere gives "
            f"({_iou(figures['alone'])}), though only {_percent(figures['truth'])} of the pixels are {name}."
        )
        if figures["alone"] == 0:
            evidence = "The validation IoU stays at 0: no foreground is found in any image."
    advice = (
        "Check first that the masks are right (maskwright check DATA). Then try a loss that measures overlap, --loss lovasz, "
        "a lower --lr, or --data.sampling balanced, which shows rare classes more often."
    )
    return f"The network predicts {_quoted(name)} everywhere", evidence, advice


def _unlooked(figures: Figures) -> Words:
    evidence = (
        f"{_percent(figures['accuracy'])} of the {_LOSSES[figures['on']]} pixels are right; always answering {figures['answer']} "
        f"would get {_percent(figures['reached'])} right."
    )
    advice = (
        "Check that the masks are right (maskwright check DATA); then train longer (--epochs), or let a learning-rate range test "
        "choose with --lr auto."
    )
    return "The network is worse than always predicting one class", evidence, advice


def _class_missed(figures: Figures) -> Words:
    told = [
        f"{name} ({_percent(share)} of the pixels)" for name, share in zip(figures["classes"], figures["shares"], strict=True)
    ]
    evidence = f"{listed(told)} {'is' if len(told) == 1 else 'are'} in the validation masks but never predicted."
    advice = "Show them more often with --data.sampling balanced, or try --loss lovasz; more images of them help most."
    return "Some classes are never predicted", evidence, advice


def _overfitting(figures: Figures) -> Words:
    gap, told = figures["gap"], ""
    if not math.isnan(gap) and gap > 0.02:
        told = f" At the end the IoU is {_iou(gap)} higher on training than on validation images."
    if "rise" in figures:
        evidence = (
            f"From epoch {figures['from_epoch']} on the validation loss rose by {_percent(figures['rise'])}, from "
            f"{_loss(figures['lowest'])} to {_loss(figures['ends'])} ({_slope(figures)} an epoch), "
            f"while the training loss went from {_loss(figures['train_from'])} to {_loss(figures['train_to'])}."
        )
        fall = figures["iou_fall"]
        evidence += f" The validation IoU ended {_iou(fall)} below its best." if fall >= 0.005 else " The validation IoU held."
        title = f"Overfitting from epoch {figures['from_epoch']} on"
        kept = f" The weights kept are those of epoch {figures['best_epoch']}."
        return title, evidence + told + kept, _more_regular(figures, early=True)
    evidence = (
        f"The IoU is {_iou(figures['train_iou'])} on training images and {_iou(figures['val_iou'])} on validation images, "
        f"{_iou(gap)} less."
    )
    if figures["by_chance"]:
        few = _counted(figures["num_val"], "validation image")
        evidence += f" With {few} that may be chance: the difference lies inside the 95 % interval."
    return "The network fits its training images better than new ones", evidence, _more_regular(figures, early=False)


def _overconfident(figures: Figures) -> Words:
    evidence = (
        f"From epoch {figures['from_epoch']} on the validation loss rose by {_percent(figures['rise'])}, from "
        f"{_loss(figures['lowest'])} to {_loss(figures['ends'])}, while the training loss went from "
        f"{_loss(figures['train_from'])} to {_loss(figures['train_to'])} and the validation IoU held "
        f"({_iou(figures['iou_best'])} at its best, {_iou(figures['iou_ends'])} at the end): the predicted labels stay as "
        "good, but the network grows ever surer of its wrong pixels."
    )
    evidence += _sure_and_wrong(figures)
    kept = "keep the epoch of the lowest loss with --train.monitor val_loss, or "
    if figures["monitor"] == "val_loss":
        kept = f"the weights kept are those of the lowest loss (epoch {figures['best_epoch']}); "
    advice = (
        f"The labels can be used. Where probabilities matter, {kept}see under calibration in maskwright evaluate RUN how far "
        f"they can be trusted. {_more_regular(figures, early=True)}"
    )
    return f"Overconfident from epoch {figures['from_epoch']} on: the loss rises while the IoU holds", evidence, advice


def _more_regular(figures: Figures, early: bool) -> str:
    augment, ways = figures["augment"], []
    if augment in _STRONGER:
        ways.append(f"--augment {_STRONGER[augment]} (it was {augment})")
    if figures["model"] in ("unet", "resnet34_unet"):
        ways.append("a pretrained encoder, --model unet/resnet34")
    if figures["weight_decay"] < 0.05:
        ways.append(f"--weight-decay 0.05 (it was {figures['weight_decay']:g})")
    if early and figures["patience"] is None:
        ways.append(f"--train.early_stop {max(5, figures['epochs'] // 10)} to save the time")
    num = figures["num_train"]
    now = "there is 1" if num == 1 else f"there are {num:,}"
    return f"More training images help most ({now}); otherwise try {listed(ways, 'or')}."


def _underfitting(figures: Figures) -> Words:
    evidence = (
        f"At the end even the training images reach only {_iou(figures['train_iou'])} IoU (validation "
        f"{_iou(figures['val_iou'])}), and over the last third of the epochs the training loss fell by only "
        f"{_percent(max(0.0, figures['still']))}."
    )
    ways = [_longer(figures)]
    if figures["width"]:
        ways.append(f"a wider network, --model.width {2 * figures['width']}")
    if figures["model"] in ("unet", "resnet34_unet"):
        ways.append("a pretrained encoder, --model unet/resnet34")
    if figures["augment"] == "heavy":
        ways.append("--augment standard")
    return (
        "Underfitting: too little is learned",
        evidence,
        f"Check the masks with maskwright check DATA; then try {listed(ways, 'or')}.",
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
    advice = f"Train longer: {_longer(figures)}."
    if figures["stopped_early"] and figures["patience"]:
        advice = f"Be more patient: --train.early_stop {2 * figures['patience']}."
    return "Training ended before it had converged", evidence, advice


def _label_noise(figures: Figures) -> Words:
    told = [f"{image}: {_percent(share)} {_of(given, predicted)}" for image, given, predicted, share, _ in figures["suspects"]]
    evidence = (
        f"In {len(figures['images'])} of {_counted(figures['of'], 'evaluated image')} nearly all of one class is predicted as "
        f"another, though in the other images the network tells the two apart well: {listed(told, 'and', 3)}."
    )
    if figures["learned"]:
        of_them = _counted(figures["learned"], "of them was", "of them were")
        evidence += f" {of_them} trained on, and the network still disagrees with the mask."
    evidence += _sure_and_wrong(figures)
    advice = "Look at these masks and correct them: maskwright report RUN shows them; all of them: maskwright check DATA --html "
    advice += "audit.html"
    return "Some masks may be wrong", evidence, advice


def _sure_and_wrong(figures: Figures) -> str:
    share = figures["sure_and_wrong"]
    told = f" Of the pixels predicted with 90 % confidence or more, {_percent(share)} contradict the masks."
    return told if _known(share) else ""


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
        "Look at their masks: correct the wrong ones; of images that are just hard, add more like them to the training images.",
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
            f"From epoch to epoch it varies by {_iou(figures['swing'])} (standard deviation over the last "
            f"{figures['epochs']} epochs), so which epoch is best is partly chance."
        )
    more = "Hold out more with --data.split.val 0.3, cross-validate with --folds 5"
    if not figures["is_dealt"]:
        more = "Give validation more images, cross-validate with --folds 5"
    advice = f"{more}, or train with several --seed and compare their means."
    return "Validation is too small to tell much", " ".join(parts), advice


def _leakage(figures: Figures) -> Words:
    if "shared" in figures:
        told = [_sentence(one) for one in (*figures["shared"][:3], *figures["parted"][:2])]
        more = len(figures["shared"]) - 3
        evidence = " ".join(told) + (f" And {more} more." if more > 0 else "")
        advice = "Remove the duplicates (maskwright check DATA names them), or keep them together with --data.split.group auto."
        return "Leakage: the same content on both sides of the split", evidence, advice
    evaluated = figures["how"] == "evaluated"
    why = "both without augmentation, by the same weights" if evaluated else f"trained on under augmentation {figures['how']}"
    evidence = (
        f"The IoU is {_iou(figures['ahead'])} higher on validation than on training images ({why}); "
        f"chance and augmentation explain at most {_iou(figures['allowed'])}."
    )
    advice = (
        "See whether validation images are easier, or copies of training images: maskwright check DATA finds near-duplicates."
    )
    return "Leakage suspected: validation is better than training", evidence, advice


def _few_epochs(figures: Figures) -> Words:
    evidence = f"{_counted(figures['epochs'], 'epoch')} {'is' if figures['epochs'] == 1 else 'are'} too few to judge the curves."
    return "Too few epochs to say how training went", evidence, f"Train longer, for example {_longer(figures, 30)}."


def _longer(figures: Figures, least: int = 0) -> str:
    """The flag that trains twice as long."""
    budget = figures["budget"]
    if budget is not None:
        return f"--budget {2 * float(budget[:-1]):g}{budget[-1]}"
    return f"--epochs {max(least, 2 * figures['epochs'])}"


def _unfinished(figures: Figures) -> Words:
    planned = f" of {figures['planned']}" if figures["planned"] else ""
    evidence = f"{_counted(figures['epochs'], 'epoch')}{planned} recorded, and no weights were written."
    evidence += f" It stopped because {figures['reason']}" if figures["reason"] else ""
    return "Training is not finished", evidence, "Go on where it stopped with maskwright train --resume RUN."


def _healthy(figures: Figures) -> Words:
    parts = [f"Best epoch {figures['best_epoch']} of {figures['epochs']} with validation IoU {_iou(figures['val_iou'])}."]
    gap = figures["gap"]
    if _known(gap):
        parts.append(
            f"The IoU is {_iou(gap)} higher on training than on validation images."
            if gap > 0.005
            else "The IoU on validation images keeps up with that on training images."
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
