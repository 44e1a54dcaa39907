"""The page on which a hole is painted, used in a browser and without one."""

import asyncio
import html
import importlib.util
import io
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import DEMO
from launching import TIME_LIMIT
from PIL import Image
from served import Server

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
MISSING = [
    name
    for name in ("gradio", "gradio_client", "uvicorn")
    if importlib.util.find_spec(name) is None
]
needs_gradio = pytest.mark.skipif(
    bool(MISSING), reason=f"the extra web is not installed: no {MISSING}"
)
SMALL = ("--steps=20", "--max_megapixels=0.2", "--max_megabytes=1", "--max_waiting=2")


@pytest.fixture(scope="module")
def server(launch, tiny_model_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    server = Server(launch, folder, f"--model={tiny_model_file}", *SMALL)
    yield server
    assert server.stop() == 0
    assert not list(folder.iterdir())
    assert server.folder is None or not server.folder.exists()


@pytest.fixture
def client(server):
    from gradio_client import Client

    client = Client(server.url, verbose=False, download_files=False)
    yield client
    client.close()


@pytest.fixture
def photograph(tmp_path):
    """A photograph of 16 bits with its EXIF, and the hole that is painted on it."""
    pixels = np.random.default_rng(0).integers(0, 65536, (90, 120), np.uint16)
    exif = Image.Exif()
    exif[0x010E] = "a wall"
    Image.fromarray(pixels).save(tmp_path / "wall.png", exif=exif)
    hole = np.zeros((90, 120), bool)
    hole[30:60, 40:70] = True
    return tmp_path / "wall.png", hole


def drawing(folder, hole):
    """What an editor sends: strokes on an empty layer."""
    from gradio_client import handle_file

    layer = np.zeros((*hole.shape, 4), np.uint8)
    layer[hole] = (255, 0, 170, 255)
    path = folder / "layer.png"
    Image.fromarray(layer).save(path)
    return {"background": None, "layers": [handle_file(path)], "composite": None}


def take(client, path):
    from gradio_client import handle_file

    return client.predict(handle_file(path), api_name="/take")


def fill(client, model, folder, hole, count=1):
    """The contents of the files that come back, and what is said of them."""
    *_, files, notes = client.predict(
        drawing(folder, hole), str(model), count, api_name="/fill"
    )
    return [fetch(file["url"]) for file in files["value"]], notes


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


@needs_gradio
def test_it_answers_as_the_program_does(
    client, program, photograph, tiny_model_file, tmp_path
):
    path, hole = photograph
    take(client, path)
    answers, notes = fill(client, tiny_model_file, tmp_path, hole, count=2)
    assert len(answers) == 3  # The last one is the mean of the others.
    given = np.asarray(Image.open(path))
    for answer in answers:
        image = Image.open(io.BytesIO(answer))
        assert (image.mode, image.size) == ("I;16", (120, 90))
        assert image.getexif()[0x010E] == "a wall"
        np.testing.assert_array_equal(np.asarray(image)[~hole], given[~hole])
        assert (np.asarray(image) != given)[hole].mean() > 0.9
    assert notes == ""
    Image.fromarray(hole).save(tmp_path / "hole.png")
    arguments = (f"--input={path}", f"--mask={tmp_path / 'hole.png'}", "--steps=20")
    more = (f"--model={tiny_model_file}", "--candidates=2", "--output=whole.png")
    program("inpaint", *arguments, *more, cwd=tmp_path)
    with Image.open(tmp_path / "whole.png") as expected:
        best = np.asarray(Image.open(io.BytesIO(answers[0])))
        np.testing.assert_array_equal(best, np.asarray(expected))


@needs_gradio
def test_strokes_on_a_copy_of_another_size_count(
    client, photograph, tiny_model_file, tmp_path
):
    path, hole = photograph
    take(client, path)
    strokes = hole.repeat(6, axis=0).repeat(6, axis=1)
    large, _ = fill(client, tiny_model_file, tmp_path, strokes)
    small, _ = fill(client, tiny_model_file, tmp_path, hole)
    assert large == small


@needs_gradio
def test_an_upload_is_not_left_on_the_disk(server, client, photograph):
    path, _ = photograph
    canvas, *_ = take(client, path)
    server.folder = Path(canvas["background"]["path"]).parents[1]
    assert server.folder.name.startswith("inpaint_jax-")
    kept = [each.read_bytes() for each in server.folder.rglob("*") if each.is_file()]
    assert kept
    assert path.read_bytes() not in kept


def the_line(server, work):
    """The one line that an error is in the page, and in the log."""
    from gradio_client.exceptions import AppError

    before = server.log
    with pytest.raises(AppError) as error:
        work()
    assert server.log.removeprefix(before).count("\n") == 1
    said = html.unescape(str(error.value).strip("'\""))
    assert said in server.log
    return said


@needs_gradio
def test_what_is_wrong_is_a_line_in_the_page_and_in_the_log(
    server, client, photograph, tiny_model_file, tmp_path
):
    path, hole = photograph
    model = tiny_model_file

    def without_a_photograph():
        fill(client, model, tmp_path, hole)

    assert "there is no photograph" in the_line(server, without_a_photograph)
    take(client, path)

    def without_a_stroke():
        fill(client, model, tmp_path, hole & False)

    assert "nothing is painted" in the_line(server, without_a_stroke)

    def with_another_shape():
        fill(client, model, tmp_path, hole[:40])

    assert "120x40 pixels do not fit" in the_line(server, with_another_shape)

    Image.new("1", (500, 500)).save(tmp_path / "large<b>.png")
    line = the_line(server, lambda: take(client, tmp_path / "large<b>.png"))
    assert "500x500 pixels are more than the 0.2 million that are taken" in line
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    line = the_line(server, lambda: take(client, tmp_path / "film.mp4"))
    assert line.startswith("film.mp4: a video")
    # After all that it still works.
    assert fill(client, model, tmp_path, hole)[0]


@needs_gradio
def test_a_file_that_is_too_large_is_refused(client, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(1_100_000))
    with pytest.raises(ValueError, match="exceeds the maximum file size"):
        take(client, tmp_path / "large.png")


@needs_gradio
def test_the_browser_may_load_nothing_from_elsewhere(server):
    for path in ("/", "/config", "/theme.css"):
        with urllib.request.urlopen(server.url + path) as answer:
            assert answer.headers["content-security-policy"].startswith(
                "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:;"
            )


@needs_gradio
def test_who_goes_away_leaves_no_line_in_the_log(server):
    before = server.log
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as caller:
        caller.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 100000\r\n\r\n--b\r\n"
        )
        time.sleep(1)
    time.sleep(1)
    assert server.log == before


