"""Albumentations' transforms as a step of augmentation: built from the configuration, checked, drawn from our random
numbers.

    - albumentations: {name: ShiftScaleRotate, shift_limit: 0.1, p: 0.5}
    - albumentations: [{name: HorizontalFlip}, {name: OneOf, transforms: [{name: Blur}, {name: GaussNoise}]}]

They are applied in their order after every operation of ours, on the network's input as uint8 and its mask together.
Masks are read nearest, and what a transform would fill in a mask is IGNORE unless the configuration says otherwise.
Size and normalisation stay ours. Which names and arguments exist is asked of the installed package.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskwright import custom
from maskwright.config.augment import AlbumentationsOp, CustomOp
from maskwright.custom import name_of
from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import quiet
from maskwright.data.geometry import Size, sides_of
from maskwright.errors import ConfigError, DataError, install_command, listed, unknown

# what we do ourselves, and where: such a transform in a pipeline would do it twice or differently
OURS = {
    "Normalize": "Normalisation is done on the batch, in the model",
    "ToFloat": "Inputs stay uint8 until the model normalises them",
    "FromFloat": "Inputs are uint8 from the start",
    "ToTensorV2": "Inputs become tensors in the loader",
    "Resize": "The size of an input is data.size",
    "LongestMaxSize": "The size of an input is data.size, and data.letterbox keeps the aspect",
    "SmallestMaxSize": "The size of an input is data.size",
}
# name → arguments besides transforms; OneOf and its like hold other transforms
_HOLDERS = {
    "Compose": ("p",),
    "Sequential": ("p",),
    "OneOf": ("p",),
    "SomeOf": ("n", "replace", "p"),
    "RandomOrder": ("n", "replace", "p"),
}
_NOT_FROM_YAML = {"Lambda", "BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"}
_TRIALS = 8


@dataclass(frozen=True)
class Pipeline:
    """Transforms in their order, each with its key in the configuration; (image, mask, rng) → image, mask."""

    transforms: tuple[Any, ...] = field(repr=False)
    keys: tuple[str, ...]

    def __str__(self) -> str:
        own = [str(transform) for transform in self.transforms if isinstance(transform, OwnStep)]
        theirs = [type(transform).__name__ for transform in self.transforms if not isinstance(transform, OwnStep)]
        return ", ".join([*([f"albumentations ({', '.join(theirs)})"] if theirs else []), *own])

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """All transforms, with random numbers from `rng` alone. H W C uint8 and H W uint8, both keep their shape."""
        python_random = random.Random(int(rng.integers(1 << 62)))
        found, labels = image, mask
        try:
            with quiet():
                for transform in self.transforms:
                    transform.set_random_state(rng, python_random)
                    made = transform(image=found, mask=labels)
                    found, labels = made["image"], made["mask"]
        except Exception as error:  # whatever a foreign package stumbles over
            raise DataError(_failed(listed(self.keys), error)) from error
        if found.shape[:2] != mask.shape or labels.shape[:2] != mask.shape or found.size != image.size:
            raise DataError(_resized(listed(self.keys), mask.shape, found.shape))
        return found.reshape(image.shape), labels.reshape(mask.shape)

    def validate(self, size: Size, num_channels: int, num_classes: int) -> None:
        """Try every transform on made-up inputs of this form; what fails or changes their form is a `ConfigError`."""
        rng = np.random.default_rng(0)
        shape = sides_of(size)
        image = rng.integers(0, 256, (*shape, num_channels), np.uint8)
        mask = np.arange(math.prod(shape), dtype=np.int64).reshape(shape) // 7 % num_classes
        blamed = ""  # the first that changed the size: a later one may fix that
        found, labels = image, mask.astype(np.uint8)
        for key, transform in zip(self.keys, self.transforms, strict=True):
            found, labels = _forced(key, transform, found, labels, rng)
            problem = _unfit(key, found, labels, num_channels, num_classes)
            if problem:
                raise ConfigError([problem])
            blamed = blamed or (key if found.shape[:2] != shape else "")
        if found.shape[:2] != shape:
            raise ConfigError([_resized(blamed, shape, found.shape)])
        for _ in range(_TRIALS):  # as they are drawn, with their probabilities
            try:
                self(image, mask.astype(np.uint8), rng)
            except DataError as error:
                raise ConfigError([str(error)]) from None


@dataclass
class OwnStep:
    """A person's own step as a transform: a Compose of Albumentations, or a function of (image, mask[, rng])."""

    key: str
    code: CustomOp
    p: float = 1.0  # it decides itself how often it changes something

    def __post_init__(self) -> None:
        step: Any = self.code.load(self.key)
        step = step(**self.code.options) if isinstance(step, type) else functools.partial(step, **self.code.options)
        self._step: Any = step.func if isinstance(step, functools.partial) and not self.code.options else step
        self._rngs: tuple[Any, ...] = ()

    def __reduce__(self) -> Any:
        """In a process that is spawned the code is imported anew; an object that was handed over goes along."""
        return _own_step, (self.key, self.code, custom.carried([self.code.source]))

    def __str__(self) -> str:
        return name_of(self.code.source)

    def set_random_state(self, rng: np.random.Generator, python_random: random.Random) -> None:
        self._rngs = (rng, python_random)

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        rng, python_random = self._rngs
        if hasattr(self._step, "set_random_state"):
            self._step.set_random_state(rng, python_random)
            return self._step(image=image, mask=mask)
        with _seeded(int(rng.integers(1 << 32))):
            takes_rng = "rng" in inspect.signature(self._step).parameters
            found = self._step(image, mask, rng) if takes_rng else self._step(image, mask)
        if isinstance(found, tuple) and len(found) == 2:
            return {"image": np.ascontiguousarray(found[0]), "mask": np.ascontiguousarray(found[1])}
        raise TypeError(f"it gives {type(found).__name__}, not (image, mask)")


