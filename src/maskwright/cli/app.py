"""maskwright app"""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.cli.types import Flag


def app(
    runs: str = "runs", /, *, data: str | None = None, host: str = "127.0.0.1", port: int = 0, token: str | None = None,
    no_browser: Flag = False, allow_host: Sequence[str] = (),
) -> None:  # fmt: skip
    """Judge, compare, predict and label in a browser: an app on this machine, which works offline.

    maskwright app
    maskwright app runs --data my_data
    maskwright app --data photos --port 8080 --no-browser

    Runs that are trained arrive by themselves; a training that is begun here goes on when the app ends. Masks are saved
    in the data set's own encoding, never over an original without a copy (DATA/.maskwright). Ctrl-C ends the app.

    Parameters
    ----------
    runs
        The folder of runs, comparisons and bundles; new runs are put there.
    data
        A data set to look at and to label: a folder, or a CSV of pairs. Images without any mask will do.
    host
        The address to serve on. Another than this machine's own needs a token.
    port
        The port. Default: a free one.
    token
        What a browser must know, at least 16 characters; MASKWRIGHT_TOKEN in the environment does as well. Default:
        none on this machine, a new one elsewhere.
    no_browser
        Open no browser; the address is printed in any case.
    allow_host
        A name this app is reached by, beside addresses, localhost and this machine's own; may be repeated.
    """
    import os
    import secrets
    import sys
    import webbrowser
    from pathlib import Path
    from urllib.parse import quote

    from maskwright.errors import UsageError, check_path, install_command, must

    if not 0 <= port < 1 << 16:
        raise UsageError(must("--port", "from 0 to 65535", port))
    folder, place = Path(runs), Path(data) if data is not None else None
    if folder.exists() and not folder.is_dir():
        raise UsageError(must("RUNS", "a folder of runs", f"{folder}, a file", "Name the folder."))
    if place is not None and not place.exists():
        raise UsageError(
            must("--data", "a folder or a CSV of pairs", f"{place}, which is not there", check_path(place))
        )
    word = token if token is not None else os.environ.get("MASKWRIGHT_TOKEN", "")
    if not word and host not in ("127.0.0.1", "localhost", "::1"):
        word = secrets.token_urlsafe(24)
    if word and len(word) < 16:
        raise UsageError(must("--token", "at least 16 characters", len(word), "Leave it out, and one is made."))
    try:
        from maskwright.app.server import create_app
        from maskwright.serving.server import listen, run_server
    except ModuleNotFoundError as error:
        fix = f"Run: {install_command('app')}"
        raise UsageError(f"`maskwright app` must have {error.name}; it is not installed. {fix}") from None

    from maskwright.cli.output import say
    from maskwright.runtime import share_memory

    share_memory()
    folder.mkdir(parents=True, exist_ok=True)
    created = create_app(folder, place, token=word, hosts=(host, *allow_host))
    opened = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{opened.getsockname()[1]}/" + (f"?token={quote(word)}" if word else "")

    def ready() -> None:
        say(f"the app is at {address} (Ctrl-C ends it)")
        sys.stdout.flush()  # a pipe would keep it until the end
        if not no_browser:
            webbrowser.open(address)

    run_server(created, opened, 0, ready)
