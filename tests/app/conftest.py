"""A small trained model and its library, and the app that serves it; what is not installed is skipped visibly."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from scripts import COLLECTION, invoke, places

from diffgar.app.engine import Engine
from diffgar.app.uploads import Uploads
from diffgar.library import Library
from diffgar.retriever import Retriever

CHROMIUM = shutil.which("chromium")
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>'


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Library:
    """106 tracks of the demo, as a model of two training steps searches them. One caption is markup."""
    folder = tmp_path_factory.mktemp("app")
    short = ["trainer.max_steps=2", "trainer.val_check_interval=2", "lr_scheduler.warmup_steps=1", "batch_size=16"]
    invoke("train_ldm.py", *COLLECTION, *short, "model_name=small", *places(folder))
    library = Retriever.from_pretrained(folder / "checkpoints/small").trained_library()
    library.captions[library.tracks["row_id"].iloc[0]] = [EVIL]
    return library


@pytest.fixture(scope="session")
def engine(library) -> Engine:
    return Engine(library, Uploads())


@pytest.fixture(scope="session")
def address(engine) -> Iterator[str]:
    """Where the app is served, from a thread of this process."""
    pytest.importorskip("gradio", reason="the app's page needs requirements-app.txt")
    import uvicorn

    from diffgar.app.server import build_server

    opening: Future[Engine] = Future()
    opening.set_result(engine)
    place = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_server(opening, engine.uploads), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{place.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join()


@pytest.fixture(scope="module")  # no longer: while it is open, no other event loop runs in this thread
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright (extra app-test)")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()
