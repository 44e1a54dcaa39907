import pytest

from inpaint_jax.configs import Architecture, SearchConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"prior_weight": -1.0},
        {"prior_weight": float("nan")},
        {"window": 6},
        {"window": 0},
        {"schedule": "linear"},
        {"beta1": 1.0},
        {"beta1": -0.1},
        {"prior_every": 0},
        {"starts": 0},
    ],
)
def test_search_config_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SearchConfig(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"image_size": 48}, {"image_size": 8}, {"width": 0}, {"latent_size": 0}]
)
def test_architecture_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Architecture(**wrong)
