"""What the app serves and what it refuses, over HTTP; and what `python app.py` says where it cannot start."""

import http.client
import socket
from concurrent.futures import Future
from urllib.parse import quote, urlsplit

import pytest
from scripts import run

from diffgar.app import start, uploads
from diffgar.app.engine import Engine
from diffgar.app.uploads import Uploads
from diffgar.checkpoints import CheckpointError
from diffgar.search.errors import SearchError

BEFORE = ["/", "/audio/", "/tracks/", "/app/", "/static/", "/assets/", "/file=", "/gradio_api/proxy="]
BEFORE += ["/gradio_api/file=", "/gradio_api//file=", "/%67radio_api/file=", "/gradio_api/file/", "/gradio_api/stream/"]
BINARY = {"content-type": "application/octet-stream"}


def ask(address: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """A request as it is written, without a client that tidies its path."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_track_is_served_whole_and_in_parts(address, library):
    content = library.path_of(4).read_bytes()
    assert ask(address, "/audio/4") == (200, content)
    assert ask(address, "/audio/4", range="bytes=100-199") == (206, content[100:200])


@pytest.mark.parametrize("track", ["-1", "106", "9" * 20, "1.5", "x", "..%2f..%2fapp.py", "%2fetc%2fpasswd"])
def test_a_track_that_the_library_has_not_is_refused(address, track):
    for kind in ("audio", "tracks"):
        status, said = ask(address, f"/{kind}/{track}")
        assert status in (404, 422) and b"Traceback" not in said


def test_no_other_file_is_served_whatever_path_is_asked_for(address, library, engine, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    own = str(library.path_of(0))
    asked = [f"{before}{path}" for path in (str(secret), own, quote(str(secret), safe="")) for before in BEFORE]
    for path in [*asked, "/app/../engine.py", "/app/%2e%2e/engine.py", "/app/..%2fengine.py", "/app//etc/passwd"]:
        status, said = ask(address, path)
        assert b"a secret" not in said and said != library.path_of(0).read_bytes(), path
        assert b"class Engine" not in said and b"root:" not in said, path
        assert status >= 400, (path, status)


def test_gradio_takes_no_files_and_fetches_none(address):
    for path in ("/gradio_api/file=http://127.0.0.1:1/", "/gradio_api/proxy=http://127.0.0.1:1/"):
        assert ask(address, path)[0] == 403
    assert ask(address, "/gradio_api/upload", "POST", b"x")[0] == 403


def test_another_hosts_name_is_refused(address):
    assert ask(address, "/", host="evil.example")[0] == 403
    assert ask(address, "/", host="127.0.0.1.evil.example:80")[0] == 403
    assert ask(address, "/")[0] == 200


def test_a_browser_may_load_from_here_alone(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("GET", "/")
    policy = connection.getresponse().headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "http" not in policy and "*" not in policy


def test_a_dropped_file_is_kept_and_a_form_of_another_page_is_not(address, engine):
    status, told = ask(address, "/drop?name=a.wav", "POST", b"RIFF", **BINARY)
    token = told.decode().split('"')[3]
    assert status == 200 and engine.uploads.find(token)[0].read_bytes() == b"RIFF"
    assert ask(address, "/drop?name=a.wav", "POST", b"RIFF", **{"content-type": "text/plain"})[0] == 403


def test_a_file_that_is_too_large_gets_a_sentence(address, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    status, said = ask(address, "/drop?name=long.wav", "POST", bytes(100_000), **BINARY)
    assert status == 413 and b"cut it, or convert it" in said


def test_a_request_of_two_megabytes_is_not_read(address):
    assert ask(address, "/gradio_api/queue/join", "POST", bytes(2_000_000))[0] == 403


def test_the_page_is_up_before_its_model_is():
    pytest.importorskip("gradio", reason="the app's page needs requirements-app.txt")
    from fastapi.testclient import TestClient

    from diffgar.app.server import build_server

    client = TestClient(build_server(Future(), Uploads()), base_url="http://127.0.0.1")
    assert client.get("/").status_code == 200 and client.get("/app/main.js").status_code == 200
    assert client.get("/audio/0").status_code == 404


def test_a_fault_of_the_program_is_traced_in_the_terminal_and_told_in_a_sentence(caplog):
    page = pytest.importorskip("diffgar.app.page", reason="the app's page needs requirements-app.txt")
    assert page.refused(SearchError("no such track")) == {"kind": "refused", "sentence": "no such track"}
    assert not caplog.records
    told = page.refused(ZeroDivisionError("a secret of the program"))
    assert "secret" not in told["sentence"] and "a secret of the program" in caplog.text


def test_the_telemetry_of_gradio_is_off():
    analytics = pytest.importorskip("gradio.analytics", reason="the app's page needs requirements-app.txt")
    assert not analytics.analytics_enabled()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs gradio, .*: pip install -r requirements-app\.txt$"):
        start.run([])


def test_a_port_that_is_taken_is_told_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"^port {port} is not to be had .*--port$"):
            start.listen(port)
    with pytest.raises(SystemExit, match="port 70000"):
        start.listen(70_000)


def test_where_the_engine_cannot_be_opened_those_who_wait_are_told_and_the_app_is_left():
    opening: Future[Engine] = Future()
    left = []
    options = start.read_options(["--model", "nowhere"])
    start.fulfil(opening, lambda: start.open_engine(options, Uploads()), lambda: left.append(True))
    assert isinstance(opening.exception(), CheckpointError) and left == [True]


def test_an_unknown_model_ends_the_app_with_a_sentence():
    pytest.importorskip("gradio", reason="the app needs requirements-app.txt")
    said = run("app.py", "--model", "nowhere", "--port", "0", fails=True)
    assert "nowhere: no trained model in this folder" in said and "Traceback" not in said
