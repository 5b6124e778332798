"""Settings and fixtures that all tests share."""

import os
from collections.abc import Iterator

# The tests are for the CPU; set before JAX starts its backend.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import jax
import jaxtyping
import pytest

jaxtyping.install_import_hook("lipjax", "typechecking.checked")

# Fixture files have no examples to collect, and share one name.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session, never the user's: real data are decoded once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIPJAX_CACHE", str(folder))
        yield folder


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
