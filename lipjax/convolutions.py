"""Convolutions as the loops of `lipjax.loops` have them: fast on CPU, whatever the order of their axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

_Operand = Shaped[Array, "..."]
_Params: TypeAlias = Mapping[str, Any]
_Way: TypeAlias = Callable[[_Operand, _Operand, _Params], _Operand]

_FEW_CHANNELS = 4
"""Up to so many channels, of a group or with strides, XLA's kernel is the slower one on CPU."""

_FEW_FEATURES = 32
"""With more features than these it is the faster one, unless each window is one block."""


def convolve(
    lhs: _Operand, rhs: _Operand, *, dimension_numbers: jax.lax.ConvDimensionNumbers, **params: Any
) -> _Operand:
    """A convolution in XLA's order of axes, between transpositions, or by blocks of pixels.

    A strided convolution of few channels is a product of matrices: of the windows as rows, whose pixels come in blocks
    as wide as the stride, and the kernel. Its derivative by the images is the transposed product.

    Args:
        lhs: Images, their axes in any order.
        rhs: Kernel, its axes in any order.
        dimension_numbers: Which axis is which, of the images, the kernel and the result.
        **params: The other parameters of the primitive `jax.lax.conv_general_dilated_p`.

    Returns:
        What the primitive gives: the same bits, but for the rounding of another order of sums by blocks.

    Examples:
        >>> x, kernel = jax.numpy.arange(4.0).reshape(1, 1, 4), jax.numpy.array([[[1.0, -1.0]]])
        >>> (convolution,) = jax.make_jaxpr(lambda x, kernel: jax.lax.conv(x, kernel, (1,), "VALID"))(x, kernel).eqns
        >>> convolve(x, kernel, **convolution.params)
        Array([[[-1., -1., -1.]]], dtype=float32)
    """
    given, order = dimension_numbers, _order(lhs.ndim)
    images, kernel = _moved(lhs, given.lhs_spec, order.lhs_spec), _moved(rhs, given.rhs_spec, order.rhs_spec)
    maps = _way(images, kernel, params)(images, kernel, params)
    return _moved(maps, order.out_spec, given.out_spec)


def is_fast(lhs: Any, rhs: Any, *, dimension_numbers: jax.lax.ConvDimensionNumbers, **params: Any) -> bool:
    """Whether XLA's convolution of such operands is the fastest way as it is; arguments as for `convolve`.

    Examples:
        >>> x, kernel = jax.numpy.ones((1, 1, 4)), jax.numpy.ones((1, 1, 2))
        >>> (convolution,) = jax.make_jaxpr(lambda x, kernel: jax.lax.conv(x, kernel, (1,), "VALID"))(x, kernel).eqns
        >>> is_fast(x, kernel, **convolution.params)
        False
    """
    num_groups = params["feature_group_count"]
    if num_groups > 1 and lhs.shape[dimension_numbers.lhs_spec[1]] <= num_groups * _FEW_CHANNELS:
        return True  # a depthwise convolution's gradient is 18 times as fast in another order than in XLA's
    return dimension_numbers == _order(lhs.ndim) and _way(lhs, rhs, params) is _by_xla


def _order(num_axes: int) -> jax.lax.ConvDimensionNumbers:
    """The one order that XLA's kernels on CPU take."""
    first, last, space = 0, num_axes - 1, range(num_axes - 2)
    images = (first, last, *(axis + 1 for axis in space))
    return jax.lax.ConvDimensionNumbers(images, (last, last - 1, *space), images)


def _moved(operand: _Operand, source: Sequence[int], target: Sequence[int]) -> _Operand:
    return jax.lax.transpose(operand, [source[target.index(axis)] for axis in range(operand.ndim)])


