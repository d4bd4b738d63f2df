"""The page: a shell of HTML that scripts fill, two events, and one trail per person."""

import logging
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import gradio as gr

from diffgar.app.engine import Engine
from diffgar.app.query import Query
from diffgar.app.told import Told, told_answer, told_library
from diffgar.app.trail import Trail
from diffgar.errors import InputError

STATIC = Path(__file__).parent / "static"
ON_LOAD = 'import("/app/main.js").then(main => main.start(element, props, watch, asked => trigger("ask", asked)));'
UNEXPECTED = "something went wrong that is no fault of the query; the terminal that the app runs in says what"
log = logging.getLogger(__name__)


def build_page(opening: "Future[Engine]") -> gr.Blocks:
    """The page, which is up before its engine is: until the model is open it says so."""

    def welcome() -> Told:
        try:
            return told_library(opening.result())
        except Exception as error:
            return refused(error)

    def ask(event: gr.EventData, trail: Trail) -> tuple[Told, Trail]:
        asked = event._data
        try:
            engine = opening.result()
            trail = step(engine, asked, trail)
            told = told_answer(engine, trail)
        except Exception as error:
            told = refused(error)
        return told | {"number": asked.get("number")}, trail

    with gr.Blocks(title="GD-Retriever", analytics_enabled=False, fill_width=True) as page:
        trail = gr.State(Trail())
        shell = gr.HTML(
            {"kind": "opening"},
            html_template=(STATIC / "shell.html").read_text(encoding="utf-8"),
            js_on_load=ON_LOAD,
            apply_default_css=False,
        )
        page.load(welcome, None, shell, show_progress="hidden", api_visibility="private", concurrency_limit=None)
        shell.ask(ask, trail, [shell, trail], show_progress="hidden", api_visibility="private")
    return page


def step(engine: Engine, asked: Any, trail: Trail) -> Trail:
    """The trail after what a person did: went back to a step of it, or asked something."""
    if "step" in asked:
        return trail.back_to(asked["step"])
    return trail.add(engine.answer(Query.read(asked.get("query"))))


def refused(error: Exception) -> Told:
    """The sentence that a person is told; of what nobody foresaw the trace goes to the terminal alone."""
    if isinstance(error, InputError):
        return {"kind": "refused", "sentence": str(error)}
    log.error("a query failed", exc_info=error)
    return {"kind": "refused", "sentence": UNEXPECTED}
