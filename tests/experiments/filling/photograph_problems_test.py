"""Photographs as problems: how often their files are read."""

import numpy as np
import pytest
from conftest import DEMO
from fakes import analytic_model
from files import PORTRAITS

from experiments.filling import photographs
from experiments.filling.photographs import Inputs, OfPhotographs
from inpaint_jax.data.pictures import find_pictures
from inpaint_jax.photographs.photograph import Photograph


@pytest.fixture
def decoded(monkeypatch):
    """Names of the pictures that were decoded."""
    names, read = [], Photograph.read

    def counted(picture):
        names.append(picture.id)
        return read(picture)

    monkeypatch.setattr(photographs.Photograph, "read", counted)
    return names


def problems():
    inputs = Inputs(find_pictures([DEMO]), mask="center")
    return OfPhotographs(inputs, analytic_model(), "center")


def test_what_was_read_last_is_decoded_once(decoded):
    found = problems()
    first = found.read(1)
    read = found.read_picture(1)
    np.testing.assert_array_equal(found.read(1).image, first.image)
    assert read.rgb.shape[:2] == read.photograph.shape
    for index in range(len(found)):
        found.read(index)
    assert decoded == ["collins", "biden", *PORTRAITS[2:]]


def test_no_more_pixels_are_kept_than_there_is_room_for(decoded, monkeypatch):
    monkeypatch.setattr(photographs, "KEPT", 2 * 218 * 178)  # Two of the portraits.
    found = problems()
    for index in (0, 1, 0, 2, 0, 1):
        found.read(index)
    assert decoded == ["biden", "collins", "obama_portrait", "collins"]
    monkeypatch.setattr(photographs, "KEPT", 1)
    for _ in range(2):
        found.read(3)
    assert decoded[-2:] == ["obama_speech"] * 2
