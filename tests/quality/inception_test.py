"""The Fréchet inception distance, with a network of random weights."""

import builtins

import numpy as np
import pytest

from inpaint_jax.quality import inception


def pictures(seed, count=40):
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file like torch-fidelity's, of random numbers."""
    torch = pytest.importorskip("torch", reason="the extra fid is not installed")
    extractor = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3",
        reason="the extra fid is not installed",
    )
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # The network takes its weights from a file and has no other way to be made.
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
        network = extractor.FeatureExtractorInceptionV3("inception", ["2048"], "none")
    torch.save(network.state_dict(), path)
    return path


# Its loader warns of what this machine lacks: processors, memory to pin.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_is_torch_fidelitys_own(weights):
    torch = pytest.importorskip("torch")
    torch_fidelity = pytest.importorskip("torch_fidelity")

    class Images(torch.utils.data.Dataset):
        def __init__(self, images):
            self.images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

        def __len__(self):
            return len(self.images)

        def __getitem__(self, i):
            return self.images[i]

    a, b = pictures(0), pictures(1) // 2
    expected = torch_fidelity.calculate_metrics(
        input1=Images(a),
        input2=Images(b),
        fid=True,
        cuda=False,
        verbose=False,
        cache=False,
        feature_extractor_weights_path=str(weights),
    )["frechet_inception_distance"]
    features = inception.load_features(weights)
    found = inception.frechet_inception_distance(a, b, features)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    same = inception.frechet_inception_distance(a, a, features)
    assert abs(same) < 1e-3 * found


def test_another_file_is_refused_in_one_line(weights, tmp_path):
    for content in (b"", b"no weights", b"\x80\x02cposix\nsystem\n."):
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        with pytest.raises(inception.InceptionError, match="does not hold") as caught:
            inception.load_features(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(inception.InceptionError, match="does not hold"):
        inception.load_features(tmp_path)


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    importing = builtins.__import__

    def absent(name, *rest, **options):
        if name.startswith("torch"):
            raise ImportError(name)
        return importing(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(inception.InceptionError, match=r"pip install .*\[fid\]"):
        inception.load_features(tmp_path)
