"""What is served, on this machine alone: the page, its scripts, the library's own audio, and nothing else."""

from concurrent.futures import Future

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from diffgar.app.engine import Engine
from diffgar.app.guard import Guard
from diffgar.app.page import STATIC, build_page
from diffgar.app.parts import served
from diffgar.app.told import told_track
from diffgar.app.uploads import Uploads
from diffgar.dataloading.decoders.parts import AudioError
from diffgar.dataloading.places import inside, is_there
from diffgar.search.errors import SearchError

FONTS = ["system-ui", "sans-serif"]  # the system's: none is fetched
HEAD = '<link rel="stylesheet" href="/app/app.css"><link rel="icon" href="/app/icon.svg">'


def build_server(opening: "Future[Engine]", uploads: Uploads) -> FastAPI:
    """The whole app; its engine may still be opening."""
    server = FastAPI(openapi_url=None)
    served = Served(opening, uploads)
    server.add_api_route("/audio/{position}", served.audio)
    server.add_api_route("/tracks/{position}", served.track)
    server.add_api_route("/drop", served.drop, methods=["POST"])
    server.mount("/app", StaticFiles(directory=STATIC))
    server.add_middleware(Guard)
    theme = gr.themes.Base(font=FONTS, font_mono=["ui-monospace", "monospace"])
    page = build_page(opening)
    return gr.mount_gradio_app(server, page, path="/", theme=theme, head=HEAD, ssr_mode=False, footer_links=[])


class Served:
    """The answers to what the page's scripts fetch."""

    def __init__(self, opening: "Future[Engine]", uploads: Uploads):
        self.opening, self.uploads = opening, uploads

    def audio(self, position: int, request: Request) -> Response:
        """The audio of the track at a position; its parts too, so that a player can begin anywhere."""
        if not self._has(position):
            return sentence(404, f"the library has no track {position}")
        path = self.opening.result().library.path_of(position)
        if not is_there(path):
            return sentence(404, f"{path.name} is not in its folder any more")
        if inside(path) is None:
            return FileResponse(path)
        try:
            found = served(path, request.headers.get("range"))
        except AudioError as error:
            return sentence(404, str(error))
        return Response(found.content, found.status, found.headers)

    def track(self, position: int) -> Response:
        """What the track at a position is called."""
        if not self._has(position):
            return sentence(404, f"the library has no track {position}")
        return JSONResponse(told_track(self.opening.result(), position))

    async def drop(self, request: Request, name: str = "") -> Response:
        """Keep a dropped file, sent as it is; the token to ask by."""
        try:
            return JSONResponse({"token": await self.uploads.keep(name, request.stream())})
        except SearchError as error:
            return sentence(413, str(error))

    def _has(self, position: int) -> bool:
        return self.opening.done() and 0 <= position < len(self.opening.result().library)


def sentence(status: int, said: str) -> JSONResponse:
    """A refusal, in a sentence."""
    return JSONResponse({"sentence": said}, status_code=status)
