"""Settings and fixtures that all tests share."""

import os

# The tests are for the CPU; set before JAX starts its backend.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import jax
import jaxtyping
import pytest

jaxtyping.install_import_hook("lipjax", "typechecking.checked")


@pytest.fixture(scope="session")
def tfds_dir() -> Path:
    """A TFDS data directory with real CIFAR-10 and MNIST, where the checkout has one beside it."""
    path = Path(__file__).parents[2] / "shared" / "data" / "tfds"
    if not path.is_dir():
        pytest.skip("no shared/data/tfds beside the checkout: real CIFAR-10 and MNIST are not here")
    return path


@pytest.fixture
def key() -> jax.Array:
    """A fixed random key."""
    return jax.random.key(0)
