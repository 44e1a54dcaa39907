"""The same networks in PyTorch, with this project's weights."""

from collections.abc import Sequence

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.tutorial import kernels_of, norm_of
from inpaint_jax.networks.variables import GRID, NORM_EPSILON, SLOPE, Variables
from inpaint_jax.pretrained import Parts


def to_torch(images: jax.Array | np.ndarray) -> Tensor:
    """``[B, H, W, C]`` in PyTorch's layout ``[B, C, H, W]``, turned by 180 degrees.

    PyTorch pads a 5x5 stride-2 layer by 2 on either side, ``SAME`` by 1 and 2. With
    images and kernels turned around the layers agree, and PyTorch needs no extra
    cropping or padding.
    """
    turned = np.asarray(images)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(turned))


class TorchGenerator(nn.Module):
    """``networks.Generator`` in PyTorch; images turned by 180 degrees."""

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        kernels = kernels_of(variables)
        self.dense = _dense(variables, kernels)
        self.norms = nn.ModuleList(
            _batch_norm(variables, i) for i in range(len(kernels))
        )
        self.layers = nn.ModuleList(_upward(variables, kernels))

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).reshape(len(z), -1, GRID, GRID)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(functional.relu(norm(x)))
        return torch.tanh(x)


class TorchDecoder(nn.Module):
    """``networks.autoencoder.Decoder`` in PyTorch; images turned by 180 degrees.

    Its latents are standard normal, as those that are searched.
    """

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        params, prior = variables["params"], variables["prior"]
        kernels = kernels_of(variables)
        # A buffer is not trained.
        for name, value in (
            ("center", torch.from_numpy(np.array(prior["mean"]))),
            ("factor", torch.from_numpy(np.array(prior["factor"]))),
            ("mean", to_torch(params["mean"][None])[0]),
            ("components", to_torch(params["components"])),
        ):
            self.register_buffer(name, value)
        self.dense = _dense(variables, kernels)
        self.norms = nn.ModuleList(
            _batch_norm(variables, i) for i in range(len(kernels))
        )
        self.layers = nn.ModuleList(_upward(variables, kernels))

    def forward(self, z: Tensor) -> Tensor:
        codes = self.center + z @ self.factor.T
        coarse = self.mean + torch.tensordot(codes, self.components, 1)
        x = self.dense(codes).reshape(len(z), -1, GRID, GRID)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = functional.leaky_relu(norm(x), SLOPE)
            if x.shape[-1] == coarse.shape[-1]:
                x = torch.cat([x, coarse], 1)
            x = layer(x)
        large = functional.interpolate(coarse, size=x.shape[-2:], mode="bilinear")
        return (large + x).clamp(-1, 1)


class TorchDiscriminator(nn.Module):
    """``networks.Discriminator`` in PyTorch; images turned by 180 degrees."""

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        params = variables["params"]
        self.layers = nn.ModuleList()
        kernels = kernels_of(variables)
        for i, kernel in enumerate(kernels):
            inputs, outputs = kernel.shape[2:]
            layer = nn.Conv2d(inputs, outputs, 5, 2, padding=2, bias=i == 0)
            _set(layer.weight, kernel[::-1, ::-1].transpose(3, 2, 0, 1))
            if i == 0:
                _set(layer.bias, params["_Convolution_0"]["bias"])
            self.layers.append(layer)
        self.norms = nn.ModuleList(
            _batch_norm(variables, i) for i in range(len(kernels) - 1)
        )
        dense = np.asarray(params["Dense_0"]["kernel"])
        grid = dense.reshape(GRID, GRID, -1, 2)[::-1, ::-1].transpose(3, 2, 0, 1)
        self.dense = nn.Linear(len(dense), 2)
        _set(self.dense.weight, grid.reshape(2, -1))
        _set(self.dense.bias, params["Dense_0"]["bias"])

    def forward(self, image: Tensor) -> Tensor:
        x = functional.leaky_relu(self.layers[0](image), SLOPE)
        for norm, layer in zip(self.norms, self.layers[1:], strict=True):
            x = functional.leaky_relu(norm(layer(x)), SLOPE)
        return self.dense(x.flatten(1))


def networks(parts: Parts, *, critic: bool) -> tuple[nn.Module, nn.Module | None]:
    """Generator and, if wanted, discriminator of a model, as they are searched."""
    if parts.kind == "autoencoder":
        return TorchDecoder(parts.generator), None
    judge = TorchDiscriminator(parts.discriminator) if critic else None
    return TorchGenerator(parts.generator), judge


def _dense(variables: Variables, kernels: Sequence[jax.Array]) -> nn.Linear:
    """The first layer. It gives [4, 4, C]; PyTorch wants [C, 4, 4], turned."""
    channels = kernels[0].shape[2]
    dense = np.asarray(variables["params"]["Dense_0"]["kernel"])
    length = len(dense)
    layer = nn.Linear(length, GRID**2 * channels, bias=False)
    grid = dense.reshape(-1, GRID, GRID, channels)[:, ::-1, ::-1]
    _set(layer.weight, grid.transpose(3, 1, 2, 0).reshape(-1, length))
    return layer


def _upward(variables: Variables, kernels: Sequence[jax.Array]) -> list[nn.Module]:
    """The transposed convolutions, of which the last has a bias."""
    layers: list[nn.Module] = []
    for i, kernel in enumerate(kernels):
        last = i == len(kernels) - 1
        inputs, outputs = kernel.shape[2:]
        layer = nn.ConvTranspose2d(
            inputs, outputs, 5, 2, padding=2, output_padding=1, bias=last
        )
        _set(layer.weight, kernel.transpose(2, 3, 0, 1))
        if last:
            _set(layer.bias, variables["params"][f"_Convolution_{i}"]["bias"])
        layers.append(layer)
    return layers


def _batch_norm(variables: Variables, layer: int) -> nn.BatchNorm2d:
    values = norm_of(variables, layer)
    norm = nn.BatchNorm2d(values[0].size, eps=NORM_EPSILON)
    targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for target, value in zip(targets, values, strict=True):
        _set(target, value)
    return norm


def _set(target: Tensor | None, value: jax.Array | np.ndarray) -> None:
    assert target is not None  # None is the bias of a layer made without one.
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.array(value)))
