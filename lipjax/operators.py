"""Operator norms of linear layers: of the map between spaces, never of a flattened kernel.

A concrete kernel is worked on in float64 by NumPy, without compiling anything; a traced one (inside `jit` or `grad`) in
its own dtype by JAX, differentiably, by `gram`, `power` and the closed forms. What the methods for the l2 norm return:

    method   side                        how
    exact    the norm                    largest singular value of the whole matrix; refused when that is too large
    gram     upper bound, from above     Gram iteration of the matrix at every frequency of the enclosing torus
    power    lower bound, from below     power iteration; attained by a vector
    fft      the norm, or upper bound    largest singular value over the frequencies of the enclosing torus

A new method is one more subclass of `Method`.

A circular convolution is block-diagonal over frequencies, so there the torus is the input itself and `fft` is exact (a
stride that does not divide the input is dropped: an upper bound). With zeros around the input, the convolution is a
circular one on a torus just large enough not to wrap, restricted to inputs that vanish outside of the image and to some
of the outputs: its norm is at most that of the torus.
"""

import functools
import math
import types
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from lipjax import checks
from lipjax.norms import Norm, l1, l2, linf
from lipjax.types import Scalar
from lipjax.values import Value, count

Kernel: TypeAlias = Float[Array | np.ndarray, "..."]
Blocks: TypeAlias = Inexact[Array | np.ndarray, "*frequencies rows columns"]
Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]

_LARGEST_SIDE = 4096
_LARGEST_MATRIX = 2**26


