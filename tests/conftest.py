"""Settings and fixtures that all tests share.

Nearly all the time of the tests is compilation. So programs are compiled without optimisation, here and in processes
that tests start, and kept in a folder that workers, processes and later runs share; `pytest --cache-clear` empties it.
A module whose numbers are promises about the shipped program says `pytestmark = pytest.mark.shipped`.
"""

import contextlib
import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

QUICK = {
    "xla_backend_optimization_level": "0",
    "xla_llvm_disable_expensive_passes": "true",
    "xla_cpu_parallel_codegen_split_count": "1",  # other parts would wait for a processor, and each costs a compiler
}
SHIPPED: dict[str, int | bool] = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):  # newer ones have no such flag, and refuse to start
    QUICK["xla_cpu_use_fusion_emitters"] = "false"
    SHIPPED["xla_cpu_use_fusion_emitters"] = True
USER_FLAGS = os.environ.get("XLA_FLAGS", "")

# All of this is read when JAX starts. The tests are for the CPU. Of two flags of one name the last counts: the user's.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join([*(f"--{name}={value}" for name, value in QUICK.items()), USER_FLAGS])
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "d" / "programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # small ones are most, and the same everywhere

import jax
import jaxtyping
import pytest
from jax._src import compiler
from jax._src.interpreters import mlir
from jaxlib.mlir import ir

# Fixture files have no examples to collect, and share one name.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]


def pytest_collection_finish() -> None:
    """What is imported stays, and traces make many objects and few cycles: the collector looks at them rarely."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Programs of a module, quickly compiled or as shipped, are forgotten after it: a worker stays small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlir, "make_ir_context", one_context(mlir.make_ir_context))
        if request.node.get_closest_marker("shipped"):
            compile_as_shipped(patch)
        yield
    jax.clear_caches()
    return_free_memory()


def compile_as_shipped(patch: pytest.MonkeyPatch) -> None:
    """Give every program the optimising compiler: JAX has options for one `jit`, and none for all of them."""
    options = compiler.get_compile_options

    def shipped(*args, env_options_overrides=None, **settings):
        return options(*args, env_options_overrides={**SHIPPED, **(env_options_overrides or {})}, **settings)

    patch.setattr(compiler, "get_compile_options", shipped)
    patch.setenv("XLA_FLAGS", USER_FLAGS)
    jax.clear_caches()


def one_context(make: Callable[[], ir.Context]) -> Callable[[], ir.Context]:
    """A context for all programs, but for one that is lowered within another: making each takes a fifth of the time."""
    shared = make()
    return lambda: make() if ir.Context.current else shared


def return_free_memory() -> None:
    """What was freed in many small pieces goes back to the system, which glibc doesn't do by itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session and all its workers, never the user's: real data are decoded once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIPJAX_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def unchecked_annotations() -> Iterator[None]:
    """Calls as users have them, without the errors that checked annotations would raise first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


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