def _way(images: Any, kernel: Any, params: _Params) -> _Way:
    """How a convolution in order is computed."""
    is_plain = (
        images.ndim == 4
        and set(params["rhs_dilation"]) == {1}
        and params["feature_group_count"] == params["batch_group_count"] == 1
        and {images.dtype, params["preferred_element_type"] or images.dtype} == {kernel.dtype}
    )
    *taps, incoming, outgoing = kernel.shape
    if is_plain and set(params["lhs_dilation"]) == {1} and _are_few(taps, params["window_strides"], incoming, outgoing):
        return _by_blocks
    if is_plain and set(params["window_strides"]) == {1} and _are_few(taps, params["lhs_dilation"], outgoing, incoming):
        return _by_blocks_transposed
    return _by_xla


def _are_few(taps: Sequence[int], strides: Sequence[int], channels: int, features: int) -> bool:
    is_one_block = [*taps] == [*strides]
    is_strided = all(1 < stride <= size for size, stride in zip(taps, strides, strict=True))
    return is_strided and channels <= _FEW_CHANNELS and (features <= _FEW_FEATURES or is_one_block)


def _by_xla(images: _Operand, kernel: _Operand, params: _Params) -> _Operand:
    return jax.lax.conv_general_dilated_p.bind(images, kernel, dimension_numbers=_order(images.ndim), **params)


def _by_blocks(images: _Operand, kernel: _Operand, params: _Params) -> _Operand:
    strides, taps, padding = params["window_strides"], kernel.shape[:2], params["padding"]
    per_window = [-(-size // stride) for size, stride in zip(taps, strides, strict=True)]
    lengths = [length + sum(pad) for length, pad in zip(images.shape[1:3], padding, strict=True)]
    counts = [(length - size) // stride + 1 for length, size, stride in zip(lengths, taps, strides, strict=True)]
    num_blocks = [count + blocks - 1 for count, blocks in zip(counts, per_window, strict=True)]
    blocks = _in_blocks(images, strides, num_blocks, [low for low, _ in padding])
    windows = [
        blocks[:, row : row + counts[0], column : column + counts[1]]
        for row in range(per_window[0])
        for column in range(per_window[1])
    ]
    # The features of a kernel are cut into blocks as images are.
    matrix = _in_blocks(jnp.moveaxis(kernel, -1, 0), strides, per_window, (0, 0)).reshape(kernel.shape[-1], -1)
    axes = (((3,), (1,)), ((), ()))
    return jax.lax.dot_general(jnp.concatenate(windows, axis=-1), matrix, axes, precision=params["precision"])


def _in_blocks(images: _Operand, strides: Sequence[int], num_blocks: Sequence[int], lows: Sequence[int]) -> _Operand:
    """Images in so many blocks of pixels, the channels of a block as those of one pixel, with zeros around them."""
    lengths = zip(images.shape[1:3], strides, num_blocks, lows, strict=True)
    pads = [(low, count * stride - low - length, 0) for length, stride, count, low in lengths]
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    (rows, columns), (height, width) = num_blocks, strides
    blocks = padded.reshape(-1, rows, height, columns, width, images.shape[-1]).swapaxes(2, 3)
    return blocks.reshape(-1, rows, columns, height * width * images.shape[-1])


def _by_blocks_transposed(images: _Operand, kernel: _Operand, params: _Params) -> _Operand:
    """A convolution of images with zeros between their pixels: the transposed one of that with strides."""
    strides, taps = params["lhs_dilation"], kernel.shape[:2]
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    spread = [(count - 1) * stride + 1 for count, stride in zip(images.shape[1:3], strides, strict=True)]
    lows = [size - 1 - low for size, (low, _) in zip(taps, params["padding"], strict=True)]
    lengths = [length + sum(pad) - size + 1 for length, pad, size in zip(spread, params["padding"], taps, strict=True)]
    highs = [spread[axis] - 1 + taps[axis] - lengths[axis] - lows[axis] for axis in range(2)]
    forward = dict(params, window_strides=strides, padding=[*zip(lows, highs, strict=True)])
    shape = jax.ShapeDtypeStruct((len(images), *lengths, kernel.shape[-1]), images.dtype)
    (transposed,) = jax.linear_transpose(lambda x: _by_blocks(x, flipped, forward), shape)(images)
    return transposed
