"""The vanilla layers, and how parts of the record are put together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers, networks
from lipjax.layers.vanilla import average_pool, split_windows


def test_standardised_pixels_have_the_mean_and_deviation_taken_out_per_channel():
    inputs = jnp.array([[[[0.5, 0.7]]], [[[0.1, 0.3]]]])
    expected = (np.asarray(inputs) - [0.1, 0.3]) / [0.2, 0.4]
    np.testing.assert_allclose(layers.vanilla.standardize(inputs, (0.1, 0.3), (0.2, 0.4)), expected, atol=1e-6)


def test_windows_tile_the_image_and_drop_what_fills_none():
    image = jnp.arange(35.0).reshape(1, 5, 7, 1)
    windows = split_windows(image, (2, 3))
    assert windows.shape == (1, 2, 2, 2, 3, 1)
    np.testing.assert_array_equal(windows[0, 1, :, 1, :, 0], image[0, 2:4, 3:6, 0])


def test_average_pooling_takes_the_mean_of_each_window():
    image = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    pooled = average_pool(image, (2, 2))
    assert pooled.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(pooled[1, 1, 2], image[1, 2:4, 4:6].mean((0, 1)), rtol=1e-5)


def test_a_dense_layer_is_affine_in_the_last_axis(key):
    layer = layers.vanilla.dense(5)
    x = jax.random.normal(key, (4, 3))
    params = layer.init(key, x)["params"] | {"bias": jnp.arange(5.0)}
    np.testing.assert_allclose(layer.apply({"params": params}, x), x @ params["kernel"] + params["bias"], rtol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
def test_a_convolution_without_bias_maps_zero_to_zero_and_with_bias_to_it(key, strides):
    zeros = jnp.zeros((1, 6, 6, 2))
    for use_bias in (False, True):
        layer = layers.vanilla.conv(3, 3, strides, use_bias=use_bias)
        params = layer.init(key, zeros)["params"]
        assert ("bias" in params) == use_bias
        params = jax.tree.map(lambda leaf: leaf + 1.0, params)
        assert jnp.all(layer.apply({"params": params}, zeros) == float(use_bias))


def test_batch_normalisation_uses_the_batch_in_training_and_the_running_averages_in_evaluation(key):
    x = 3.0 + 2.0 * jax.random.normal(key, (64, 4, 4, 2))
    train, evaluate = layers.vanilla.normalize(True), layers.vanilla.normalize(False)
    variables = train.init(key, x)
    y, moved = train.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1.0, atol=1e-4)
    np.testing.assert_allclose(evaluate.apply(variables, x), x / np.sqrt(1 + 1e-5), rtol=1e-5)
    stats = moved["batch_stats"]["norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("kind", [layers.vanilla, layers.nonexpansive], ids=str)
def test_statistics_for_another_number_of_channels_are_refused(key, kind):
    network = networks.mlp(2, layers=kind, mean=(0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="mean and std are for 3 channels, the inputs have 1"):
        network.init(key, (4, 4, 1))


def test_a_convolution_of_anything_but_images_is_refused(key):
    with pytest.raises(ValueError, match=r"a convolution needs images \[height, width, channel\], got \(5,\)"):
        networks.cnn(2).init(key, (5,))
