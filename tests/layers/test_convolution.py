"""The convolution by slices and by XLA's against NumPy's, and which of them is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import bounds
from lipjax.layers import convolution
from lipjax.layers.convolution import _by_slices, _by_xla, convolve
from lipjax.norms import l2


def reference(images, kernel, strides, padding):
    """Cross-correlation in float64 by NumPy's windows."""
    images, kernel = np.asarray(images, np.float64), np.asarray(kernel, np.float64)
    taps = kernel.shape[0]
    if padding == "SAME":
        outs = [-(-size // strides) for size in images.shape[1:3]]
        total = [max((out - 1) * strides + taps - size, 0) for out, size in zip(outs, images.shape[1:3], strict=True)]
        images = np.pad(images, ((0, 0), *((pad // 2, pad - pad // 2) for pad in total), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (taps, taps), (1, 2))[:, ::strides, ::strides]
    return np.einsum("nhwcab,abco->nhwo", windows, kernel)


def pads_of(images, kernel, strides, padding):
    return jax.lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (strides, strides), padding)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("taps", "strides"), [(1, 1), (1, 2), (2, 2), (3, 1), (3, 2), (5, 3)])
def test_slices_give_the_cross_correlation(padding, taps, strides):
    images = jax.random.normal(jax.random.key(1), (2, 8, 5, 2))
    kernel = jax.random.normal(jax.random.key(2), (taps, taps, 2, 3))
    expected = reference(images, kernel, strides, padding)
    pads = pads_of(images, kernel, strides, padding)
    maps = jax.jit(lambda *operands: _by_slices(*operands, strides, pads))(images, kernel)
    np.testing.assert_allclose(maps, expected, atol=1e-4)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_xlas_convolution_gives_the_cross_correlation(padding):
    images = jax.random.normal(jax.random.key(1), (2, 8, 5, 2))
    kernel = jax.random.normal(jax.random.key(2), (3, 3, 2, 3))
    maps = _by_xla(images, kernel, 2, pads_of(images, kernel, 2, padding))
    np.testing.assert_allclose(maps, reference(images, kernel, 2, padding), atol=1e-4)


def test_a_mapped_convolution_of_single_images_is_the_convolution_of_the_batch(key):
    images = jax.random.normal(key, (3, 8, 8, 2))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 4))
    single = jax.vmap(lambda image: convolve(image[None], kernel, strides=2)[0])(images)
    np.testing.assert_allclose(single, convolve(images, kernel, strides=2), rtol=1e-5, atol=1e-6)


SHAPES = {  # image, kernel, strides: whether by slices
    "cnn": ((28, 28, 1), (3, 3, 1, 16), 2, True),
    "cnn, second": ((16, 16, 16), (3, 3, 16, 32), 2, True),
    "ResNet": ((32, 32, 16), (3, 3, 16, 16), 1, False),
    "ResNet, last": ((4, 4, 128), (3, 3, 128, 128), 1, False),
    "skip": ((32, 32, 64), (1, 1, 64, 128), 2, True),
}


@pytest.mark.parametrize("name", SHAPES)
def test_small_windows_are_sliced_whatever_the_batch(name):
    shape, taps, strides, is_sliced = SHAPES[name]
    kernel = jax.ShapeDtypeStruct(taps, jnp.float32)

    def mapped(images, kernel):
        return jax.vmap(lambda image: convolve(image[None], kernel, strides=strides))(images)

    for f in (lambda images, kernel: convolve(images, kernel, strides=strides), mapped):
        for batch_size in (1, 512):
            program = str(jax.make_jaxpr(f)(jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32), kernel))
            assert ("conv_general_dilated" in program) != is_sliced


def test_bounds_see_through_both(monkeypatch):
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 2))
    image = jax.random.uniform(jax.random.key(2), (6, 5, 1))

    def bound():
        def f(x):
            return jax.nn.relu(convolve(x[None], kernel, strides=2) - 0.1).sum((0, 1, 2))

        return bounds.local_bound(f, image, l2.ball(0.1))

    sliced = bound()
    monkeypatch.setattr(convolution, "SMALL_WINDOWS", 0)
    np.testing.assert_allclose(bound(), sliced, rtol=1e-5)
    assert sliced > 0.0