class _Axis(NamedTuple):
    """One spatial axis of a convolution: output i reads, for tap a, input `i * stride + a * dilation - low`."""

    size: int
    taps: int
    stride: int
    dilation: int
    low: int
    high: int
    wraps: bool

    @property
    def out(self) -> int:
        reach = (self.taps - 1) * self.dilation + 1
        return max((self.size + self.low + self.high - reach) // self.stride + 1, 0)

    def placement(self) -> np.ndarray:
        """`[taps, out, size]`: 1 where the tap of an output reads that input."""
        taps, outs = np.arange(self.taps)[:, None, None], np.arange(self.out)[:, None]
        position = outs * self.stride + taps * self.dilation - self.low
        position = position % self.size if self.wraps else position
        return (position == np.arange(self.size)).astype(float)

    def torus(self) -> tuple[int, int]:
        """Length and stride of a circular convolution of which this one is a part."""
        if self.wraps:
            return self.size, self.stride if self.size % self.stride == 0 else 1
        length = max(self.size + max(self.low, self.high, 0), (self.out - 1) * self.stride + 1)
        return -(-length // self.stride) * self.stride, self.stride

    def waves(self) -> np.ndarray:
        """`[length, taps]`: the discrete Fourier transform of the taps on the torus."""
        length, _ = self.torus()
        phase = np.outer(np.arange(length), np.arange(self.taps) * self.dilation) % length
        return np.exp(-2j * np.pi * phase / length)


def _padding(name: Padding, sizes: Sequence[int], reaches: Sequence[int], strides: Sequence[int]) -> list[Any]:
    """Zeros (or wrapped entries) before and after every axis, in flax's and XLA's convention."""
    if not isinstance(name, str):
        pairs = [name] * len(sizes) if isinstance(name, int) else name
        return [np.broadcast_to(pair, 2).tolist() for pair in pairs]
    checks.one_of("padding", name, ["SAME", "VALID", "CIRCULAR"])
    totals = {
        "SAME": [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, reaches, strides, strict=True)],
        "VALID": [0] * len(sizes),
        "CIRCULAR": [k - 1 for k in reaches],
    }[name]
    return [(total // 2, total - total // 2) for total in totals]


def _axes(kernel: Kernel, input_shape: Sequence[int], strides: Any, padding: Padding, dilation: Any) -> list[_Axis]:
    sizes, taps = input_shape[:-1], kernel.shape[:-2]
    checks.positive(strides=np.array(strides), dilation=np.array(dilation))
    if len(sizes) != len(taps):
        raise ValueError(f"input_shape must have {len(taps) + 1} axes for this kernel, got {tuple(input_shape)}")
    strides, dilation = (np.broadcast_to(v, len(taps)).tolist() for v in (strides, dilation))
    reaches = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    pads = _padding(padding, sizes, reaches, strides)
    wraps = padding == "CIRCULAR"
    axes = [
        _Axis(size, k, stride, distance, low, high, wraps)
        for size, k, stride, distance, (low, high) in zip(sizes, taps, strides, dilation, pads, strict=True)
    ]
    if any(axis.out < 1 for axis in axes):
        raise ValueError(f"the kernel's window does not fit into the padded input {tuple(input_shape)}")
    return axes


def _library(kernel: Kernel) -> types.ModuleType:
    return jnp if isinstance(kernel, jax.core.Tracer) else np


def _matrix(kernel: Kernel, axes: Sequence[_Axis]) -> Kernel:
    """The convolution as a matrix `[outputs, inputs]`."""
    library = _library(kernel)
    matrix = library.moveaxis(kernel, -1, -2)
    for axis in reversed(axes):
        blocks = library.einsum("...aoi,axs->...xosi", matrix, axis.placement(), optimize=True)
        *lead, out, features_out, size, features_in = blocks.shape
        matrix = blocks.reshape(*lead, out * features_out, size * features_in)
    return matrix


def _blocks(kernel: Kernel, axes: Sequence[_Axis]) -> Blocks:
    """The torus convolution in Fourier space, `[frequencies, features out, aliases * features in]`.

    A stride folds the frequencies that it can't tell apart onto one output frequency: their blocks stand side by side.
    """
    library, count = _library(kernel), len(axes)
    taps, waves = "abc"[:count], "xyz"[:count]
    terms = [wave + tap for wave, tap in zip(waves, taps, strict=True)]
    formula = f"{','.join([taps + 'io', *terms])}->{waves}oi"
    symbol = library.einsum(formula, kernel, *[axis.waves() for axis in axes], optimize=True)
    toruses = [axis.torus() for axis in axes]
    folded = symbol.reshape(*[n for length, s in toruses for n in (s, length // s)], *symbol.shape[-2:])
    # The kernel is real: blocks at opposite frequencies are conjugate, so half of the last axis has all the norms.
    folded = folded[(..., slice(toruses[-1][0] // toruses[-1][1] // 2 + 1), *[slice(None)] * 2)] if count else folded
    aliases, frequencies = range(0, 2 * count, 2), range(1, 2 * count, 2)
    folded = folded.transpose(*frequencies, 2 * count, *aliases, 2 * count + 1)
    copies = math.prod(stride for _, stride in toruses)
    return folded.reshape(-1, symbol.shape[-2], copies * symbol.shape[-1]) / math.sqrt(copies)


def _gram_matrices(blocks: Blocks) -> Inexact[Array | np.ndarray, "*frequencies side side"]:
    adjoint = blocks.conj().swapaxes(-1, -2)
    return blocks @ adjoint if blocks.shape[-2] <= blocks.shape[-1] else adjoint @ blocks


class Method(Value):
    """How the l2 norm of a convolution is found.

    Examples:
        >>> kernel = np.ones((3, 3, 1, 1))
        >>> below, norm, above = (conv_norm(kernel, (8, 8, 1), method=way) for way in (power(5), exact(), gram(3)))
        >>> below < norm < above
        True
    """

    needs_values: ClassVar[bool] = False  # whether it refuses kernels that are traced

    def measure(self, kernel: Kernel, axes: Sequence[_Axis]) -> Any:
        """The norm, or a bound of it."""
        raise NotImplementedError


class exact(Method):
    """The largest singular value of the whole matrix.

    Examples:
        >>> conv_norm(np.ones((2, 1, 1)), (3, 1), padding="VALID", method=exact())  # of [[1, 1, 0], [0, 1, 1]]
        1.7320508075688772
    """

    needs_values = True

    def measure(self, kernel: Kernel, axes: Sequence[_Axis]) -> Any:
        rows = math.prod(axis.out for axis in axes) * kernel.shape[-1]
        columns = math.prod(axis.size for axis in axes) * kernel.shape[-2]
        if min(rows, columns) > _LARGEST_SIDE or rows * columns > _LARGEST_MATRIX:
            raise ValueError(
                f"the matrix of this layer is {rows} x {columns}: too large for method exact() (at most "
                f"{_LARGEST_SIDE} on the smaller side and {_LARGEST_MATRIX} entries); gram() bounds it from above"
            )
        return np.sqrt(np.linalg.eigvalsh(_gram_matrices(_matrix(kernel, axes)))[-1])


class gram(Method):
    """Gram iteration at every frequency of the torus: from above, and never away with more steps."""

    num_steps: int = count(default=12)

    def measure(self, kernel: Kernel, axes: Sequence[_Axis]) -> Any:
        library = _library(kernel)
        matrix = _gram_matrices(_blocks(kernel, axes))
        scales = []
        for _ in range(self.num_steps - 1):
            scales.append(_frobenius(library, matrix))
            matrix = matrix / scales[-1]
            matrix = matrix @ matrix
        rows = library.max(library.sum(library.abs(matrix), -1, keepdims=True), -2, keepdims=True)
        largest = library.minimum(_frobenius(library, matrix), library.where(rows == 0.0, 1.0, rows))
        # Each Gram product of side n may lose n * n roundings of the largest singular value; the roots shrink them.
        rounding = 1.0 + 4.0 * matrix.shape[-1] ** 2 * float(library.finfo(matrix.dtype).eps)
        for scale in reversed(scales):
            largest = scale * library.sqrt(largest)
        return rounding * library.max(library.where(rows == 0.0, 0.0, library.sqrt(largest)))


class power(Method):
    """Power iteration: from below, and never away with more steps."""

    num_steps: int = count(default=100)

    def measure(self, kernel: Kernel, axes: Sequence[_Axis]) -> Any:
        library = _library(kernel)
        placements = [axis.placement() for axis in axes]
        adjoint, flipped = kernel.swapaxes(-1, -2), [placement.swapaxes(1, 2) for placement in placements]

        def step(x: Kernel) -> Kernel:
            x = _convolve(adjoint, flipped, _convolve(kernel, placements, x))
            length = library.linalg.norm(x.ravel())
            return x / library.where(length == 0.0, 1.0, length)

        shape = (*[axis.size for axis in axes], kernel.shape[-2])
        start = np.random.default_rng(0).normal(size=shape)
        x = library.asarray(start / np.linalg.norm(start), dtype=kernel.dtype)
        if library is jnp:
            x = jax.lax.fori_loop(0, self.num_steps, lambda _, x: step(x), x)
        else:
            x = functools.reduce(lambda x, _: step(x), range(self.num_steps), x)
        return library.linalg.norm(_convolve(kernel, placements, x).ravel())


class fft(Method):
    """The largest singular value over the frequencies of the torus.

    Examples:
        >>> conv_norm(np.ones((2, 1, 1)), (3, 1), padding="CIRCULAR", method=fft())  # |1 + e^(i t)| at t = 0
        2.0
    """

    needs_values = True

    def measure(self, kernel: Kernel, axes: Sequence[_Axis]) -> Any:
        return np.sqrt(np.linalg.eigvalsh(_gram_matrices(_blocks(kernel, axes))).max())


def _frobenius(library: types.ModuleType, gram: Blocks) -> Any:
    """The Frobenius norm of each matrix, differentiable; 1 for zeros."""
    squares = library.sum(gram.real**2 + gram.imag**2, axis=(-2, -1), keepdims=True)
    return library.sqrt(library.where(squares == 0.0, 1.0, squares))


def _convolve(kernel: Kernel, placements: Sequence[np.ndarray], x: Kernel) -> Kernel:
    library, count = _library(kernel), len(placements)
    x = library.tensordot(x, kernel, (-1, -2))  # [*sizes, *taps, features out]
    for index, placement in enumerate(placements):
        x = library.tensordot(x, placement, ((0, count - index), (2, 0)))
    return library.moveaxis(x, 0, -1)


def _norm(kernel: Kernel, axes: Sequence[_Axis], norm: Norm, method: Method) -> Any:
    if norm == l2:
        return method.measure(kernel, axes)
    # The largest sum of absolute weights, over what an output reads (linf) or over what reads an input (l1).
    summed, over = (-2, 2) if norm == linf else (-1, 1)
    weights = _library(kernel).abs(kernel).sum(summed)
    for axis in axes:
        weights = _library(kernel).tensordot(weights, axis.placement().sum(over), (0, 0))
    return weights.max()


def _fold(kernel: Kernel, axes: Sequence[_Axis]) -> tuple[Kernel, list[_Axis]]:
    """Adds up the taps that read the same input because the kernel goes around the torus."""
    folded = []
    for index, axis in enumerate(axes):
        if axis.wraps and (axis.taps - 1) * axis.dilation >= axis.size:
            onto = np.arange(axis.taps)[:, None] * axis.dilation % axis.size == np.arange(axis.size)
            library = _library(kernel)
            kernel = library.moveaxis(library.tensordot(onto * 1.0, kernel, (0, index)), 0, index)
            low = axis.low % axis.size
            axis = axis._replace(taps=axis.size, dilation=1, low=low, high=axis.size - 1 - low)
        folded.append(axis)
    return kernel, folded


def is_plain(**named: Any) -> None:
    """Raises an error unless each is l1, l2 or linf: the norms in which layers have known constants.

    Examples:
        >>> is_plain(norm="l2")
        Traceback (most recent call last):
        TypeError: norm must be a norm such as lipjax.norms.l2, got 'l2': lipjax.norms.named makes norms of words
    """
    for name, norm in named.items():
        if not isinstance(norm, Norm):
            hint = ": lipjax.norms.named makes norms of words" if isinstance(norm, str) else ""
            raise TypeError(f"{name} must be a norm such as lipjax.norms.l2, got {norm!r}{hint}")
        if norm not in (l1, l2, linf):
            raise ValueError(f"{name} must be l1, l2 or linf here, got {norm!r}")


def conv_norm(
    kernel: Kernel,
    input_shape: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    norm: Norm = l2,
    method: Method = exact(),  # noqa: B008
) -> float | Scalar:
    """Operator norm of a convolution: the largest ||K * x|| / ||x|| over all inputs x, boundaries included.

    Args:
        kernel: `[*window, in_features // groups, out_features]`, flax's layout, with any number of window axes.
        input_shape: `(*sizes, in_features)` of one input, for images `(height, width, channels)`.
        strides: Step of the window, one for all axes or one per axis.
        padding: "SAME", "VALID" (zeros), "CIRCULAR" (wraps around), or zeros given as a number or as pairs
            `(before, after)` per axis.
        dilation: Distance between taps of the kernel, one for all axes or one per axis.
        groups: Groups of features that don't mix; the norm is the largest of theirs.
        norm: l1, l2 or linf, on inputs and outputs alike.
        method: `exact()`, `gram()`, `power()` or `fft()` for l2: the module's table says on which side each is. The l1
            and linf norms have a closed form, which every method returns.

    Returns:
        The norm or its bound: a Python float for a concrete kernel, computed in float64; a scalar of the kernel's dtype
        for a traced one, where a bound holds up to that dtype's rounding only.

    Raises:
        TypeError: If norm or method is not a value of that kind.
        ValueError: If the norm is another one, if the shapes don't fit, if the layer is too large for `exact`, or if
            the kernel is traced and the method neither `gram` nor `power` (l2 only).

    Examples:
        >>> kernel = np.ones((3, 3, 1, 1))  # its Frobenius norm and the norm of the flattened kernel are 3
        >>> conv_norm(kernel, (8, 8, 1), padding="CIRCULAR")
        9.0
        >>> conv_norm(kernel, (8, 8, 1)) < conv_norm(kernel, (8, 8, 1), method=gram()) <= 9.0 * (1 + 1e-9)
        True
        >>> conv_norm(kernel, (8, 8, 1), norm=linf)
        9.0

    References:
        Delattre et al. 2023, "Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration" (arXiv
        2305.16173), algorithm 3. Different here: the smaller of the two Gram matrices, the smaller of its Frobenius
        and row-sum norms (exact at once for orthogonal layers), zero padding bounded through a larger torus, strides.
        Sedghi et al. 2019, "The Singular Values of Convolutional Layers" (arXiv 1805.10408), theorem 6: `fft`.
    """
    is_plain(norm=norm)
    if not isinstance(method, Method):
        raise TypeError(f"method must be exact(), gram(), power() or fft(), got {method!r}")
    if kernel.ndim < 2 or not kernel.size:
        raise ValueError(
            f"kernel must have an axis of inputs and one of outputs, none of them empty; got {kernel.shape}"
        )
    if input_shape[-1] != kernel.shape[-2] * groups or kernel.shape[-1] % groups:
        raise ValueError(f"kernel {kernel.shape} in {groups} groups does not fit {input_shape[-1]} input features")
    library = _library(kernel)
    if library is jnp and norm == l2 and method.needs_values:
        raise ValueError(f"method {method!r} needs a known kernel; inside jit, gram() bounds it from above")
    kernel = kernel if library is jnp else np.asarray(kernel, np.float64)
    kernel, axes = _fold(kernel, _axes(kernel, input_shape, strides, padding, dilation))
    parts = [_norm(part, axes, norm, method) for part in library.split(kernel, groups, -1)]
    return library.stack(parts).max() if library is jnp else float(max(parts))


def dense_norm(
    kernel: Float[Array | np.ndarray, "inputs outputs"],
    norm: Norm = l2,
    method: Method = exact(),  # noqa: B008
) -> float | Scalar:
    """Operator norm of a dense layer `x @ kernel`: a convolution without window axes.

    Args:
        kernel: `[in_features, out_features]`, flax's layout.
        norm: l1 (largest row sum of the kernel), l2 (largest singular value) or linf (largest column sum).
        method: As in `conv_norm`; `fft` and `exact` are the same here.

    Returns:
        The norm or its bound, as in `conv_norm`.

    Raises:
        ValueError: If the norm is another one or the kernel is no matrix.

    Examples:
        >>> dense_norm(np.array([[1.0, -2.0], [0.0, 3.0]]), norm=linf)
        5.0
    """
    return conv_norm(kernel, kernel.shape[:1], norm=norm, method=method)
