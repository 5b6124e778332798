"""What every value promises, shown on small ones; the contract tables of the parts show it for all that is public."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import checks, norms, values
from lipjax.values import Value, count, from_json, number, setting, to_json


class ramp(Value):
    slope: values.Number = number(1.0, checks.positive)
    ball: norms.Ball = norms.l2.ball(1.0)
    power: int = count(1)
    widths: tuple[int, ...] = setting((1,))
    at: tuple[float, ...] = setting((0.5,))
    box: tuple[float, float] | None = setting(None)
    extra: values.Number | None = number(None, finite=False)


def test_values_are_equal_by_their_settings_also_as_keys():
    assert ramp(2) == ramp(2.0) == ramp(jnp.array(2.0))
    assert hash(ramp(2)) == hash(ramp(jnp.array(2.0)))
    assert ramp(2.0) != ramp(3.0)
    assert ramp(2.0) != ramp(2.0, norms.l2.ball(2.0))
    assert ramp(widths=[1, 2]) == ramp(widths=(1, 2))


def test_a_value_prints_what_is_not_default():
    assert repr(ramp(2.0, power=3)) == "ramp(slope=2.0, power=3)"
    assert repr(ramp(ball=norms.linf.ball(0.5))) == "ramp(ball=Ball(norm=linf, radius=0.5))"


def test_json_and_back_loses_nothing():
    for value in (
        ramp(0.1),
        ramp(extra=np.inf),
        ramp(np.array([1.0, 2.0], np.float32), norms.masked(norms.l1, np.eye(2) > 0).ball(0.1)),
    ):
        assert from_json(to_json(value)) == value


def test_whole_numbers_are_the_settings_that_they_equal():
    assert repr(to_json(ramp(2, at=(1, 0.5), box=(0, 1)))) == repr(to_json(ramp(2.0, at=(1.0, 0.5), box=(0.0, 1.0))))
    assert repr(to_json(ramp(at=[1]))["at"]) == "[1.0]"


def test_reading_json_imports_nothing_and_makes_nothing_but_values():
    with pytest.raises(ValueError, match="import its module first"):
        from_json({"type": "antigravity:fly"})
    with pytest.raises(ValueError, match="not the type of a value"):
        from_json({"type": "os:system", "command": "true"})
    with pytest.raises(ValueError, match=r"(missing|unexpected).*argument"):
        from_json({"type": "lipjax.norms:Ball", "radios": 1.0})


def test_what_has_no_name_in_a_module_is_not_written():
    with pytest.raises(TypeError, match="only what has a name"):
        to_json(lambda x: x)


def test_another_number_is_not_traced_again():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def call(value, x):
        return value.slope * x**value.power + value.ball.radius

    assert [float(call(ramp(slope, norms.l2.ball(radius)), 2.0)) for slope, radius in ((1, 1), (3.0, 2))] == [3.0, 8.0]


def test_stacked_values_under_vmap_equal_one_by_one():
    each = [ramp(slope, norms.l2.ball(radius)) for slope, radius in ((1.0, 0.5), (2.0, 0.25))]
    together = jax.vmap(lambda value: value.slope * value.ball.radius)(values.stack(*each))
    chex.assert_trees_all_close(together, jnp.array([value.slope * value.ball.radius for value in each]))
    with pytest.raises(ValueError, match="differ in numbers can be stacked"):
        values.stack(ramp(power=1), ramp(power=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slope": -1}, "slope must be positive"),
        ({"slope": "2"}, "slope must be a number, got '2'"),
        ({"slope": True}, "slope must be a number"),
        ({"power": 0}, "power must be a whole number of at least 1"),
        ({"power": -3}, "power must be a whole number of at least 1"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        ramp(**settings)


@pytest.mark.parametrize("norm", [norms.l1, norms.l2, norms.linf])
def test_a_ball_holds_its_samples_steps_and_projections(norm):
    key, center = jax.random.key(0), jnp.array([[0.0, 0.4], [0.9, 1.0]])
    ball = norm.ball(0.3)
    for point in (
        ball.sample(key, center),
        ball.project(center + 1.0, center),
        ball.step(center, jnp.ones((2, 2)), center, step_size=2.0),
    ):
        assert ball.contains(point, center)
    assert not ball.contains(center + 0.5, center)
    assert not ball.replace(radius=9.0 if norm is not norms.linf else 1.0).contains(center + 0.5, center)  # the box


def test_a_masked_ball_moves_free_entries_only():
    ball = norms.masked(norms.linf, np.array([True, False])).ball(0.3)
    center = jnp.array([0.5, 0.5])
    chex.assert_trees_all_close(ball.project(jnp.array([1.0, 1.0]), center), jnp.array([0.8, 0.5]))
    assert not ball.contains(jnp.array([0.5, 0.6]), center)


def test_conversions_between_norms_are_attained(key):
    x = jax.random.normal(key, (7,))
    for first in (norms.l1, norms.l2, norms.linf):
        for second in (norms.l1, norms.l2, norms.linf):
            factor = first.conversion(second, 7)
            assert second.value(x) <= factor * first.value(x) * (1 + 1e-6)
            tight = [second.value(v) / first.value(v) for v in (jnp.ones(7), jnp.eye(7)[0])]
            np.testing.assert_allclose(max(tight), factor, rtol=1e-6)
