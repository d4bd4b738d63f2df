"""What every request passes: nothing for other hosts, no file but those that the app serves, no foreign script."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost")
CLOSED = ("/gradio_api/file", "/gradio_api/proxy", "/gradio_api/upload", "/gradio_api/stream", "/gradio_api/component")
MOST = 1_000_000  # bytes of a request that is no dropped file
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}


class Guard:
    """An ASGI app around another."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if said := refusal(scope):
            return await refuse(send, said)

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        return await self.app(scope, receive, send_guarded)


def refusal(scope: Scope) -> str:
    """Why a request is refused, or "".

    A page of another host may send a form here unasked, but not a binary file: its browser asks first.
    """
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    if headers.get("host", "").partition(":")[0] not in HOSTS:
        return "the app answers on 127.0.0.1 alone"
    if scope["path"].startswith(CLOSED):
        return "only the files of the library are served, by their number"
    if scope["path"] == "/drop":
        binary = headers.get("content-type") == "application/octet-stream"
        return "" if binary else "a dropped file is sent as application/octet-stream"
    size = headers.get("content-length", "0")
    return "" if size.isdigit() and int(size) <= MOST else f"a request has at most {MOST} bytes"


async def refuse(send: Send, said: str) -> None:
    """Answer with a sentence."""
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": said.encode()})
