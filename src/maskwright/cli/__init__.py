"""The command line: one thin file a command, imported when it is called.

`maskwright --help` prints the tables below and imports nothing of weight, not even cyclopts.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from maskwright.errors import MaskwrightError, UsageError, is_out_of_memory, printable
from maskwright.runtime import limit_memory

if TYPE_CHECKING:
    from types import FrameType

    from cyclopts import App

HELP = "From a folder of images and masks to a segmentation model you can trust."

COMMANDS: dict[str, tuple[str, str]] = {
    # words: (module:function, help); kept here so that --help need not import the commands
    "demo": ("demo:demo", "Make the embedded data, train, evaluate, report: offline, a few minutes."),
    "check": ("check:check", "Audit a data set, and write a repaired copy if asked."),
    "train": ("train:train", "Train a model on images and masks."),
    "evaluate": ("evaluate:evaluate", "Score a run on one of its splits."),
    "predict": ("predict:predict", "Predict images of any size with a run."),
    "search": ("search:search", "Search for a good setting by validation alone."),
    "diagnose": ("diagnose:diagnose", "Say in plain words how training went, and what to try next."),
    "compare": ("compare:compare", "Train a matrix of models and seeds on one split, or compare finished runs."),
    "report": ("report:report", "Write a run's or a comparison's self-contained report.html."),
    "export": ("export:export", "Export a run to ONNX, OpenVINO or torch.export, verified on val."),
    "serve": ("serve:serve", "Serve a run or a bundle over HTTP, for programs and for Label Studio."),
    "app": ("app:app", "Judge, compare, predict and label in a browser."),
    "models": ("names:models", "List the models that can be named."),
    "encoders": ("names:encoders", "List the encoders that can be named, of SMP and timm."),
    "losses": ("names:losses", "List the losses that can be named."),
    "doctor": ("doctor:doctor", "Check the environment, devices and known problems."),
    "data make": ("data:make", "Make a procedural data set: puzzle or landcover."),
    "data get": ("get:get", "Download a public data set, verified and unpacked: oxford-pet."),
    "data preview": ("data:preview", "Draw a sheet of inputs as training would see them."),
    "config show": ("config:show", "Print a configuration with every key and its value."),
    "config schema": ("config:schema", "Print the JSON schema, for editors."),
    "config check": ("config:check", "Check a configuration, its data and its model without training."),
}
GROUPS = {"data": "Make, get and look at data sets.", "config": "Look at and check configurations."}
WITH_WEIGHTS = ("evaluate", "predict")  # take any configuration key, but only beside weights without a run


def command_of(words: Sequence[str]) -> str:
    """The command that words begin with; empty where they begin with none."""
    return next((name for name in COMMANDS if list(words[: len(name.split())]) == name.split()), "")


def build_app(words: Sequence[str] = ()) -> App:
    """The application with every command registered lazily; the one that `words` begin with has its whole help."""
    from cyclopts import App

    app = App(
        name="maskwright", help=HELP, version=_version, help_format="plaintext", suppress_keyboard_interrupt=False
    )
    groups = {name: App(name=name, help=about, help_format="plaintext") for name, about in GROUPS.items()}
    for name, (target, about) in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        help_ = _help(name) if name == command_of(words) else about
        (groups[group] if group else app).command(f"maskwright.cli.{target}", name=last, help=help_)
    for group in groups.values():
        app.command(group)
    return app


def _function(command: str) -> Callable[..., Any]:
    module, _, name = COMMANDS[command][0].partition(":")
    return getattr(importlib.import_module(f"maskwright.cli.{module}"), name)


def _help(command: str) -> str:
    """A command's docstring without its parameters: lines that are commands stay lines, other paragraphs flow."""
    import inspect  # late: the bare --help needs none of it

    paragraphs = (inspect.getdoc(_function(command)) or "").partition("\n\nParameters\n")[0].split("\n\n")
    return "\n\n".join(one if one.startswith("maskwright ") else " ".join(one.split()) for one in paragraphs)