@needs_gradio
def test_too_many_jobs_are_refused(client, photograph, tiny_model_file, tmp_path):
    path, hole = photograph
    take(client, path)
    given = drawing(tmp_path, hole)
    jobs = [
        client.submit(given, str(tiny_model_file), 1, api_name="/fill")
        for _ in range(24)
    ]
    errors = [str(job.exception(timeout=TIME_LIMIT) or "") for job in jobs]
    assert any("Queue is full" in error for error in errors)
    assert any(error == "" for error in errors)


@needs_gradio
@pytest.mark.slow
def test_what_is_old_is_removed(tmp_path, monkeypatch):
    from experiments.serving import page

    monkeypatch.setattr(page, "_LIFE", 0.2)
    for name in ("a/b/old.png", "c/new.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    ending = threading.Event()

    async def wait():
        async with page._tidy(tmp_path, ending):
            for _ in range(100):
                (tmp_path / "c/new.png").touch()
                await asyncio.sleep(0.02)

    asyncio.run(wait())
    assert [path.name for path in tmp_path.rglob("*")] == ["c", "new.png"]
    assert ending.is_set()


@needs_gradio
@pytest.mark.slow
def test_it_ends_in_the_middle_of_a_search(
    launch, photograph, tiny_model_file, tmp_path
):
    from gradio_client import Client

    endless = (f"--model={tiny_model_file}", "--steps=1000000", "--search=paper")
    server = Server(launch, tmp_path, *endless)
    client = Client(server.url, verbose=False, download_files=False)
    path, hole = photograph
    take(client, path)
    job = client.submit(
        drawing(tmp_path, hole), str(tiny_model_file), 1, api_name="/fill"
    )
    while not job.status().progress_data:
        time.sleep(0.1)
    assert server.stop() == 0
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_a_port_in_use_is_one_line(launch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = launch("experiments.serve", [f"--port={port}"], tmp_path)
    assert said.returncode == 2
    assert said.stderr == (
        f"serve: cannot listen at --host=127.0.0.1 --port={port}: "
        "Address already in use\n"
    )


def test_without_the_extra_it_is_one_line(environment, tmp_path):
    code = (
        "import runpy, sys; sys.modules.update(gradio=None); "
        "runpy.run_module('experiments.serve', run_name='__main__', alter_sys=True)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert said.returncode == 2
    assert "pip install 'inpaint_jax[web]'" in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.fixture
def tab(server):
    """An open page, in a browser without a window; and all that it asked for."""
    if BROWSER is None:
        pytest.skip("there is no browser: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.set_default_timeout(1000 * TIME_LIMIT / 4)
        asked, complaints = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: complaints.append(error))
        tab.goto(server.url)
        yield tab
        browser.close()
    hosts = {urlsplit(url).hostname for url in asked if url.startswith("http")}
    assert hosts == {"127.0.0.1"}
    assert complaints == []


def stroke(tab, begin, end):
    """Paints a line, between places given in shares of the picture's sides."""
    editor = tab.locator("#editor canvas").first.bounding_box()
    # A portrait fills the height of the editor, but for a margin.
    for number, (x, y) in enumerate(np.linspace(begin, end, 20)):
        side = editor["height"]
        place = (
            editor["x"] + editor["width"] / 2 + (x - 0.5) * 0.75 * side,
            editor["y"] + editor["height"] / 2 + (y - 0.5) * 0.9 * side,
        )
        tab.mouse.move(*place)
        if number == 0:
            tab.mouse.down()
    tab.mouse.up()


@needs_gradio
@pytest.mark.slow
def test_a_person_paints_a_hole_and_takes_the_answer(tab, tmp_path):
    tab.locator("#fill").click()
    tab.get_by_text("there is no photograph").wait_for()
    tab.set_input_files("#photograph input[type=file]", DEMO / "collins.png")
    # The portrait is there when the editor has made it fit.
    tab.locator("#editor").get_by_text("62%").wait_for(state="detached")
    stroke(tab, (0.3, 0.45), (0.5, 0.45))
    tab.get_by_label("1", exact=True).check()
    tab.locator("#fill").click()
    with tab.expect_download() as download:
        tab.locator("#files a[download]").click()
    download.value.save_as(tmp_path / "answer.png")
    assert download.value.suggested_filename == "collins.png"
    paths = (DEMO / "collins.png", tmp_path / "answer.png")
    given, answer = map(Image.open, paths)
    assert (answer.size, answer.mode) == (given.size, given.mode)
    changed = (np.asarray(answer) != np.asarray(given)).any(axis=-1)
    rows, columns = np.nonzero(changed)
    # The stroke and nothing else: 20 pixels wide on a copy three times as large.
    assert 100 < changed.sum() < 0.1 * changed.size
    assert 70 < rows.min() <= rows.max() < 125
    assert 35 < columns.min() <= columns.max() < 115


@needs_gradio
@pytest.mark.slow
def test_a_person_takes_an_example(tab):
    tab.locator("button.gallery-item").first.click()
    tab.locator("#editor").get_by_text("62%").wait_for(state="detached")
    tab.locator("#fill").click()
    tab.get_by_text("nothing is painted").wait_for()
