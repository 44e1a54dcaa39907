"""Import of DCGANs trained with PyTorch: ``pytorch/examples`` and the same form.

The generator maps a Gaussian latent ``[L, 1, 1]`` to 4x4 pixels, which 4x4 transposed
convolutions of stride 2 and padding 1 double in size. The discriminator halves an image
with 4x4 convolutions and ends in one logit. BatchNorm and activations are as in this
library's networks, which can therefore run the weights, at their usual speed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from inpaint_jax.configs import Architecture
from inpaint_jax.latents import LatentSpace, Normal
from inpaint_jax.networks.variables import (
    GRID,
    NORM,
    Variables,
    convolution_name,
    dense_name,
    norm_name,
)
from inpaint_jax.pretrained import Parts, make_model
from inpaint_jax.pretrained.files import ModelError
from inpaint_jax.types import Model

_Tensors = Mapping[str, np.ndarray]


def load_torch_dcgan(
    generator: str | Path,
    discriminator: str | Path | None = None,
    *,
    latents: LatentSpace | None = None,
    precision: str = "float32",
) -> Model:
    """A PyTorch DCGAN as a model to search.

    Args:
      generator: File with the generator's ``state_dict``, as safetensors or as written
        by ``torch.save`` (PyTorch must be installed; only tensors are unpickled).
      discriminator: File with the discriminator's ``state_dict``; None: the search has
        no adversarial prior loss.
      latents: The latent space that the generator was trained with; N(0, I) when left
        out.
      precision: As for ``load_model``.

    Raises:
      ModelError: A file cannot be read, or holds another kind of network.
    """
    parts = read_torch_dcgan(generator, discriminator, latents=latents)
    return make_model(parts, precision=precision)


def read_torch_dcgan(
    generator: str | Path,
    discriminator: str | Path | None = None,
    *,
    latents: LatentSpace | None = None,
) -> Parts:
    """The variables of a PyTorch DCGAN, which ``save_model`` can write to a model file.

    Args:
      generator: As for ``load_torch_dcgan``.
      discriminator: As for ``load_torch_dcgan``.
      latents: As for ``load_torch_dcgan``.

    Raises:
      ModelError: A file cannot be read, or holds another kind of network.
    """
    variables, architecture = _generator(_read(Path(generator)), Path(generator))
    judge: Variables = {}
    if discriminator is not None:
        path = Path(discriminator)
        judge = _discriminator(_read(path), path, architecture)
    return Parts(
        Path(generator).stem,
        architecture,
        variables,
        judge,
        latents=latents or Normal(architecture.latent_size),
        metadata={"crop": "center", "source": "a DCGAN trained with PyTorch"},
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, float32."""
    path = path.expanduser()
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        found = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError, ValueError):
        found = _read_pickle(path)
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            f"{path} is no safetensors file; to read what torch.save wrote, install "
            "PyTorch"
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Unpickling other files can raise any error.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else error
        raise ModelError(f"{path} holds no PyTorch weights: {reason}") from error
    if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
        raise ModelError(f"{path} holds no state_dict: save net.state_dict()")
    return {name: value.float().numpy() for name, value in found.items()}


def _layers(tensors: _Tensors, path: Path) -> tuple[list[np.ndarray], list[_Tensors]]:
    """Kernels of the convolutions and tensors of the BatchNorms, in order of layers."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        group, _, field = name.rpartition(".")
        groups.setdefault(group, {})[field] = value

    def order(group: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", group)]

    ordered = [groups[group] for group in sorted(groups, key=order)]
    kernels = [g["weight"] for g in ordered if g.get("weight", np.zeros(0)).ndim == 4]
    norms: list[_Tensors] = [g for g in ordered if "running_var" in g]
    if any("bias" in g for g in ordered if "running_var" not in g):
        raise ModelError(f"{path}: convolutions with a bias are not of this form")
    if not kernels or any(kernel.shape[2:] != (4, 4) for kernel in kernels):
        raise ModelError(f"{path} holds no DCGAN of 4x4 convolutions")
    return kernels, norms


def _generator(tensors: _Tensors, path: Path) -> tuple[Variables, Architecture]:
    kernels, norms = _layers(tensors, path)
    first, *inner = kernels
    size, width = 2 ** len(inner) * GRID, inner[-1].shape[0] if inner else 0
    expected = [width * 2**i for i in reversed(range(len(inner)))]
    channels = [kernel.shape[0] for kernel in inner]
    if (
        channels != expected
        or first.shape[1] != channels[0]
        or inner[-1].shape[1] != 3
        or len(norms) != len(inner)
    ):
        raise ModelError(
            f"{path} holds no DCGAN generator: its layers have {channels} channels"
        )
    try:
        architecture = Architecture(first.shape[0], width, size)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    # PyTorch flips the kernel of a transposed convolution, this library does not.
    params: dict[str, Any] = {
        dense_name(0): {"kernel": first.transpose(0, 2, 3, 1).reshape(len(first), -1)}
    }
    for i, kernel in enumerate(inner):
        turned = kernel[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        params[convolution_name(i)] = {"kernel": turned}
    params[convolution_name(len(inner) - 1)]["bias"] = np.zeros(3, np.float32)
    return _variables(params, norms), architecture


def _discriminator(
    tensors: _Tensors, path: Path, architecture: Architecture
) -> Variables:
    kernels, norms = _layers(tensors, path)
    *inner, last = kernels
    width, size = inner[0].shape[0] if inner else 0, 2 ** len(inner) * GRID
    channels = [kernel.shape[0] for kernel in inner]
    expected = [width * 2**i for i in range(len(inner))]
    if channels != expected or last.shape[0] != 1 or len(norms) != len(inner) - 1:
        raise ModelError(
            f"{path} holds no DCGAN discriminator: its layers have {channels} channels"
        )
    if size != architecture.image_size:
        raise ModelError(
            f"{path} is for images of {size} pixels, the generator for "
            f"{architecture.image_size}"
        )
    params: dict[str, Any] = {
        convolution_name(i): {"kernel": kernel.transpose(2, 3, 1, 0)}
        for i, kernel in enumerate(inner)
    }
    params[convolution_name(0)]["bias"] = np.zeros(width, np.float32)
    # One logit equals two, (fake, real), of which the first is 0.
    real = last[0].transpose(1, 2, 0).reshape(-1)
    kernel = np.stack([np.zeros_like(real), real], 1)
    params[dense_name(0)] = {"kernel": kernel, "bias": np.zeros(2, np.float32)}
    return _variables(params, norms)


def _variables(params: dict[str, Any], norms: list[_Tensors]) -> Variables:
    """Parameters and statistics in the layout of this library's networks."""
    statistics = {}
    for i, norm in enumerate(norms):
        params[norm_name(i)] = {NORM: {"scale": norm["weight"], "bias": norm["bias"]}}
        statistics[norm_name(i)] = {
            NORM: {"mean": norm["running_mean"], "var": norm["running_var"]}
        }
    nested: Any = {"params": params, "batch_stats": statistics}
    return _to_jax(nested)


def _to_jax(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _to_jax(value) for name, value in tree.items()}
    return jnp.asarray(np.ascontiguousarray(tree))
