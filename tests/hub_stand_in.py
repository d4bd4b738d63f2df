"""A stand-in for a model hub on this machine's loopback: it serves folders as models, and remembers what was asked."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "a" * 40


def point_at(url: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the hub's client of this process ask a hub at this URL, with an empty cache."""
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))


class Hub:
    """models: folders by name. asked: (method, path) of each request. status: answered to all, where it is not 200."""

    def __init__(self, models: dict[str, Path], status: int = 200):
        self.models, self.status, self.asked, self.url = models, status, [], ""

    def files(self) -> list[str]:
        """Names of the files that were downloaded."""
        return [path.split("/resolve/")[1].split("/", 1)[1] for method, path in self.asked if method == "GET resolve"]

    def run(self, words: list[str], cache: Path, **options) -> subprocess.CompletedProcess:
        """A command whose hub is this one, with a cache of its own and nothing from the caller's."""
        return subprocess.run(words, env=environment(self.url, cache), capture_output=True, text=True, **options)


def environment(url: str, cache: Path) -> dict[str, str]:
    """That of a fresh machine with a network, whose hub is at `url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_", "GDR_"))}
    scripts = str(Path(sys.executable).parent)
    return kept | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)]),
    }


@contextmanager
def serve(models: dict[str, Path], status: int = 200):
    """A running `Hub`."""
    hub = Hub(models, status)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """What the hub's client asks: the list of a model's files, their tree, and each file."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        kind = "resolve" if "/resolve/" in path else "list"
        self.hub.asked.append((f"{self.command} {kind}", path))
        if self.hub.status != 200:
            return self._answer(self.hub.status, b"")
        if kind == "resolve":
            repo, rest = path.split("/resolve/")
            return self._file(repo, rest.split("/", 1)[1])
        return self._list(path)

    do_HEAD = do_GET

    def _list(self, path: str) -> None:
        repo, _, rest = path.removeprefix("api/models/").partition("/revision/")
        repo, _, tree = repo.partition("/tree/")
        if not path.startswith("api/models/") or repo not in self.hub.models:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        folder = self.hub.models[repo]
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        names = [file.relative_to(folder).as_posix() for file in files]
        if tree:
            rows = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": _tag(file)}
                for name, file in zip(names, files, strict=True)
            ]
            return self._answer(200, json.dumps(rows).encode())
        model = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        return self._answer(200, json.dumps(model).encode())

    def _file(self, repo: str, name: str) -> None:
        file = self.hub.models.get(repo, Path("/nowhere")) / name
        if not file.is_file():
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        return self._answer(200, file.read_bytes(), {"ETag": f'"{_tag(file)}"', "X-Repo-Commit": COMMIT})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        """Silent."""


def _tag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
