"""Operator norms against dense matrices of JAX's own convolution, from below and from above."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from lipjax.norms import l1, linf, masked
from lipjax.operators import conv_norm, dense_norm, exact, fft, gram, is_plain, power


def random_spec(seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """A random kernel and how it is applied: one or two axes, all paddings, strides, dilations and groups."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 3))
    groups = int(rng.integers(1, 3))
    taps = rng.integers(1, 4, count)
    dilation = rng.integers(1, 3, count)
    sizes = (taps - 1) * dilation + 1 + rng.integers(0, 5, count)
    kernel = rng.normal(size=(*taps, int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))))
    explicit = [(int(low), int(high)) for low, high in rng.integers(0, 4, (count, 2))]
    how = {
        "input_shape": (*sizes.tolist(), kernel.shape[-2] * groups),
        "strides": rng.integers(1, 4, count).tolist(),
        "padding": [explicit, "SAME", "VALID", "CIRCULAR"][seed % 4],
        "dilation": dilation.tolist(),
        "groups": groups,
    }
    return kernel, how


def dense_matrix(kernel: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """The convolution's matrix by definition: every output sums its taps, one at a time, in plain Python."""
    *sizes, features = how["input_shape"]
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel.shape, how["dilation"], strict=False)]
    if how["padding"] == "SAME":
        totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(sizes, how["strides"], reaches, strict=True)]
    else:
        totals = [0 if how["padding"] == "VALID" else r - 1 for r in reaches]
    pads = [(t // 2, t - t // 2) for t in totals] if isinstance(how["padding"], str) else how["padding"]
    outs = [(n + sum(p) - r) // s + 1 for n, p, r, s in zip(sizes, pads, reaches, how["strides"], strict=True)]
    matrix = np.zeros((*outs, kernel.shape[-1], *sizes, features))
    group_in, group_out = kernel.shape[-2], kernel.shape[-1] // how["groups"]
    for out in np.ndindex(*outs):
        for tap in np.ndindex(*kernel.shape[:-2]):
            place = [
                o * s + t * d - p[0]
                for o, s, t, d, p in zip(out, how["strides"], tap, how["dilation"], pads, strict=True)
            ]
            if how["padding"] == "CIRCULAR":
                place = [p % n for p, n in zip(place, sizes, strict=True)]
            if all(0 <= p < n for p, n in zip(place, sizes, strict=True)):
                for group in range(how["groups"]):
                    rows = slice(group * group_out, (group + 1) * group_out)
                    columns = slice(group * group_in, (group + 1) * group_in)
                    matrix[(*out, rows, *place, columns)] += kernel[tap][:, rows].T
    return matrix.reshape(np.prod(outs) * kernel.shape[-1], -1)


SPECS = [random_spec(seed) for seed in range(200)]
MATRICES = [dense_matrix(*spec) for spec in SPECS]


def test_the_exact_l2_norm_is_the_largest_singular_value_of_the_dense_matrix_on_200_specs():
    for (kernel, how), matrix in zip(SPECS, MATRICES, strict=True):
        np.testing.assert_allclose(conv_norm(kernel, **how), scipy.linalg.svdvals(matrix)[0], rtol=1e-12)


def test_l1_and_linf_norms_are_the_largest_column_and_row_sums_on_200_specs():
    for (kernel, how), matrix in zip(SPECS, MATRICES, strict=True):
        np.testing.assert_allclose(conv_norm(kernel, norm=l1, **how), abs(matrix).sum(0).max(), rtol=1e-12)
        np.testing.assert_allclose(conv_norm(kernel, norm=linf, **how), abs(matrix).sum(1).max(), rtol=1e-12)


def test_power_is_below_and_gram_and_fft_are_above_the_exact_norm_on_200_specs():
    for kernel, how in SPECS:
        norm = conv_norm(kernel, **how)
        below, above, on_torus = (conv_norm(kernel, method=method, **how) for method in (power(), gram(), fft()))
        assert 0.5 * norm <= below <= norm * (1 + 1e-12)
        assert norm <= on_torus * (1 + 1e-12) <= above * (1 + 1e-11)
        assert above <= 1.01 * on_torus


def test_fft_is_exact_for_circular_padding_where_the_stride_divides_the_input():
    checked = 0
    for kernel, how in SPECS:
        divides = all(n % s == 0 for n, s in zip(how["input_shape"], how["strides"], strict=False))
        if how["padding"] == "CIRCULAR" and divides:
            checked += 1
            np.testing.assert_allclose(conv_norm(kernel, method=fft(), **how), conv_norm(kernel, **how), rtol=1e-12)
    assert checked > 10


def test_gram_converges_from_above_without_ever_going_back():
    for kernel, how in SPECS[:40]:
        bounds = [conv_norm(kernel, method=gram(steps), **how) for steps in range(1, 16)]
        assert np.all(np.diff(bounds) <= 1e-12 * bounds[0])
        np.testing.assert_allclose(bounds[-1], conv_norm(kernel, method=fft(), **how), rtol=1e-3)


def test_power_converges_from_below_without_ever_going_back():
    for kernel, how in SPECS[:20]:
        bounds = [conv_norm(kernel, method=power(steps), **how) for steps in range(1, 20, 3)]
        assert np.all(np.diff(bounds) >= -1e-12 * bounds[0])


def test_gram_is_tight_at_once_for_an_orthogonal_kernel():
    kernel = scipy.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    np.testing.assert_allclose(dense_norm(kernel, method=gram(1)), 1.0, rtol=1e-10)


def test_the_zero_kernel_has_norm_zero_by_every_method():
    for method in (exact(), gram(), power(), fft()):
        assert conv_norm(np.zeros((3, 3, 2, 2)), (5, 5, 2), method=method) == 0.0


def test_dense_norms_match_numpy():
    kernel = np.random.default_rng(0).normal(size=(7, 4))
    assert dense_norm(kernel, norm=l1) == pytest.approx(np.linalg.norm(kernel.T, 1), rel=1e-14)
    assert dense_norm(kernel, norm=linf) == pytest.approx(np.linalg.norm(kernel.T, np.inf), rel=1e-14)
    assert dense_norm(kernel) == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-14)
    assert dense_norm(kernel, method=power()) == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-6)


def test_the_matrix_is_that_of_the_convolution_jax_computes():
    kernel = jax.random.normal(jax.random.key(0), (3, 2, 2, 4))
    for padding in ("SAME", "VALID", [(2, 0), (1, 3)]):

        def convolve(x: jax.Array, padding: Any = padding) -> jax.Array:
            return jax.lax.conv_general_dilated(
                x[None], kernel, (2, 1), padding, rhs_dilation=(1, 2),
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2,
            )[0]  # fmt: skip

        matrix = jax.jacobian(convolve)(jnp.zeros((6, 5, 4))).reshape(-1, 120)
        norm = conv_norm(kernel, (6, 5, 4), strides=(2, 1), padding=padding, dilation=(1, 2), groups=2)
        np.testing.assert_allclose(norm, np.linalg.norm(matrix, 2), rtol=1e-5)


@pytest.mark.parametrize("method", [gram(), power()], ids=str)
def test_a_traced_kernel_gives_the_same_number_as_a_concrete_one(method):
    kernel, how = SPECS[5]
    kernel = jnp.asarray(kernel, jnp.float32)
    traced = jax.jit(lambda k: conv_norm(k, method=method, **how))(kernel)
    np.testing.assert_allclose(traced, conv_norm(kernel, method=method, **how), rtol=1e-4)


@pytest.mark.parametrize("norm", [l1, linf], ids=str)
def test_closed_forms_of_a_traced_kernel_are_those_of_a_concrete_one(norm):
    kernel, how = SPECS[5]
    kernel = jnp.asarray(kernel, jnp.float32)
    traced = jax.jit(lambda k: conv_norm(k, norm=norm, **how))(kernel)
    np.testing.assert_allclose(traced, conv_norm(kernel, norm=norm, **how), rtol=1e-5)


@pytest.mark.parametrize("method", [exact(), fft()], ids=str)
def test_methods_of_the_host_refuse_a_traced_kernel_with_advice(method):
    with pytest.raises(ValueError, match=r"inside jit, gram\(\) bounds it from above"):
        jax.eval_shape(lambda k: dense_norm(k, method=method), jnp.ones((2, 2)))


def test_the_gradient_of_gram_is_that_of_the_largest_singular_value():
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    left, _, right = np.linalg.svd(kernel)
    gradient = jax.grad(lambda k: dense_norm(k, method=gram()))(jnp.asarray(kernel))
    np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=1e-3)


