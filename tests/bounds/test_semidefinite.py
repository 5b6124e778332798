"""Semidefinite bounds against every choice of slopes, closed forms, and the values of LipSDP on published networks."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import LocalBounds, global_bound, local_bound, upper_curve
from lipjax.bounds.multipliers import Limited, _is_certain, largest_output
from lipjax.norms import l1, l2, linf

NETWORKS = Path(__file__).parents[3] / "shared" / "data" / "networks"
NORMS = (l1, l2, linf)


def mlp(kernels, activation=jax.nn.relu):
    def f(x):
        for kernel in kernels[:-1]:
            x = activation(x @ kernel + 0.1)
        return x @ kernels[-1]

    return f


def random_kernels(seed, sizes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=pair).astype(np.float32) for pair in itertools.pairwise(sizes)]


def operator_norm(matrices, first, last):
    """Largest norms `[matrices]` from the first norm to the last, over corners where there are finitely many."""
    if first == last == l2:
        return np.linalg.norm(matrices, 2, axis=(1, 2))
    size = matrices.shape[2]
    corners = np.eye(size) if first == l1 else np.array(list(itertools.product((-1, 1), repeat=size)))
    return np.linalg.norm(matrices @ corners.T, last.exponent, axis=1).max(1)


def steepest(kernels, first, last):
    a, b, c = (kernel.astype(np.float64) for kernel in kernels)
    masks = np.array(list(itertools.product((0.0, 1.0), repeat=a.shape[1] + b.shape[1])))
    products = np.einsum("ih,mh,hk,mk,ko->moi", a, masks[:, : a.shape[1]], b, masks[:, a.shape[1] :], c, optimize=True)
    return operator_norm(products, first, last).max()


@pytest.mark.parametrize(("first", "last"), [(l2, l2), (linf, linf), (linf, l2), (l1, l1), (l1, linf)])
def test_no_choice_of_slopes_exceeds_the_bound_and_it_is_never_above_the_average(first, last):
    for seed in range(3):
        kernels = random_kernels(seed, (3, 5, 4, 2))
        bound = global_bound(mlp(kernels), (3,), norm_in=first, norm_out=last, method="sdp")
        assert steepest(kernels, first, last) <= bound
        assert bound <= global_bound(mlp(kernels), (3,), norm_in=first, norm_out=last)


def test_the_bound_is_near_the_steepest_choice_of_slopes_in_l2():
    ratios = []
    for seed in range(4):
        kernels = random_kernels(seed, (3, 5, 4, 2))
        ratios.append(global_bound(mlp(kernels), (3,), method="sdp") / steepest(kernels, l2, l2))
    assert np.median(ratios) <= 1.1


@pytest.mark.parametrize("norm", [l2, linf])
def test_local_bounds_are_above_every_jacobian_found_and_below_the_linear_relaxation_where_many_units_switch(norm):
    f = mlp(random_kernels(1, (3, 3, 3, 3)), jnp.tanh)
    x, radius = jnp.array([0.1, 0.2, -0.3]), 0.5
    points = x + radius * jax.vmap(lambda key: norm.sample(key, x.shape))(jax.random.split(jax.random.key(0), 500))
    found = operator_norm(np.asarray(jax.vmap(jax.jacobian(f))(points), np.float64), norm, norm)
    linear, bound = (local_bound(f, x, norm.ball(radius, box=None), method=method) for method in ("linear", "sdp"))
    assert found.max() <= bound < linear


def test_where_no_unit_switches_the_bound_is_the_norm_of_the_jacobian():
    f, x = mlp(random_kernels(2, (3, 3, 3, 3))), jnp.array([0.9, 0.7, 1.1])
    jacobian = np.asarray(jax.jacobian(f)(x), np.float64)[None]
    assert np.linalg.norm(jacobian) > 0.1
    for norm in (l2, linf):
        bound = local_bound(f, x, norm.ball(1e-4, box=None), method="sdp")
        assert float(bound) == pytest.approx(operator_norm(jacobian, norm, norm)[0], rel=1e-3)


def test_residual_sums_and_convolutions_are_maps_as_any_other():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 2, 2))

    def f(x):
        conv = lambda x: jax.lax.conv_general_dilated(  # noqa: E731
            x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )[0]
        return jnp.sum(x + conv(jax.nn.relu(conv(x))), (0, 1))

    points = jax.random.normal(jax.random.key(1), (200, 4, 4, 2))
    found = np.linalg.norm(np.asarray(jax.vmap(jax.jacobian(f))(points)).reshape(200, 2, -1), 2, axis=(1, 2)).max()
    bound, average = (global_bound(f, (4, 4, 2), method=method) for method in ("sdp", "average"))
    assert found <= bound < average


def test_multipliers_that_are_too_small_are_no_certificate():
    limited = Limited(np.array([[1.0, 1.0]]), np.array([[0.5, 0.0]]))  # y = x + w with |w| <= |x| / 2
    assert largest_output(limited) == pytest.approx(1.5, rel=1e-3)
    assert largest_output(limited) >= 1.5
    assert _is_certain(limited, np.array([2.2501, 3.0]))
    assert not _is_certain(limited, np.array([2.2499, 3.0]))
    assert not _is_certain(limited, np.array([9.0, -1.0]))
    assert largest_output(limited._replace(outputs=np.zeros((1, 2)))) == 0.0


def test_curves_take_the_bound_and_never_fall():
    model = mlp(random_kernels(2, (3, 3, 3)))
    xs, radii = jax.random.normal(jax.random.key(0), (2, 3)), [0.5, 0.05, 5.0]
    ball = l2.ball(1.0, box=None)
    curves = [
        upper_curve(model, xs, radii, ball=ball, local=LocalBounds(2, (name,))).values for name in ("linear", "sdp")
    ]
    for values in curves:
        assert np.all(np.diff(values[:, [1, 0, 2]]) >= 0.0)
    assert np.all(curves[1] <= curves[0])


def test_what_can_not_be_bounded_is_said_and_the_other_bounds_are_kept():
    def pool(x):
        return jnp.sqrt(jnp.sum(jnp.square(x.reshape(2, 2)), -1))

    with pytest.warns(UserWarning, match="no semidefinite bound"):
        assert global_bound(pool, (4,), method="sdp") == pytest.approx(1.0, rel=1e-5)
    f = mlp(random_kernels(0, (3, 5, 2)))
    with pytest.raises(ValueError, match="inside jit"):
        jax.jit(lambda x: local_bound(f, x, l2.ball(0.1, box=None), method="sdp"))(jnp.zeros(3))


def published(name):
    if not (NETWORKS / name).exists():
        pytest.skip("published networks are not here")
    with np.load(NETWORKS / name) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("depth", [2, 3])
def test_lipsdp_s_values_on_glipsdp_s_dense_networks(depth, seed):
    arrays = published("glipsdp_fnn.npz")
    values = json.loads((NETWORKS / "glipsdp_fnn.json").read_text())[f"fnn{depth}"]
    kernels = [arrays[f"fnn{depth}_{seed}/fc{layer}_weight"].astype(np.float32) for layer in range(1, depth + 1)]
    bound = global_bound(mlp([*kernels[:-1], kernels[-1][:, 7:8]]), (64,), method="sdp")
    assert values["Lip_lb"][seed] < bound == pytest.approx(values["Lip_LipSDP"][seed], rel=1e-4)


def test_lipsdp_s_own_example():
    arrays = published("lipsdp_examples.npz")
    kernels = [arrays[f"random_weights/{layer}"].T.astype(np.float32) for layer in range(4)]
    assert global_bound(mlp(kernels), (2,), method="sdp") == pytest.approx(36.482, rel=1e-4)
