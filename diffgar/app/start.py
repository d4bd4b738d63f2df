"""`python app.py`: serves the page at once and opens the model beside it."""

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from typing import TYPE_CHECKING

from diffgar.errors import InputError

if TYPE_CHECKING:
    from diffgar.app.engine import Engine
    from diffgar.app.uploads import Uploads

HOST = "127.0.0.1"  # this machine alone
NEEDED = ("gradio", "fastapi", "uvicorn")


def run(words: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C. Ends with a sentence where the model, its library or the port is not to be had."""
    options = read_options(words)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise SystemExit(f"the app needs {', '.join(missing)}: pip install -r requirements-app.txt")
    place = listen(options.port)

    import uvicorn  # here: the sentences above need none of it

    from diffgar.app.server import build_server
    from diffgar.app.uploads import Uploads

    opening: Future[Engine] = Future()
    uploads = Uploads()
    server = uvicorn.Server(
        uvicorn.Config(build_server(opening, uploads), log_level="warning", timeout_graceful_shutdown=1)
    )

    def leave() -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that dropped files are deleted
    threading.Thread(target=fulfil, args=(opening, lambda: open_engine(options, uploads), leave), daemon=True).start()
    print(f"http://{HOST}:{place.getsockname()[1]} is up; opening {options.model} …", flush=True)
    server.run(sockets=[place])
    if opening.done() and (error := opening.exception()):
        raise SystemExit(str(error)) if isinstance(error, InputError) else error


def read_options(words: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line. Ends with a sentence at one that it has not."""
    parser = argparse.ArgumentParser(prog="app.py", description="Search a collection in the browser.")
    parser.add_argument("--model", default="checkpoints/demo", help="a trained model (default: checkpoints/demo)")
    parser.add_argument(
        "--in", dest="source", help="a folder of audio, a dataset's YAML or a latent store (default: the model's own)"
    )
    parser.add_argument("--port", type=int, default=7860, help="on 127.0.0.1 (default: 7860; 0 is any that is free)")
    options, unknown = parser.parse_known_args(words)
    if unknown:
        raise SystemExit(f"CommandError: no flag {unknown[0]}; there are --model, --in and --port (--help)")
    return options


def listen(port: int) -> socket.socket:
    """A socket on a port of this machine. Ends with a sentence where the port is taken or may not be had."""
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((HOST, port))
        place.listen()
    except (OSError, OverflowError) as error:
        place.close()
        reason = getattr(error, "strerror", None) or error
        raise SystemExit(f"port {port} is not to be had ({reason}); choose another with --port") from error
    return place


def open_engine(options: argparse.Namespace, uploads: "Uploads") -> "Engine":
    """The engine of a model and a library. Raises InputError where either is not there."""
    from diffgar.app.engine import Engine
    from diffgar.retriever import Retriever

    retriever = Retriever.from_pretrained(options.model)
    library = retriever.index(options.source) if options.source else retriever.trained_library()
    engine = Engine(library, uploads)
    print(f"{len(engine.plane.points)} tracks of {library.store.card.dataset} can be searched", flush=True)
    return engine


def fulfil(opening: "Future[Engine]", make: "Callable[[], Engine]", leave: Callable[[], None]) -> None:
    """Open the engine; where it cannot be opened, those who wait are told, and the app is left."""
    try:
        opening.set_result(make())
    except BaseException as error:
        opening.set_exception(error)
        leave()
