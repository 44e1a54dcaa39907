"""The DCGANs of ``pytorch/examples``, with weights such as training leaves."""

import itertools

import torch
from torch import nn

L, WIDTH = 10, 6


class Sequential(nn.Module):
    """As in pytorch/examples: layers in ``main``."""

    def __init__(self, *layers):
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x):
        return self.main(x)


def generator(size=32, width=WIDTH):
    doublings = (size // 4).bit_length() - 1
    channels = [width * 2**i for i in reversed(range(doublings))]
    layers = [nn.ConvTranspose2d(L, channels[0], 4, 1, 0, bias=False)]
    for this, following in zip(channels, [*channels[1:], 3], strict=True):
        layers += [nn.BatchNorm2d(this), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(this, following, 4, 2, 1, bias=False)]
    return trained(Sequential(*layers, nn.Tanh()))


def discriminator(size=32, width=WIDTH):
    halvings = (size // 4).bit_length() - 1
    channels = [width * 2**i for i in range(halvings)]
    layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for this, following in itertools.pairwise(channels):
        layers += [nn.Conv2d(this, following, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(following), nn.LeakyReLU(0.2)]
    last = nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False)
    return trained(Sequential(*layers, last, nn.Sigmoid()))


def trained(network):
    """Weights and statistics such as training might leave."""
    random = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.2 + torch.rand(value.shape, generator=random))
        elif value.ndim == 1:
            value.copy_(0.5 + 0.2 * torch.randn(value.shape, generator=random))
        elif value.ndim == 4:
            value.copy_(0.1 * torch.randn(value.shape, generator=random))
    return network.eval()
