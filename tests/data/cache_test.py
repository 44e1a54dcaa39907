"""Decoded data on the disk: whole or not there, whoever is killed, and when."""

import errno
import json
import multiprocessing
import os
import shutil
import stat
import threading
import time

import numpy as np
import pytest
from files import encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax.data import cache
from inpaint_jax.data.archives import Original, Task
from inpaint_jax.data.files import DataError, ImageError
from inpaint_jax.data.opening import Encoded
from inpaint_jax.data.threads import in_threads


class KilledError(BaseException):
    """Stands for the end of a process."""


def image_of(number):
    return np.full((8, 8, 3), number % 256, np.uint8)


def original(count, *, bad=(), lost=(), order=None, killed_at=None, asked=None):
    """A data set of pictures whose values are their numbers.

    Args:
      count: Number of its ids.
      bad: Numbers of pictures that cannot be read.
      lost: Numbers of pictures that its files do not hold.
      order: Order in which its files hold them.
      killed_at: Number of pictures after which the process that reads them ends.
      asked: A list for the numbers that are read.
    """

    def tasks(done):
        for i, number in enumerate(order or range(count)):
            if i == killed_at:
                raise KilledError
            if number in done or number in lost:
                continue
            if asked is not None:
                asked.append(number)
            image = image_of(number)
            yield Task(number, ImageError(f"{number}: bad") if number in bad else image)

    ids = tuple(f"{i:06d}" for i in range(count))
    return Original(ids, f"{count}", tasks, "the files")


def load(given, folder, **options):
    return cache.load(given, "x", crop="none", size=8, folder=folder, **options)


