"""maskwright serve"""

from __future__ import annotations

from collections.abc import Sequence


def serve(
    model: str, /, *, host: str = "127.0.0.1", port: int = 8000, name: str | None = None,
    mask_threshold: str | None = None, max_megabytes: float = 32, max_megapixels: float = 50, timeout: float = 60,
    max_requests: int = 64, allow_host: Sequence[str] = (),
) -> None:  # fmt: skip
    """Serve a run or a bundle over HTTP: POST /predict with an image gives its labels.

    maskwright serve runs/first
    maskwright serve bundle --port 9000 --max-megapixels 100

    Try it with curl --data-binary @photo.jpg http://127.0.0.1:8000/predict -o mask.png. By Accept the labels are a PNG
    (image/png), regions (application/geo+json) or COCO run lengths (application/json). The Open Inference Protocol v2
    is under /v2, Label Studio's ML backend under /label-studio; /health, /metrics (Prometheus), /docs. Images of
    requests that come together are predicted together. SIGTERM and Ctrl-C finish what is in hand. Where others can
    connect, a token is needed in the environment variable MASKWRIGHT_TOKEN, and in requests (Authorization: Bearer
    TOKEN).

    Parameters
    ----------
    model
        The folder of a run, or of a bundle made by maskwright export.
    host
        The address to serve on; 0.0.0.0 for all of this machine's.
    port
        The port; 0 takes a free one.
    name
        What the model is called under /v2/models. Default: the name of the run.
    mask_threshold
        Two classes: above which probability a pixel is foreground, as for maskwright predict.
    max_megabytes
        The largest request.
    max_megapixels
        The largest image.
    timeout
        Seconds until an answer must be ready.
    max_requests
        How many requests are in hand at once; further ones are told to try again.
    allow_host
        A name this server is reached by, beside addresses, localhost and this machine's own; may be repeated.
    """
    import os
    import sys
    from dataclasses import replace

    from maskwright.errors import UsageError, as_typed, install_command, must

    limits = {"--max-megabytes": max_megabytes, "--max-megapixels": max_megapixels, "--timeout": timeout,
              "--max-requests": max_requests}  # fmt: skip
    for flag, value in limits.items():
        if not 0 < value < 1e6:
            raise UsageError(must(flag, "above 0 and below 1,000,000", value))
    if not 0 <= port < 1 << 16:
        raise UsageError(must("--port", "from 0 to 65535", port))
    token = os.environ.get("MASKWRIGHT_TOKEN", "")
    if host not in ("127.0.0.1", "localhost", "::1") and len(token) < 16:
        command = f'MASKWRIGHT_TOKEN="$(openssl rand -hex 16)" maskwright serve {as_typed(model, "--host", host)}'
        raise UsageError(
            "`MASKWRIGHT_TOKEN` must be a token of at least 16 characters where others can connect; it has "
            f"{len(token)}. Run: export {command.replace(' maskwright', '; maskwright', 1)}")  # fmt: skip
    try:
        from maskwright.serving.server import Settings, create_app, listen, run_server
    except ModuleNotFoundError as error:
        fix = f"Run: {install_command('serve')}"
        raise UsageError(f"`maskwright serve` must have {error.name}; it is not installed. {fix}") from None

    from maskwright.cli.output import say
    from maskwright.prediction.network import open_network
    from maskwright.runtime import share_memory
    from maskwright.serving.label_studio import LabelStudio
    from maskwright.serving.service import Limits

    share_memory()  # before any thread has taken some
    network = open_network(model, threshold=mask_threshold)
    network = replace(network, name=name or network.name)
    studio = LabelStudio(os.environ.get("LABEL_STUDIO_URL", ""), os.environ.get("LABEL_STUDIO_API_KEY", ""))
    taken = Limits(int(max_megabytes * (1 << 20)), int(max_megapixels * 1e6), timeout, max_requests)
    app = create_app(network, Settings(taken, (host, *allow_host), token, studio))
    opened = listen(host, port)
    shown = f"[{host}]" if ":" in host else host

    def ready() -> None:
        say(f"serving {network.name} at http://{shown}:{opened.getsockname()[1]} (its routes: /docs)")
        sys.stdout.flush()  # a pipe would keep it until the end

    run_server(app, opened, timeout, ready)
