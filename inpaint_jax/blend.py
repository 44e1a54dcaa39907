"""Blending of the generated pixels into the image (Yeh et al., 2017, section 3.3)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg


class Blend(NamedTuple):
    """A blended image and how well its equations are solved."""

    image: jax.Array
    """``[H, W, C]`` the completed image; not clipped to [-1, 1]."""
    residual: jax.Array
    """``[]`` ||b - A u|| / ||b|| of the linear system, 0 where b is 0."""


def overlay(image: jax.Array, generated: jax.Array, mask: jax.Array) -> jax.Array:
    """Pastes the known pixels over the generated image.

    Args:
      image: ``[H, W, C]`` y; what it holds where missing does not matter.
      generated: ``[H, W, C]`` G(z).
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Returns:
      ``[H, W, C]``: ``image`` bit for bit where known, ``generated`` elsewhere.
    """
    return jnp.where(_known(mask), image, generated)


def blend(
    image: jax.Array,
    generated: jax.Array,
    mask: jax.Array,
    *,
    tolerance: float = 1e-6,
    max_iterations: int | None = None,
) -> Blend:
    r"""Poisson blending: the generated gradients, shifted to meet the known pixels.

    .. math::

      \hat{x} = \arg\min_x \| \nabla x - \nabla G \|_2^2
      \quad \text{s.t. } x_i = y_i \text{ for } M_i = 1

    (eq. 6), with the gradient between 4-neighbours inside the image. Beyond the border
    there are no pixels to fit (a natural, or Neumann, boundary).

    The unknown is the correction ``u = x - G``. It is ``y - G`` where known, and
    harmonic in the hole: ``d_i u_i - sum_j u_j = 0`` over the ``d_i`` neighbours
    ``j`` of ``i``. It is found by conjugate gradient on the hole's pixels, all
    channels at once, preconditioned by the inverse of the whole image's Laplacian
    (``_preconditioner``).

    With nothing known the result is ``generated``; with nothing missing it is
    ``image``.

    Args:
      image: ``[H, W, C]`` y, in [-1, 1] where known; what it holds where missing, NaN
        included, does not matter.
      generated: ``[H, W, C]`` G(z), in [-1, 1].
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.
      tolerance: Stop when the residual has fallen to this share of ``||b||``. 1e-6 puts
        the image within 2e-5 of the exact one for every 64x64 mask tried; in float32
        the residual *returned* stops falling at about 1e-4 where a large hole meets
        few known pixels.
      max_iterations: Limit on the iterations. The default, ``4 * (H + W)``, is
        three times what the worst hole known needs at 64x64 (all but two pixels in a
        corner: 80 to 150; the centre needs 14, random 80 % 19).

    Returns:
      The ``Blend``; its image equals ``image`` bit for bit where known.

    References:
      Perez et al., Poisson image editing, ACM TOG, 2003
    """
    height, width, _ = image.shape
    if max_iterations is None:
        max_iterations = 4 * (height + width)
    # Inside, channels come first: the preconditioner multiplies rows and columns.
    known = _known(mask)[..., 0]
    correction = overlay(image, generated, mask) - generated  # 0 in the hole.
    dtype = np.promote_types(correction.dtype, np.float32)
    degree = _sum_of_neighbours(jnp.ones((1, height, width), dtype))

    def in_hole(values: jax.Array) -> jax.Array:
        return jnp.where(known[None], 0, values)

    # Masked on both sides, and so symmetric; on the known pixels, where the vectors are
    # zero and stay zero, it is zero as well.
    def laplacian(u: jax.Array) -> jax.Array:
        u = in_hole(u)
        return in_hole(degree * u - _sum_of_neighbours(u))

    invert = _preconditioner(known)

    def precondition(r: jax.Array) -> jax.Array:
        return in_hole(invert(in_hole(r)))

    b = in_hole(_sum_of_neighbours(jnp.moveaxis(correction, -1, 0))).astype(dtype)
    # atol is far below what float32 images can show, and far above where squares
    # underflow.
    u, _ = cg(
        laplacian,
        b,
        tol=tolerance,
        atol=1e-12,
        maxiter=max_iterations,
        M=precondition,
    )
    scale = jnp.linalg.norm(b.ravel())
    residual = jnp.linalg.norm((b - laplacian(u)).ravel()) / jnp.where(
        scale > 0, scale, 1
    )
    u = jnp.moveaxis(u, 0, -1).astype(generated.dtype)
    blended = overlay(image, generated + u, mask)
    return Blend(blended, residual)


def blend_batch(
    images: jax.Array, generated: jax.Array, masks: jax.Array, *, group: int = 64
) -> Blend:
    """``blend`` for ``[B, H, W, C]`` images and ``[B, H, W, 1]`` masks.

    Args:
      images: ``[B, H, W, C]``, each as ``blend`` takes it.
      generated: ``[B, H, W, C]``, likewise.
      masks: ``[B, H, W, 1]``, likewise.
      group: Number of images that are solved at once. Every iteration passes over all
        vectors of a group: 64 images of 64x64 stay in a CPU's cache; with 256 each
        image takes twice as long.

    Returns:
      The ``Blend`` of every image, ``[B, ...]``.
    """
    return jax.lax.map(
        lambda problem: blend(*problem), (images, generated, masks), batch_size=group
    )


def _preconditioner(known: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """An approximate inverse of the hole's Laplacian: that of the whole image.

    With natural boundaries the image's own Laplacian is diagonal in the discrete cosine
    basis, so its inverse is four products with small matrices. It misses that the
    solution is zero on known pixels, which matters over a distance of the hole's width;
    a constant that is added to the Laplacian makes its inverse decay over just that
    distance.

    Args:
      known: ``[H, W]`` bool.

    Returns:
      A symmetric, positive definite map of ``[C, H, W]``.
    """
    height, width = known.shape
    hole = ~known
    # The number of edges between the hole and the known pixels, over the hole's area,
    # is about 1 / its width.
    edges = jnp.where(hole, _sum_of_neighbours(known.astype(jnp.float32)), 0).sum()
    area = hole.sum().astype(edges.dtype)
    decay = (edges / jnp.maximum(area, 1)) ** 2
    # Where most pixels have a known neighbour, more than 0.5 would overshoot; without
    # any known pixel, 0 would divide by zero.
    decay = jnp.clip(decay, 1e-6, 0.5)
    of_rows, row_values = _cosine_basis(height)
    of_columns, column_values = _cosine_basis(width)
    scale = 1 / (row_values[:, None] + column_values[None] + decay)

    def transform(x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
        # One axis at a time, always the last: a plain product of the whole batch.
        for basis in (columns, rows):
            x = jnp.matmul(x, basis, precision="highest").swapaxes(-1, -2)
        return x

    def invert(r: jax.Array) -> jax.Array:
        return transform(
            transform(r, of_rows.T, of_columns.T) * scale[None], of_rows, of_columns
        )

    return invert


def _cosine_basis(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal eigenvectors of a path's Laplacian, as rows, and the eigenvalues."""
    frequency = np.arange(size)[:, None]
    basis = np.cos(np.pi * frequency * (np.arange(size) + 0.5) / size)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    values = 2 - 2 * np.cos(np.pi * np.arange(size) / size)
    return basis.astype(np.float32), values.astype(np.float32)


def _known(mask: jax.Array) -> jax.Array:
    return mask > 0.5


def _sum_of_neighbours(values: jax.Array) -> jax.Array:
    """``[..., H, W]`` sums over the four neighbours that lie inside the image."""
    nothing = ((0, 0),) * (values.ndim - 2)
    padded = jnp.pad(values, (*nothing, (1, 1), (1, 1)))
    vertical = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return vertical + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
