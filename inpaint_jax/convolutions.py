"""The two stride-2 convolutions of a DCGAN, in the forms a CPU runs fast.

XLA's CPU back end is an order of magnitude slower on *dilated* convolutions
(``lhs_dilation``) than on plain ones. A transposed convolution is one, and so is
the input gradient that autodiff derives for a strided convolution. Both are the
same linear map, written here as four small stride-1 convolutions: output pixel
``2m + p`` only ever meets the kernel taps of its own parity ``p``, so each of the
four parities is an ordinary convolution of the small image, and the four results
interleave. All 25 taps are used once and none is wasted.

``upsample`` and ``downsample`` are each other's transpose up to a flip of the
kernel, which closes the set: the input gradient of either is a call of the other.

Kernels keep the ordinary HWIO layout, ``[5, 5, inputs, outputs]``, and both
functions agree with ``lax.conv_transpose`` and ``lax.conv_general_dilated`` with
``padding="SAME"``.
"""

import jax
import jax.numpy as jnp
from jax import lax

KERNEL_SIZE = 5
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_Pair = tuple[jax.Array, jax.Array]  # Image and kernel, or their gradients.
_Forward = tuple[jax.Array, _Pair]


@jax.custom_vjp
def downsample(image: jax.Array, kernel: jax.Array) -> jax.Array:
    """5x5 convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[B, H, W, C]``, ``H`` and ``W`` even.
      kernel: ``[5, 5, C, N]``.

    Returns:
      ``[B, H/2, W/2, N]``; equal to ``lax.conv_general_dilated(image, kernel,
      (2, 2), "SAME")``.
    """
    return _strided(image, kernel)


@jax.custom_vjp
def upsample(image: jax.Array, kernel: jax.Array) -> jax.Array:
    """5x5 transposed convolution with stride 2 and ``SAME`` padding.

    Args:
      image: ``[B, H, W, C]``.
      kernel: ``[5, 5, C, N]``.

    Returns:
      ``[B, 2H, 2W, N]``; equal to ``lax.conv_transpose(image, kernel, (2, 2),
      "SAME")``.
    """
    return _interleaved(image, kernel)


def _strided(image: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
    )


def _interleaved(image: jax.Array, kernel: jax.Array) -> jax.Array:
    """The transposed convolution as four stride-1 convolutions, interleaved."""
    batch, height, width, _ = image.shape
    # Even output pixels 2m see inputs (m-1, m) through taps (1, 3); odd ones,
    # 2m+1, see (m-1, m, m+1) through taps (0, 2, 4).
    parities = ((slice(1, None, 2), (1, 0)), (slice(0, None, 2), (1, 1)))
    rows = [
        jnp.stack(
            [
                lax.conv_general_dilated(
                    image,
                    kernel[row_taps, column_taps],
                    (1, 1),
                    (row_padding, column_padding),
                    dimension_numbers=_DIMENSIONS,
                )
                for column_taps, column_padding in parities
            ],
            axis=3,
        )
        for row_taps, row_padding in parities
    ]
    phases = jnp.stack(rows, axis=2)  # [B, H, 2, W, 2, N]
    return phases.reshape(batch, 2 * height, 2 * width, kernel.shape[-1])


def _kernel_gradient(large: jax.Array, small: jax.Array) -> jax.Array:
    """The gradient of ``<small, downsample(large, kernel)>`` in the kernel.

    XLA's own form (the small image as a dilated kernel slid over the large one)
    measures as fast as any product of shifted matrices here, so autodiff's it is.
    """
    shape = (KERNEL_SIZE, KERNEL_SIZE, large.shape[-1], small.shape[-1])
    zeros = jnp.zeros(shape, large.dtype)
    (gradient,) = jax.linear_transpose(lambda k: _strided(large, k), zeros)(small)
    return gradient


def _transposed(kernel: jax.Array) -> jax.Array:
    """Flipped in space, inputs and outputs exchanged."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _downsample_forward(image: jax.Array, kernel: jax.Array) -> _Forward:
    return _strided(image, kernel), (image, kernel)


def _downsample_backward(residuals: _Pair, cotangent: jax.Array) -> _Pair:
    image, kernel = residuals
    return (
        upsample(cotangent, _transposed(kernel)),
        _kernel_gradient(image, cotangent),
    )


def _upsample_forward(image: jax.Array, kernel: jax.Array) -> _Forward:
    return _interleaved(image, kernel), (image, kernel)


def _upsample_backward(residuals: _Pair, cotangent: jax.Array) -> _Pair:
    image, kernel = residuals
    return (
        downsample(cotangent, _transposed(kernel)),
        _transposed(_kernel_gradient(cotangent, image)),
    )


downsample.defvjp(_downsample_forward, _downsample_backward)
upsample.defvjp(_upsample_forward, _upsample_backward)
