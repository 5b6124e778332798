"""Batch versions agree with the one-example function, whatever the count and the chunk size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.batching import example_keys, in_chunks, over_examples


def noisy(key, x):
    return x + jax.random.uniform(key, x.shape)


XS = jnp.arange(14.0).reshape(7, 2)


def test_keys_of_a_part_are_those_of_the_whole(key):
    whole = example_keys(key, 10)
    assert jnp.all(example_keys(key, 3) == whole[:3])
    assert jnp.all(example_keys(key, 4, start=6) == whole[6:])
    assert jnp.all(jax.jit(lambda start: example_keys(key, 4, start))(6) == whole[6:])


def test_keys_of_examples_are_all_different(key):
    data = jax.random.key_data(example_keys(key, 1000))
    assert len(np.unique(data, axis=0)) == 1000


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 8, None])
def test_chunks_give_the_results_of_one_example_at_a_time(chunk_size, key):
    batched = jax.jit(over_examples(noisy, chunk_size))
    expected = jnp.stack([noisy(jax.random.fold_in(key, i), x) for i, x in enumerate(XS)])
    np.testing.assert_array_equal(batched(key, XS), expected)


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_an_example_has_the_same_result_in_a_shorter_batch(count, key):
    batched = over_examples(noisy, chunk_size=3)
    np.testing.assert_array_equal(batched(key, XS[:count]), batched(key, XS)[:count])


def test_arguments_and_results_may_be_trees_of_numpy_arrays():
    def moments(example):
        return {"sum": jnp.sum(example["x"]), "pair": (example["x"], example["y"])}

    examples = {"x": np.asarray(XS), "y": np.arange(7)}
    results = in_chunks(moments, chunk_size=3)(examples)
    np.testing.assert_array_equal(results["sum"], np.asarray(XS).sum(1))
    np.testing.assert_array_equal(results["pair"][0], examples["x"])
    np.testing.assert_array_equal(results["pair"][1], examples["y"])


def test_typed_keys_pass_through_chunks(key):
    keys = jax.random.split(key, 5)
    assert jnp.all(in_chunks(lambda k: k, chunk_size=2)(keys) == keys)


def test_memory_grows_with_the_chunk_and_not_with_the_count():
    def wide(x):
        return jnp.sum(jnp.linalg.norm(jnp.sort(jnp.outer(x, jnp.arange(500.0))), axis=0))

    def temporary_bytes(chunk_size):
        compiled = jax.jit(in_chunks(wide, chunk_size)).lower(jnp.ones((256, 20))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(4) < temporary_bytes(None) / 8


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5])
def test_a_chunk_size_that_is_no_count_is_refused(chunk_size):
    with pytest.raises((ValueError, TypeError), match="chunk_size"):
        in_chunks(noisy, chunk_size)
