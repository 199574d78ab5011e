"""Who may ask: a Host header that is ours, and the token where there is one.

A page of another site can make a browser here send requests, by a name that leads to this machine (DNS rebinding); its
Host header tells. Numbers cannot be led elsewhere, so any address is taken.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# what supervisors ask, who have no token
OPEN = ("/health", "/v2/health/live", "/v2/health/ready", "/label-studio/health")


class Access:
    """Refuses what may not ask, before anything is read of it."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str) -> None:
        self.app, self.token = app, token
        self.hosts = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        refusal = self._refusal(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        if not self._is_ours(headers.get("host", "")):
            message = (
                "the Host header must be a name or address of this server; it is another. Name it with --allow-host."
            )
            return JSONResponse({"error": message}, 421)
        if self.token and path not in OPEN and not self._has_token(headers.get("authorization", "")):
            message = (
                "a request must have the server's token; it has none, or another. Send the header Authorization: "
                "Bearer TOKEN"
            )
            return JSONResponse(
                {"error": message}, 401, {"WWW-Authenticate": 'Basic realm="maskwright", charset="UTF-8"'}
            )
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.hosts
        return True

    def _has_token(self, authorization: str) -> bool:
        """Bearer TOKEN; or Basic with the token as the password, for browsers and Label Studio."""
        kind, _, given = authorization.partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except ValueError:
                return False
        elif kind.lower() != "bearer":
            return False
        return secrets.compare_digest(given.strip().encode(), self.token.encode())
