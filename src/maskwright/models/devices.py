"""Which device and which arithmetic, and why."""

from __future__ import annotations

import contextlib
import gc
import os
from contextlib import AbstractContextManager

import torch

from maskwright.errors import UsageError, must, unknown

DEVICES = ("cpu", "gpu")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_BUSY = 1.5  # processes a core that want to run, from which on threads get in each other's way


def choose_device() -> tuple[str, str]:
    """The GPU when there is one."""
    if torch.cuda.is_available():
        others = torch.cuda.device_count() - 1
        message = f"; --train.num_devices {others + 1} trains on {others} more of this machine" if others else ""
        return "gpu", f"found {torch.cuda.get_device_name()}{message}"
    if torch.backends.mps.is_available():
        return "gpu", "found Apple's GPU"
    return "cpu", "no GPU found"


def named_device(name: str | None) -> str | None:
    """The device of ours that a person names: mps is the GPU of an Apple computer."""
    if name not in (None, "cpu", "gpu", "mps"):
        raise UsageError(must("--device", "cpu, gpu or mps", name))
    if name == "mps" and (torch.cuda.is_available() or not torch.backends.mps.is_available()):
        raise UsageError(
            must("--device", "a device of this machine", "mps, and no Apple GPU was found", "Choose cpu or gpu.")
        )
    return "gpu" if name == "mps" else name


def validate_device(device: str, num_devices: int = 1) -> None:
    """Stop where training is to run on a GPU and there is none, or on more than there are."""
    if device == "gpu" and choose_device()[0] != "gpu":
        fix = "Choose --devices cpu or auto for a new run, or see with maskwright doctor what this machine has."
        raise UsageError(must("train.devices", "a device of this machine", "gpu, and no GPU was found", fix))
    found = torch.cuda.device_count() or 1
    if num_devices > found and (choose_device()[0] if device == "auto" else device) == "gpu":
        fix = "Lower it, or leave it out."
        raise UsageError(must("train.num_devices", f"at most the number of GPUs here, {found}", num_devices, fix))


def validate_precision(precision: str, device: str) -> None:
    """Stop at fp16 where nothing multiplies it: on a CPU it would be emulated."""
    if precision == "fp16" and not (device == "gpu" and torch.cuda.is_available()):
        fix = "Take auto, which knows what this machine is fast at."
        raise UsageError(must("train.precision", "bf16 or fp32 without an NVIDIA GPU", "fp16", fix))


def choose_precision(device: str) -> tuple[str, str]:
    """bf16 where the hardware multiplies it natively; elsewhere it is emulated, and slower than fp32."""
    if device == "gpu":
        if not torch.cuda.is_available():
            return "fp32", "Apple's GPUs gain little from less"
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", f"{name} multiplies bf16 natively"
        return "fp16", f"{name} has no native bf16; the loss is scaled, so that small gradients stay"
    for name, instructions in (("_is_amx_tile_supported", "AMX tiles"), ("_is_avx512_bf16_supported", "avx512_bf16")):
        if getattr(torch.cpu, name, lambda: False)():
            return "bf16", f"the processor has {instructions}"
    return "fp32", "the processor has no bf16 instructions"


def busy_cores() -> str | None:
    """What to do where others want this machine's cores too; None where they don't, or one thread computes anyway."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1  # all the machine's, as the load is, whatever a container may use
    threads = torch.get_num_threads()
    if threads == 1 or load < _BUSY * cores:
        return None
    return (
        f"{load:.1f} over the last minute on {cores} cores: torch's {threads} threads wait for each other, so all do "
        "where one has no core. On Linux, training with a budget takes fewer by itself; set OMP_NUM_THREADS=1 for "
        "what else is to run beside others"
    )


def torch_device(device: str) -> torch.device:
    """The torch device behind `cpu` or `gpu`."""
    if device not in DEVICES:
        raise UsageError(unknown("device", device, DEVICES))
    if device == "cpu":
        return torch.device("cpu")
    if choose_device()[0] != "gpu":
        fix = "Choose cpu, or see with maskwright doctor what this machine has."
        raise UsageError(must("device", "one of this machine", "gpu, and no GPU was found", fix))
    return torch.device("cuda" if torch.cuda.is_available() else "mps")


def release_memory() -> None:
    """Free what the last network took, which its trainer's circles of references keep, before the next is built."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def tune_gpu(device: torch.device) -> None:
    """Let an NVIDIA GPU multiply fp32 by TF32, and cuDNN find the fastest way once: inputs have one size or two."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context a network predicts in."""
    return torch.autocast(device.type, _DTYPES[precision]) if precision in _DTYPES else contextlib.nullcontext()