def _own_step(key: str, code: CustomOp, carried: custom.Carried) -> OwnStep:
    custom.receive(*carried)
    return OwnStep(key, code)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Every generator such a function may draw from follows from the sample alone, and is afterwards as it was."""
    import torch

    python, old = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(old)


def build(steps: Sequence[tuple[str, AlbumentationsOp | CustomOp]]) -> Pipeline:
    """The transforms of all steps in a row; every name and argument that isn't known is reported, all at once."""
    package = _package() if any(isinstance(step, AlbumentationsOp) for _, step in steps) else None
    wanted: list[tuple[str, Any]] = []
    for at, step in steps:
        if isinstance(step, CustomOp):
            wanted.append((at, step))
        elif isinstance(step.albumentations, list):
            wanted += [(f"{at}.albumentations.{place}", tree) for place, tree in enumerate(step.albumentations)]
        else:
            wanted.append((f"{at}.albumentations", step.albumentations))
    return Pipeline(_built(package, wanted), tuple(key for key, _ in wanted))


def _built(package: Any, wanted: Sequence[tuple[str, Any]], problems: Sequence[str] = ()) -> tuple[Any, ...]:
    """The transforms at these keys; what is wrong with any of them is one error."""
    problems, built = [*problems], list[Any]()
    for key, tree in wanted:
        try:
            built.append(OwnStep(key, tree) if isinstance(tree, CustomOp) else _transform(package, key, tree))
        except ConfigError as error:
            if isinstance(tree, CustomOp):
                raise
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(built)


