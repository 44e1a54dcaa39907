"""Contact sheets: where images and labels come to lie."""

import numpy as np
import pytest
from files import noise

from inpaint_jax.data import sheets
from inpaint_jax.data.files import ImageError


def test_grid_places_images_and_labels():
    cells = [[noise(8, 12, 3 * i + j) for j in range(3)] for i in range(2)]
    bare = sheets.grid(cells, scale=2, pad=4)
    assert bare.shape == (2 * 20 + 4, 3 * 28 + 4, 3)
    np.testing.assert_array_equal(bare[24:40:2, 60:84:2], cells[1][2])
    np.testing.assert_array_equal(bare, sheets.grid(np.array(cells), pad=4))

    columns = ["original", "masked", "a very long name that cannot fit"]
    sheet = sheets.grid(cells, column_labels=columns, row_labels=["first", "2nd\n"])
    assert sheet.shape[0] > bare.shape[0]
    assert sheet.shape[1] > bare.shape[1]
    np.testing.assert_array_equal(sheet[-20:-4:2, -28:-4:2], cells[1][2])
    above, beside = sheet[:16], sheet[24:, : sheet.shape[1] - bare.shape[1]]
    assert above.min() < 64, "no ink above the columns"
    assert beside.min() < 64, "no ink beside the rows"


def test_captions_stand_below_their_images():
    cells = [[noise(8, 40, 3 * i + j) for j in range(2)] for i in range(2)]
    bare = sheets.grid(cells, scale=1, pad=4)
    sheet = sheets.grid(cells, captions=[["", "below"], ["", ""]], scale=1, pad=4)
    assert sheet.shape == (bare.shape[0] + 2 * 16, *bare.shape[1:])
    np.testing.assert_array_equal(sheet[32:40, 48:88], cells[1][1])
    assert sheet[12:28, 48:88].min() < 64, "no ink below the image"
    assert (sheet[12:28, :44] == 255).all()
    with pytest.raises(ImageError, match="captions must be as many"):
        sheets.grid(cells, captions=[["a", "b"], ["c"]])


def test_grid_takes_floats_greys_and_short_rows():
    light = np.full((8, 8, 1), -1.0, np.float32)
    sheet = sheets.grid([[light, noise(8, 8)], [light]], scale=1, pad=1)
    assert (sheet[1:9, 1:9] == 0).all()
    assert (sheet[10:18, 10:18] == 255).all()


def test_grid_refuses_what_does_not_line_up():
    with pytest.raises(ImageError, match="one size"):
        sheets.grid([[noise(8, 8), noise(8, 9)]])
    with pytest.raises(ImageError, match="one size"):
        sheets.grid([])
    with pytest.raises(ImageError, match="1 column labels for 2 columns"):
        sheets.grid([[noise(), noise()]], column_labels=["a"])
    with pytest.raises(ImageError, match="not an image"):
        sheets.grid([[np.zeros(5, np.uint8)]])


def test_tile_is_nearly_square():
    assert sheets.tile(np.zeros((64, 8, 8, 3)), pad=0).shape == (64, 64, 3)
    assert sheets.tile([noise(8, 8)] * 5, pad=0).shape == (16, 24, 3)
    with pytest.raises(ImageError, match="one size"):
        sheets.tile([])