def overview() -> str:
    """What `maskwright --help` prints: every command with a line about it."""
    rows = [(name, about) for name, (_, about) in COMMANDS.items()]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name.ljust(width)}  {about}" for name, about in rows]
    more = "maskwright COMMAND --help tells a command's options; --debug shows the traceback of an error; --version."
    more += "\n--trust-code executes code that a run of somebody else names (its network, loss or augmentation)."
    return "\n".join(["Usage: maskwright COMMAND …", "", HELP, "", *lines, "", more])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the answer is no, 2 a mistake in the input, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    _trust_code("--trust-code" in words)
    words = _keys_last([_with_dashes(word) for word in words if word not in ("--debug", "--trust-code")])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name in an old encoding; JSON escapes it just so
    if arguments is None:
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # no process that is started takes modules from the current folder
        os.environ["MPLBACKEND"] = "agg"  # nothing is shown in a window; a notebook's own is none here
        limit_memory()
        if not (debug or sys.warnoptions):
            warnings.simplefilter("ignore")  # libraries' own: what a person must know we say
    pressed = _note_interrupts() if arguments is None else (lambda: False)
    try:
        _refuse_lost_folder()
        if words in ([], ["-h"], ["--help"]):
            print(overview())
            code = 0
        else:
            try:
                code = build_app(words)(words, exit_on_error=False, print_error=False, result_action="return_value")
            finally:
                _end_progress()
        if sys.stdout:
            sys.stdout.flush()
    except MaskwrightError as error:
        if debug:
            raise
        code = _print_error(str(error), error.exit_code)
    except KeyboardInterrupt as interrupt:
        if arguments is None:  # this process ends here: a second Ctrl-C must not spoil its way out
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = _print_error(f"interrupted; {interrupt}" if str(interrupt) else "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `… | head`
        _leave(sys.stdout)
        code = 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and not error.filename:
            _leave(sys.stdout)
        code = _print_error("interrupted", 130) if pressed() else _print_error(_sentence(error, words), 2)
    if arguments is None:
        gc.freeze()  # after torch's family Python looks for garbage as it ends, for one to two seconds
    sys.exit(code if isinstance(code, int) else 0)


def _trust_code(trusted: bool) -> None:
    """Whether code that a run of somebody else names is executed by this command."""
    if trusted or "maskwright.custom" in sys.modules:
        from maskwright import custom  # late: the bare --help needs none of it

        custom.trust_code = trusted


def _refuse_lost_folder() -> None:
    """Stop where the current folder was removed: libraries end the whole process there."""
    from pathlib import Path  # late: the bare --help needs little

    try:
        Path.cwd()
    except OSError as error:
        fix = "Change to one that is, such as your home: cd"
        why = f"it was removed ({error.strerror})"
        raise UsageError(f"the current folder must be one that is there; {why}. {fix}") from None


def _end_progress() -> None:
    """Take away what is still being counted, so that what comes next stands on a line of its own."""
    terminal = sys.modules.get("maskwright.terminal")  # not imported by commands that count nothing
    if terminal:
        terminal.end_progress()


def _leave(stream: TextIO) -> None:
    """What is left in the buffer has nowhere to go, and Python would try once more when it ends."""
    with contextlib.suppress(OSError, ValueError):  # no file stands behind it, as in a notebook
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _sentence(error: Exception, words: Sequence[str]) -> str:
    """The sentence for an error that is none of ours."""
    if _is_usage_error(error):
        return _usage_sentence(error, words)
    refused = _refused_by_the_system(error) if isinstance(error, OSError) else None
    if refused:
        return refused
    first = next(iter(str(error).splitlines()), "")[:300].rstrip(".")
    if is_out_of_memory(error):
        fix = "Lower --batch-size, --size or --model.width; evaluating and predicting takes less for smaller images."
        return f"there must be enough memory for this; it ran out{first and f' ({first})'}. {fix}"
    ours = f"{os.sep}maskwright{os.sep}"
    trace = [frame for frame in traceback.extract_tb(error.__traceback__) if ours in frame.filename]
    place = f" (in {trace[-1].filename.rpartition(ours)[2]}:{trace[-1].lineno})" if trace else ""
    fault = "This is a fault of maskwright: run the command again with --debug for the traceback, and report it."
    return f"unexpected error: {type(error).__name__}{first and f': {first}'}{place}. {fault}"


def _note_interrupts() -> Callable[[], bool]:
    """Whether Ctrl-C was pressed: modules of C that are interrupted while they are imported make other errors of it."""
    noted: list[int] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        signal.default_int_handler(number, frame)

    # it may be ignored, as for jobs in the background
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    return lambda: bool(noted)


def _keys_last(words: list[str]) -> list[str]:
    """For commands that take any configuration key: their own flags first, the rest after `--`, untouched.

    The configuration knows the keys, and its errors name file, line and nearest key; cyclopts needn't learn them.
    """
    command = command_of(words)
    if not command or (
        command in WITH_WEIGHTS and not any(_names_configuration(word) or word == "-" for word in words)
    ):
        return words
    flags = _own_flags(command)
    if flags is None:
        return words
    own: list[str] = []
    rest: list[str] = []
    left = words[len(command.split()) :]
    while left:
        word = left.pop(0)
        name, equals, _ = word.partition("=")
        if name in flags:
            own += [word, left.pop(0)] if flags[name] and not equals and left else [word]
        else:
            rest.append(word)
    return [*command.split(), *own, *(["--", *rest] if rest else [])]


def _own_flags(command: str) -> dict[str, bool] | None:
    """The flags of a command that takes configuration keys too, and whether each takes a value; None of any other."""
    import inspect
    from typing import get_type_hints

    from maskwright.cli.types import Flag

    function = _function(command)
    parameters = inspect.signature(function).parameters.values()
    if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    hints = get_type_hints(function, include_extras=True)
    found: dict[str, bool] = {"--help": False, "-h": False}
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY:
            names = [name for part in getattr(hints[one.name], "__metadata__", ()) for name in part.name or ()]
            names = names or [f"--{one.name.replace('_', '-')}"]
            found |= dict.fromkeys(names, bool(hints[one.name] != Flag))
    return found


def _names_configuration(word: str) -> bool:
    """Whether a word names weights or a configuration, beside which any key may stand; a run goes as it was trained."""
    return word.partition("=")[0] in ("--weights", "--model.weights") or word.lower().endswith((".yaml", ".yml"))


def _with_dashes(word: str) -> str:
    """--batch_size is --batch-size; dotted keys keep their underscores, as in YAML."""
    flag, equals, value = word.partition("=")
    if not flag.startswith("--") or len(flag) < 3:
        return word
    plain = flag.replace("-", "_").replace("__", "--", 1) if "." in flag else flag.replace("_", "-")
    return plain + equals + value


def _print_error(message: str, code: int) -> int:
    if sys.stderr:
        begin = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # a count may stand on the line, and hide the cursor
        try:
            print(f"{begin}maskwright: {printable(message)}", file=sys.stderr, flush=True)
        except OSError:  # there is nowhere else to tell it
            _leave(sys.stderr)
    return code


def _is_usage_error(error: Exception) -> bool:
    from cyclopts import CycloptsError

    return isinstance(error, CycloptsError)


def _usage_sentence(error: Exception, words: Sequence[str]) -> str:
    """cyclopts' message on one line, which already names the nearest option or command, and whose help tells more."""
    text = " ".join(str(error).replace('"', "`").split()) or "the arguments could not be understood."
    token = getattr(error, "token", None) if type(error).__name__ == "UnknownOptionError" else None
    if token and command_of(words) in WITH_WEIGHTS:
        from maskwright.config.flags import SHORT

        flag = (token.keyword or token.value).partition("=")[0]
        if flag in SHORT or "." in flag:
            fix = "Leave it out, or train another run with it."
            text = f"`{flag}` must stand beside a configuration or --weights; a run has its own. {fix}"
    return f"{text} See {' '.join(['maskwright', *command_of(words).split(), '--help'])}."


def _refused_by_the_system(error: OSError) -> str | None:
    """A sentence for what a person can fix, such as rights and room; None where it may be a mistake of ours."""
    reason = error.strerror or ""
    if "temporary directory" in reason:  # tempfile's way of saying that the disk is full
        return f"there must be room for temporary files; {reason}. Free some space, or name another folder in TMPDIR."
    fixes = {
        "Check its permissions.": (errno.EACCES, errno.EPERM, errno.EROFS),
        "Free some space.": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "Choose another place.": (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EIO, errno.ESTALE),
    }
    fix = next((words for words, numbers in fixes.items() if error.errno in numbers), None)
    if fix and not error.filename:
        return f"the output must be taken by where it goes; got: {reason}. {fix}"
    return f"`{error.filename}` must be open to this program; got: {reason}. {fix}" if fix else None


def _version() -> str:
    from importlib.metadata import version

    return version("maskwright")
