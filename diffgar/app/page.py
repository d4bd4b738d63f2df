"""The page: a shell of HTML that scripts fill, two events, and one trail per person."""

import logging
from collections.abc import Callable
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
        return in_words(lambda: told_library(opening.result()))

    def ask(event: gr.EventData, trail: Trail) -> tuple[Told, Trail]:
        found = [trail]  # of this person; stays as it is where the query is refused

        def answer() -> Told:
            found[0] = step(opening.result(), event._data, trail)
            return told_answer(opening.result(), found[0])

        return in_words(answer) | {"number": event._data.get("number")}, found[0]

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


def in_words(answer: Callable[[], Told]) -> Told:
    """An answer, or the sentence that says why there is none; what nobody foresaw is traced in the terminal alone."""
    try:
        return answer()
    except InputError as error:
        return {"kind": "refused", "sentence": str(error)}
    except Exception:
        log.exception("a query failed")
        return {"kind": "refused", "sentence": UNEXPECTED}
