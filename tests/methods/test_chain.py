"""Chains of methods."""

import jax
import jax.numpy as jnp
import pytest

from lipjax.methods import chain
from lipjax.types import Batch, Method, Model, Network, Output, Variables

model = Model(Network(), Variables({}, {}))
batch = Batch(jnp.zeros((2, 3)), jnp.zeros(2, int))
output = Output(jnp.zeros((2, 4)), {})


def hooked(**hooks):
    """A method with these hooks."""
    return type("hooked", (Method,), {name: staticmethod(hook) for name, hook in hooks.items()})()


def adding(amount):
    return hooked(perturb=lambda key, model, batch: batch._replace(inputs=batch.inputs + amount))


def doubling():
    return hooked(perturb=lambda key, model, batch: batch._replace(inputs=2 * batch.inputs))


def term(name, value):
    return hooked(penalize=lambda key, model, batch, output: {name: jnp.array(value)})


def test_perturbations_are_applied_in_the_order_of_the_methods(key):
    chained = chain(adding(1.0), doubling()).perturb(key, model, batch)
    assert jnp.all(chained.inputs == 2.0)
    chained = chain(doubling(), adding(1.0)).perturb(key, model, batch)
    assert jnp.all(chained.inputs == 1.0)


def test_projections_are_applied_in_the_order_of_the_methods():
    first, second = hooked(project=lambda w: w + 1.0), hooked(project=lambda w: w * 3.0)
    assert chain(first, second).project(jnp.array(1.0)) == 6.0
    assert chain(second, first).project(jnp.array(1.0)) == 4.0


def test_retractions_are_applied_in_the_order_of_the_methods_with_a_key_each(key):
    first, second = hooked(retract=lambda key, w: w + 1.0), hooked(retract=lambda key, w: w * 3.0)
    assert chain(first, second).retract(key, jnp.array(1.0)) == 6.0
    noisy = hooked(retract=lambda key, w: w + jax.random.normal(key))
    start = jnp.array(0.0)
    assert chain(noisy, noisy).retract(key, start) != 2 * noisy.retract(key, start)


def test_penalty_terms_are_collected(key):
    terms = chain(term("a", 1.0), Method(), term("b", 2.0)).penalize(key, model, batch, output)
    assert terms == {"a": 1.0, "b": 2.0}


def test_two_terms_of_one_name_are_refused(key):
    with pytest.raises(ValueError, match="two methods name a penalty term 'a'"):
        chain(term("a", 1.0), term("a", 2.0)).penalize(key, model, batch, output)


def test_the_one_loss_is_kept_and_two_are_refused():
    def loss(model, batch, output):
        return {"loss": jnp.array(0.0)}

    assert chain(Method(), hooked(loss=loss)).loss(model, batch, output) == {"loss": 0.0}
    assert chain(Method(), Method()).loss(model, batch, output) == Method().loss(model, batch, output)
    assert chain(chain(), chain(hooked(loss=loss))).loss(model, batch, output) == {"loss": 0.0}
    with pytest.raises(ValueError, match="at most one method may replace the loss, got 2"):
        chain(hooked(loss=loss), hooked(loss=loss))


def test_every_method_of_a_chain_gets_a_key_of_its_own(key):
    noise = hooked(
        perturb=lambda key, model, batch: batch._replace(
            inputs=batch.inputs + jax.random.normal(key, batch.inputs.shape)
        )
    )
    twice = chain(noise, noise).perturb(key, model, batch).inputs
    once = chain(noise).perturb(key, model, batch).inputs
    assert not jnp.allclose(twice, 2 * once)


def test_an_empty_chain_is_plain_training(key):
    assert chain().perturb(key, model, batch) is batch
    assert chain().penalize(key, model, batch, output) == {}
