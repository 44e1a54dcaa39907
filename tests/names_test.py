"""Names that are no UTF-8, and what becomes of them."""

import json
import os
import zlib

import hypothesis
import hypothesis.strategies as st
import pytest
from files import encoded

import inpaint_jax
from inpaint_jax import names
from inpaint_jax.data import datasets
from inpaint_jax.data.pictures import find_pictures, read_picture


@hypothesis.given(st.binary(max_size=20))
def test_any_bytes_are_text_and_a_number(given):
    name = given.decode("utf-8", "surrogateescape")
    text = names.readable(name)
    assert json.loads(json.dumps(text).encode()) == text
    assert text.encode() == text.encode("utf-8", "strict")
    assert names.checksum(name) == zlib.crc32(given)


@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_that_is_unicode_stays_as_it_is(name):
    assert names.readable(name) == name
    assert names.checksum(name) == zlib.crc32(name.encode())


def test_a_surrogate_that_stands_for_no_byte_does_no_harm():
    assert names.readable("a\ud800") == r"a\ud800"
    assert names.checksum("a\ud800") == zlib.crc32(rb"a\ud800")


@pytest.fixture
def odd_folder(tmp_path):
    """A folder of one picture whose name is Latin-1, which is no UTF-8."""
    folder = os.fsencode(tmp_path)
    with open(os.path.join(folder, b"caf\xe9.png"), "wb") as file:
        file.write(encoded())
    return tmp_path


def test_a_picture_of_an_odd_name_is_a_picture(odd_folder):
    (picture,) = find_pictures(odd_folder)
    assert picture.id == picture.name == r"caf\xe9"
    assert picture.stem == "caf_xe9"
    assert str(picture).endswith(r"caf\xe9.png")
    assert read_picture(picture).shape == (20, 30, 3)
    inpaint_jax.image_key(0, picture.name)
    inpaint_jax.image_key(0, "caf\udce9")


def test_a_data_set_of_odd_names_can_be_divided(odd_folder):
    (odd_folder / "other.png").write_bytes(encoded(seed=1))
    whole = datasets.load(f"images:{odd_folder}", size=16)
    rest, held_back = datasets.hold_back(whole, 1)
    assert {*rest.ids, *held_back.ids} == {r"caf\xe9", "other"}
