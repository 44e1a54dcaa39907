"""The page: a photograph is dropped, a hole painted, answers looked at and taken.

The photograph itself never passes through the browser's canvas, which would lose its
profile, its 16 bits and its transparency: there a smaller copy is painted on, and only
the strokes count.
"""

import asyncio
import contextlib
import functools
import html
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from absl import logging
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import inpaint_jax
from experiments.runtime import program
from experiments.serving.desk import ANSWERS, Desk, Given, canvas_of, painted
from inpaint_jax.data.files import ImageError

EXAMPLES = sorted((Path(inpaint_jax.__file__).parent / "demo").glob("*.png"))

_LIFE = 1800  # Seconds that files of answers, and photographs handed in, are kept.
_SESSIONS = 16  # Browsers whose photographs are kept at once.
_INK = "#ff00aa"
_FONTS = ("system-ui", "sans-serif")
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self'; form-action 'self'"
)
_ABOUT = """# inpaint_jax
Drop a photograph, paint over what is missing or should go, and have it filled. All
other pixels stay what they are."""


class Limits(NamedTuple):
    """What is taken.

    Attributes:
      megabytes: Greatest size of a file.
      waiting: Greatest number of jobs that wait.
    """

    megabytes: int
    waiting: int


def application(desk: Desk, limits: Limits, folder: Path) -> FastAPI:
    """The page as a web application.

    Args:
      desk: What fills the holes.
      limits: What is taken.
      folder: The folder for uploads and answers; ``GRADIO_TEMP_DIR`` must name it.
    """
    gr.set_static_paths(sorted({path.parent for path in EXAMPLES}))
    ending = threading.Event()
    page = _lay_out(desk, folder, ending)
    page.queue(max_size=limits.waiting, default_concurrency_limit=1)
    page.state_session_capacity = _SESSIONS
    app = FastAPI(
        lifespan=lambda app: _tidy(folder, ending),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(_NothingFromOutside)
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=f"{limits.megabytes}mb",
        # Fonts of the theme as it comes would be those of Gradio.
        theme=gr.themes.Default(font=_FONTS, font_mono=("ui-monospace", "monospace")),
    )


def _lay_out(desk: Desk, folder: Path, ending: threading.Event) -> gr.Blocks:
    """The parts of the page, and what happens when they are used."""
    with gr.Blocks(title="inpaint_jax", analytics_enabled=False) as page:
        given = gr.State(time_to_live=_LIFE)
        gr.Markdown(_ABOUT)
        with gr.Row():
            with gr.Column():
                upload = gr.File(label="Photograph", height=140, elem_id="photograph")
                examples = gr.Dataset(
                    label="Or one of these",
                    components=[gr.Image(render=False, type="filepath")],
                    samples=[[str(path)] for path in EXAMPLES],
                    type="index",
                )
                model = gr.Dropdown(
                    [(Path(name).stem, name) for name in desk.models],
                    value=desk.models[0],
                    label="Model",
                )
                count = gr.Radio(ANSWERS, value=ANSWERS[-1], label="Answers")
                button = gr.Button("Fill", variant="primary", elem_id="fill")
            with gr.Column(scale=2):
                editor = gr.ImageEditor(
                    label="Paint over what is missing",
                    placeholder="First a photograph, then strokes over its hole",
                    type="pil",
                    format="png",
                    sources=(),
                    transforms=(),
                    layers=False,
                    brush=gr.Brush(20, colors=[_INK], color_mode="fixed"),
                    buttons=["fullscreen"],
                    height=560,
                    elem_id="editor",
                )
        with gr.Row():
            answers = gr.Gallery(
                label="What came of the hole, the best first",
                format="jpeg",
                columns=ANSWERS[-1] // 2 + 1,
                object_fit="contain",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="answers",
                scale=3,
            )
            film = gr.Image(
                label="How the search filled it",
                format="webp",
                interactive=False,
                buttons=["download"],
                visible=False,
                elem_id="film",
            )
        files = gr.File(
            label="At full size, without loss",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="files",
        )
        notes = gr.Markdown(elem_id="notes")

        @_said_in_the_page
        def take(path: str) -> tuple[Any, ...]:
            photograph = desk.read(path)
            canvas = canvas_of(photograph.photograph)
            drawing = {"background": canvas, "layers": [], "composite": None}
            nothing = gr.Image(None, visible=False), gr.File(None, visible=False)
            return photograph, drawing, None, *nothing, ""

        def upload_taken(path: str) -> tuple[Any, ...]:
            try:
                return take(path)
            finally:
                Path(path).unlink(missing_ok=True)

        def example_taken(number: int) -> tuple[Any, ...]:
            return None, *take(str(EXAMPLES[number]))

        @_said_in_the_page
        def fill(
            given: Given | None,
            drawing: dict[str, Any] | None,
            model: str,
            count: int,
            progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio's way.)
        ) -> tuple[Any, ...]:
            if given is None:
                raise ImageError("there is no photograph: drop one, or take an example")
            strokes = painted(drawing["layers"] if drawing else [])

            def report(share: float) -> None:
                if ending.is_set():  # Python would wait for the end of the search.
                    raise program.UsageError("the program is ending")
                progress(share, desc="searching" if share < 1 else "putting it back")

            progress(0, desc="looking")
            found = desk.fill(given, strokes, model, count, report)
            place = Path(tempfile.mkdtemp(dir=folder))
            written = []
            for name, content in found.files:
                (place / name).write_bytes(content)
                written.append(str(place / name))
            (place / "film.webp").write_bytes(found.film)
            course = gr.Image(str(place / "film.webp"), visible=True)
            shown = list(zip(found.pictures, found.captions, strict=True))
            said = "  \n".join(map(html.escape, found.notes))
            return shown, course, gr.File(written, visible=True), said

        fresh = [given, editor, answers, film, files, notes]
        upload.upload(upload_taken, upload, fresh, api_name="take")
        examples.click(example_taken, examples, [upload, *fresh], api_name="example")
        button.click(
            fill,
            [given, editor, model, count],
            [answers, film, files, notes],
            api_name="fill",
            show_progress_on=answers,
        )
    return page


@contextlib.asynccontextmanager
async def _tidy(folder: Path, ending: threading.Event) -> AsyncIterator[None]:
    """Removes what is older than ``_LIFE`` from a folder; then sets ``ending``."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(_LIFE / 10)
            # What lies in a folder comes before the folder itself.
            for path in sorted(folder.rglob("*"), reverse=True):
                # A folder that is not empty stays.
                with contextlib.suppress(OSError):
                    if path.stat().st_ctime < time.time() - _LIFE:
                        path.rmdir() if path.is_dir() else path.unlink()

    task = asyncio.create_task(tidy())
    yield
    ending.set()
    task.cancel()


def _said_in_the_page(work: Callable[..., Any]) -> Callable[..., Any]:
    """Makes errors one line in the page and in the log; faults have a traceback there.

    An error that is not ``gr.Error`` would be shown as its Python text.
    """

    @functools.wraps(work)
    def guarded(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        except Exception as error:
            message = program.complaint(error)
            if message is None:
                logging.exception("a fault of the program")
                message = "this is a fault of the program; its log says more"
            else:
                program.warn(message)
            raise gr.Error(html.escape(message), print_exception=False) from error

    return guarded


class _NothingFromOutside:
    """Forbids the browser to load anything from elsewhere, whatever Gradio asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message["headers"] = [*message.get("headers", ()), policy]
            await send(message)

        # A tab was closed, or is open when the program ends.
        with contextlib.suppress(ClientDisconnect, asyncio.CancelledError):
            await self._app(scope, receive, answer)