def check(found, numbers):
    assert found.ids == tuple(f"{i:06d}" for i in numbers)
    np.testing.assert_array_equal(
        found.images, np.stack([image_of(number) for number in numbers])
    )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_killed_at_any_time_it_goes_on(tmp_path_factory, data):
    count = data.draw(st.integers(1, 60))
    numbers = st.sets(st.integers(0, count - 1), max_size=count // 2)
    bad, lost = data.draw(numbers), data.draw(numbers)
    left = [i for i in range(count) if i not in bad | lost]
    order = data.draw(st.permutations(range(count)))
    folder = tmp_path_factory.mktemp("cache")
    options = {"bad": bad, "lost": lost, "order": order}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_PIECE", data.draw(st.integers(1, 5)))
        patch.setattr(cache, "_PIECES_NOTED", data.draw(st.integers(1, 3)))
        for killed_at in data.draw(st.lists(st.integers(0, count - 1), max_size=3)):
            with pytest.raises(KilledError):
                load(original(count, killed_at=killed_at, **options), folder)
            assert [path.suffix for path in folder.iterdir()] == [".partial"]
        if not left:
            with pytest.raises(DataError, match=f"{count} of {count} pictures could"):
                load(original(count, **options), folder)
            assert not list(folder.iterdir())
            return
        found = load(original(count, **options), folder)
    check(found, left)
    assert len(found.failed) == count - len(left)
    assert [path.name for path in folder.iterdir()] == [found.path.name]


def test_what_was_done_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_PIECE", 2)
    monkeypatch.setattr(cache, "_PIECES_NOTED", 1)
    with pytest.raises(KilledError):
        load(original(100, bad={1}, killed_at=90), tmp_path)
    asked = []
    found = load(original(100, bad={1}, asked=asked), tmp_path)
    assert 0 < len(asked) < 60
    check(found, [0, *range(2, 100)])
    assert found.failed == {"000001": "1: bad"}
    asked.clear()
    check(load(original(100, bad={1}, asked=asked), tmp_path), [0, *range(2, 100)])
    assert not asked


@pytest.mark.parametrize("damage", ["line", "journal", "images", "shape"])
def test_what_a_killed_run_left_may_be_damaged(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(cache, "_PIECE", 2)
    monkeypatch.setattr(cache, "_PIECES_NOTED", 1)
    with pytest.raises(KilledError):
        load(original(60, killed_at=50), tmp_path)
    (partial,) = tmp_path.iterdir()
    if damage == "line":
        text = (partial / "done.jsonl").read_text()
        (partial / "done.jsonl").write_text(text[:-9])
    elif damage == "journal":
        (partial / "done.jsonl").unlink()
    elif damage == "images":
        (partial / "images.npy").write_bytes(b"x")
    else:
        np.save(partial / "images.npy", np.zeros((3, 8, 8, 3), np.uint8))
    check(load(original(60), tmp_path), range(60))


def test_other_files_sizes_and_crops_have_folders_of_their_own(tmp_path):
    one = original(5)
    paths = {
        cache.load(each, "x", crop=crop, size=size, folder=tmp_path).path
        for each in (one, one._replace(fingerprint="other"), original(4))
        for crop in ("none", "center")
        for size in (8, 4)
    }
    assert len(paths) == 12
    assert all(path.name.startswith("x-") for path in paths)


@pytest.mark.slow
def test_two_processes_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_load_in_process, args=(tmp_path, barrier, results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    counts = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(counts) == [0, 300]
    check(load(original(300), tmp_path), range(300))
    assert len(list(tmp_path.iterdir())) == 1


def _load_in_process(folder, barrier, results):
    asked = []
    barrier.wait()
    found = load(original(300, asked=asked), folder)
    check(found, range(300))
    results.put(len(asked))


def test_the_second_waits_for_the_first_and_says_so(tmp_path, warned):
    begun, goes_on = threading.Event(), threading.Event()

    def tasks(done):
        begun.set()
        assert goes_on.wait(60)
        yield from original(5).tasks(done)

    first = threading.Thread(
        target=load, args=(original(5)._replace(tasks=tasks), tmp_path)
    )
    first.start()
    assert begun.wait(60)
    asked = []
    second = threading.Thread(target=load, args=(original(5, asked=asked), tmp_path))
    second.start()
    while not warned:
        time.sleep(0.01)
    goes_on.set()
    first.join()
    second.join()
    assert not asked
    assert "another process decodes x-none-8-" in warned[0]
    check(load(original(5), tmp_path), range(5))


def test_whoever_waited_for_a_run_that_failed_decodes_alone(tmp_path, warned):
    begun, goes_on = threading.Event(), threading.Event()
    errors = []

    def tasks(done):
        begun.set()
        assert goes_on.wait(60)
        raise DataError("damaged")
        yield

    def fail():
        try:
            load(original(5)._replace(tasks=tasks), tmp_path)
        except DataError as error:
            errors.append(str(error))

    def second():
        found.append(load(original(5), tmp_path))

    found = []
    threads = [threading.Thread(target=fail), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    while not warned:
        time.sleep(0.01)
    goes_on.set()
    for thread in threads:
        thread.join()
    assert errors == ["damaged"]
    check(found[0], range(5))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(self, result):
        with cache._writing(self.folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache._Writer, "write", full)
    with pytest.raises(DataError, match=r"No space left on device; decoded data need"):
        load(original(5), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/cache"):
        load(original(5), tmp_path / "file" / "cache")


@pytest.mark.parametrize("name", ["about.json", "images.npy"])
def test_a_folder_that_others_have_changed_is_named(tmp_path, name):
    path = load(original(5), tmp_path).path
    for content in (b"", b"{}", json.dumps({"ids": ["1"], "failed": []}).encode()):
        (path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"damaged .*: delete that") as caught:
            load(original(5), tmp_path)
        assert str(path) in str(caught.value)
    shutil.rmtree(path)
    check(load(original(5), tmp_path), range(5))


def test_the_default_folder_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = os.umask(0o002)
    try:
        found = load(original(2), None)
    finally:
        os.umask(before)
    assert found.path.parent == tmp_path / "inpaint_jax" / "data"
    # Compiled code lies there as well, and is run only if nobody else can write it.
    assert not stat.S_IMODE((tmp_path / "inpaint_jax").stat().st_mode) & 0o022


def test_images_are_mapped_and_cannot_be_changed(tmp_path):
    images = load(original(5), tmp_path).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_few_large_files_wait_in_memory(monkeypatch):
    monkeypatch.setattr(cache, "_PIECE_BYTES", 100)
    tasks = [Task(i, Encoded("a.png", bytes(60))) for i in range(9)]
    assert [len(piece) for piece in cache._pieces(tasks)] == [2, 2, 2, 2, 1]
    waiting = []

    def pieces():
        for i in range(200):
            waiting.append(i)
            yield i

    for result in in_threads(lambda i: i, pieces()):
        assert len(waiting) - result < 12


def test_a_picture_without_a_box_is_left_out(tmp_path):
    def tasks(done):
        yield Task(0, Encoded("a.png", encoded()), (0, 0, 5, 5))
        yield Task(1, Encoded("b.png", encoded()))

    given = Original(("a", "b"), "x", tasks, "the files")
    found = cache.load(given, "x", crop="box", size=8, folder=tmp_path)
    assert found.ids == ("a",)
    assert found.failed == {"b": "b.png: has no box"}
