"""What has to be set right in this process before torch and its family are at work.

Each in this one place: the memory allocator and how much there is, quick imports, torchvision on a CPU-only torch, and
matplotlib's settings.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# mallopt's parameter numbers, from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


@functools.cache
def tune_allocator() -> bool:
    """Keep freed memory in the process, so that large tensors aren't faulted in anew every step.

    glibc hands blocks above 32 MB back to the kernel; training frees and takes them each step.
    Worth 1.3–1.9× in fp32 and up to 1.25× in bf16 on a CPU. False where the C library has no mallopt.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 << 20))
    taken = [mallopt(name, value) == 1 for name, value in settings]  # each is tried, whatever the one before said
    return all(taken)


def share_memory() -> None:
    """Have all threads take from one heap: each of glibc's sixteen would keep the most that any of its threads took.

    For a server, of whose many threads one works: the app's grew by 290 MiB with 50 images at once, and by 12 so.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage in all that comes: an eighth of the time with torch's family."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Import others without these modules, from which they take names that may never be used; the first use brings one.

    torchvision takes one function from torch._dynamo, torchmetrics two classes from transformers and nothing from
    scipy.signal: half of the time in which torch's family comes.
    """
    for name in names:
        spec = None
        with contextlib.suppress(ModuleNotFoundError, ValueError):  # of its package; of a module without a spec
            spec = importlib.util.find_spec(name)
        if spec is not None and name not in sys.modules:  # which looking for it may have imported
            sys.modules[name] = module = _StandIn(name)
            module.__spec__, module.__path__ = spec, list(spec.submodule_search_locations or [])
    try:
        yield
    finally:
        _end_deferring()


def _end_deferring() -> None:
    for name in [name for name, module in list(sys.modules.items()) if isinstance(module, _StandIn)]:
        del sys.modules[name]


class _StandIn(types.ModuleType):
    """An empty module that has every name, for later; another thread, which may use one at once, gets the real one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself looks for
            raise AttributeError(name)
        later = _Later(self.__name__, name)
        return later if self._thread == threading.get_ident() else later._found()


class _Later:
    """A name of a module that is imported once the name is called or something of it is asked for."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def _found(self) -> Any:
        _end_deferring()
        module, name = self._place
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args: Any, **words: Any) -> Any:
        return self._found()(*args, **words)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __or__(self, other: Any) -> Any:  # in an annotation
        return self._found() | other

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:  # as the base of a class
        return (self._found(),)

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self._found())


def free_memory() -> int:
    """Bytes this process may still take: what the machine has free, less if its container allows less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 4 << 30
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return max(0, min(free, limit - used))
    except (OSError, ValueError):
        return free


def limit_memory(share: float = 1.0) -> None:
    """Let this process take no more than is free: then it is refused and can say so, and the system ends no program."""
    if any(Path(driver).exists() for driver in ("/dev/nvidiactl", "/dev/kfd")):  # they map far more than they use
        return
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        own = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()  # data and stacks so far
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (own + int(share * free_memory()), hard))


def ensure_matplotlib() -> None:
    """Import matplotlib without the `matplotlibrc` of the current folder, which may be anybody's and start programs."""
    if "matplotlib" not in sys.modules:
        with contextlib.chdir(Path(__file__).parent):
            importlib.import_module("matplotlib")


_IMPORTING = threading.RLock()
_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


@functools.cache
def ensure_torchvision() -> str:
    """Import torchvision, also where its compiled operators don't match a CPU-only torch.

    There `import torchvision` dies while it registers shapes for operators that were not loaded
    ("operator torchvision::nms does not exist"). The models and transforms need none of them, so an
    empty module stands in for that one registration. Returns "whole" or "without compiled operators".
    Must run before lightning, torchmetrics, timm or segmentation-models-pytorch are imported.
    """
    with _IMPORTING, deferred(*_COMPILER):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
            importlib.import_module("torchvision")
            return "without compiled operators"
    return "whole"


@functools.cache
def ensure_timm() -> None:
    """Import timm, which segmentation-models-pytorch needs too, after torchvision.

    It takes a few functions out of the compiler's sight as it is imported; torch's own way of that waits for a call.
    It would also import W&B wherever that is installed, to write to it if asked.
    """
    ensure_torchvision()
    with _IMPORTING, deferred(*_COMPILER, "wandb"):
        if isinstance(compiler := sys.modules.get("torch._dynamo"), _StandIn):
            vars(compiler)["disable"] = _disable_later
        importlib.import_module("timm")


def _disable_later(call: Any, recursive: bool = True, **words: Any) -> Any:
    from torch._compile import _disable_dynamo

    if call is None or call.__module__.startswith("torch."):  # torch's own wait already
        return _Later("torch._dynamo", "disable")(call, recursive, **words)
    return _disable_dynamo(call, recursive)