def _package() -> Any:
    """Albumentations, imported without its look at the network for a newer version."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        with quiet():
            import albumentations
    except ImportError:
        raise ConfigError(
            [
                "`augment` must have albumentations for these steps; it is not installed. "
                f"Run: {install_command('albumentations')}"
            ]
        ) from None
    if not hasattr(albumentations.Compose, "set_random_state"):
        fix = f"Run: {install_command('albumentations')}"
        raise ConfigError([f"`albumentations` must be version 2.0.8; got {albumentations.__version__}. {fix}"])
    return albumentations


def _transform(package: Any, key: str, tree: Mapping[str, Any]) -> Any:
    """One transform; OneOf, SomeOf and their like with the transforms they hold."""
    name, arguments = str(tree["name"]), {argument: value for argument, value in tree.items() if argument != "name"}
    if name in OURS:
        fix = f"{OURS[name]}. Drop it."
        raise ConfigError([f"`{key}.name` must be a transform that is not done already; got {name}. {fix}"])
    if name in _HOLDERS:
        if "transforms" not in arguments:
            raise ConfigError([f"`{key}.transforms` must be given: {name} chooses from a list of them."])
        inner = arguments["transforms"] if isinstance(arguments["transforms"], list) else [arguments["transforms"]]
        wrong = _unknown_arguments(key, name, arguments, ["transforms", *_HOLDERS[name]])
        held = _built(package, [(f"{key}.transforms.{place}", one) for place, one in enumerate(inner)], wrong)
        return _made(getattr(package, name), key, {**arguments, "transforms": list(held)})
    if name not in (known := _names(package)):
        raise ConfigError([unknown("transform", name, [*known, *_HOLDERS], key=f"{key}.name")])
    cls = getattr(package, name)
    parameters = inspect.signature(cls.__init__).parameters
    wrong = _unknown_arguments(key, name, arguments, [one for one in parameters if one not in ("self", "strict")])
    if (how := arguments.get("mask_interpolation", 0)) != 0:
        wrong.append(f"`{key}.mask_interpolation` must be 0 (nearest: labels can't be mixed); got {how}. Leave it out.")
    if wrong:
        raise ConfigError(wrong)
    fill = parameters.get("fill_mask")
    if fill is not None and isinstance(fill.default, int | float):  # None, as in dropout, leaves the mask as it is
        arguments = {"fill_mask": IGNORE, **arguments}
    return _made(cls, key, arguments)


def _made(cls: Any, key: str, arguments: dict[str, Any]) -> Any:
    """Construct it; a value that doesn't fit is an error, never replaced by a default as the package would."""
    owner = next(one for one in cls.__mro__ if "__init__" in vars(one))
    strict = {"strict": True} if "InitSchema" in vars(owner) else {}  # the others' constructors don't take it
    try:
        with quiet():
            return cls(**arguments, **strict)
    except Exception as error:  # noqa: BLE001 - pydantic's, or whatever a constructor raises
        detail = getattr(error.__cause__, "errors", list)()
        problems: dict[str, str] = {}  # the first of each argument
        for item in detail or [{"loc": (), "msg": _one_line(error)}]:
            argument = str(item["loc"][0]) if item["loc"] else ""
            message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ").strip(" .")
            if not argument:
                problem = f"`{key}` must have values {cls.__name__} can use; it says: {message}."
            elif item["type"] == "missing" or (item["input"] is None and argument not in arguments):
                problem = f"`{key}.{argument}` must be given: {cls.__name__} needs it."
            else:
                problem = f"`{key}.{argument}` must fit {cls.__name__} ({message}); got {item['input']!r}."
            problems.setdefault(argument, problem)
        raise ConfigError(
            [problem for argument, problem in problems.items() if argument or len(problems) == 1]
        ) from None


def _names(package: Any) -> list[str]:
    """Transforms of pictures that a YAML can name."""
    classes = {
        name: getattr(package, name) for name in dir(package) if name not in _NOT_FROM_YAML and not name.endswith("3D")
    }
    return [
        name
        for name, cls in classes.items()
        if inspect.isclass(cls) and issubclass(cls, package.BasicTransform) and not issubclass(cls, package.Transform3D)
    ]


def _unknown_arguments(key: str, name: str, arguments: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    problems = []
    for argument in arguments:
        if argument not in known:
            problems.append(unknown(f"{name} argument", argument, known, key=f"{key}.{argument}"))
    return problems


def _forced(key: str, transform: Any, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[Any, Any]:
    """Apply one transform whatever its probability."""
    chance, transform.p = transform.p, 1.0
    try:
        with quiet():
            transform.set_random_state(rng, random.Random(0))
            made = transform(image=image, mask=mask)
        return made["image"], made["mask"]
    except Exception as error:  # noqa: BLE001 - whatever a foreign package stumbles over
        raise ConfigError([_failed(key, error)]) from None
    finally:
        transform.p = chance


def _unfit(key: str, image: Any, mask: Any, num_channels: int, num_classes: int) -> str:
    """Why a result can't be an input, if it can't."""
    if getattr(image, "dtype", None) != np.uint8:
        return f"`{key}` must give images of uint8; got {getattr(image, 'dtype', type(image).__name__)}. Drop it."
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels != num_channels:
        return f"`{key}` must keep the {num_channels} channels of an image; got {channels}. Drop it."
    odd = sorted(set(np.unique(mask).tolist()) - {*range(num_classes), IGNORE})
    if odd:
        meant = f"class numbers 0 to {num_classes - 1}, or {IGNORE} for ignored"
        return f"`{key}` must fill masks with {meant}; got {listed(odd)}. Fix fill_mask or its like."
    return ""


def _resized(key: str, asked: Sequence[int], shape: Sequence[int]) -> str:
    return (
        f"`{key}` must give inputs of {asked[0]}x{asked[1]}, which is data.size; got {shape[0]}x{shape[1]}. "
        "Set its size to data.size, or drop it: data.view and the operation scale choose what an input shows."
    )


def _failed(key: str, error: Exception) -> str:
    return f"`{key}` must be a transform that works on these inputs; it says: {_one_line(error)}."


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip(" .")[:200] or type(error).__name__
