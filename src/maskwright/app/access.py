"""Who may ask, and what a browser may do with the answers.

Another site's page can make a browser here send requests; Host, Origin and Sec-Fetch-Site tell. On another address than
this machine's own a token is asked for: once as /?token=…, from then on as a cookie, or as Authorization: Bearer.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from maskwright.serving.access import Access

COOKIE = "maskwright"
_MOST_JSON = 1 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard(Access):
    """Answers what may not ask, and gives every answer the headers that keep a browser strict."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return await (self._answer(scope, Headers(scope=scope)) or self.app)(scope, receive, strict)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        host, path = headers.get("host", ""), scope["path"]
        if not self._is_ours(host):
            return _refused(
                403, "the Host header must be a name or address of this app; it is another. Name it with --allow-host."
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        visits = scope["method"] == "GET" and path == "/" and origin is None  # a link that somebody followed
        if (origin is not None and origin != f"{scope['scheme']}://{host}") or (
            site in ("cross-site", "same-site") and not visits
        ):
            return _refused(
                403, "a request must come from this app's own pages; it comes from another site. Open the app itself."
            )
        if refusal := self._of_size(scope["method"], path, headers):
            return refusal
        if not self.token:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if visits and given and self._is_token(given):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict", path="/")
            return answer
        if self._has_token(headers.get("authorization", "")) or self._is_token(_cookie(headers.get("cookie", ""))):
            return None
        return _refused(
            401,
            "a request must have the app's token; it has none, or another. Open the address printed at the start.",
        )

    def _of_size(self, method: str, path: str, headers: Headers) -> Response | None:
        """JSON is short, and says how long it is; pictures are counted where they are read."""
        if method not in ("POST", "PUT") or path == "/api/predict" or path.endswith("/mask"):
            return None
        stated = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not stated.isdecimal() or int(stated) > _MOST_JSON:
            return _refused(
                413, f"a request must say its length, at most {_MOST_JSON:,} bytes; this one does not. Send less."
            )
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _refused(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