def test_the_gradient_of_gram_is_finite_where_the_convolution_kills_a_frequency():
    for kernel in (jnp.zeros((3, 3, 1, 1)), jnp.array([1.0, -1.0]).reshape(2, 1, 1, 1)):
        gradient = jax.grad(lambda k: conv_norm(k, (4, 4, 1), padding="CIRCULAR", method=gram()))(kernel)
        assert jnp.all(jnp.isfinite(gradient))


def test_a_convolution_too_large_for_the_exact_method_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"too large for method exact\(\).*gram\(\) bounds it"):
        conv_norm(np.zeros((3, 3, 16, 16)), (32, 32, 16))


def test_wrong_arguments_are_refused():
    kernel = np.zeros((3, 3, 2, 2))
    for wrong, message in (
        ({"norm": masked(l1, np.array([True, False]))}, "norm must be l1, l2 or linf here"),
        ({"padding": "FULL"}, "padding must be one of SAME, VALID, CIRCULAR"),
        ({"groups": 2}, "does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            conv_norm(kernel, (4, 4, 2), **wrong)
    with pytest.raises(TypeError, match="norm"):
        conv_norm(kernel, (4, 4, 2), norm="l2")
    with pytest.raises(TypeError, match="method"):
        conv_norm(kernel, (4, 4, 2), method="gram")
    with pytest.raises(TypeError, match=r"norm must be a norm .* got 'l2': lipjax\.norms\.named makes norms of words"):
        is_plain(norm="l2")
    with pytest.raises(ValueError, match="num_steps must be a whole number of at least 1"):
        gram(0)
    with pytest.raises(ValueError, match="kernel must have an axis of inputs and one of outputs"):
        dense_norm(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="strides must be positive"):
        conv_norm(np.ones((3, 3, 1, 1)), (8, 8, 1), strides=0)
    with pytest.raises(ValueError, match="input_shape must have 3 axes"):
        conv_norm(kernel, (4, 2))
    with pytest.raises(ValueError, match="window does not fit into the padded input"):
        conv_norm(kernel, (4, 2, 2), padding="VALID")
