"""What `import lipjax` loads."""

import subprocess
import sys

LATE = [
    "PIL", "altair", "equinox", "grain", "numba", "orbax", "pandas", "scipy", "tensorflow_datasets", "torch", "xarray"
]  # fmt: skip


def printed_by(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.split()


def test_importing_the_library_loads_none_of_what_only_some_users_need():
    assert printed_by(f"import sys, lipjax; print(*(name for name in {LATE} if name in sys.modules))") == []


def test_what_is_imported_late_is_there_when_it_is_asked_for():
    found = "lipjax.compatibility.pair_distances.__name__, hasattr(lipjax.compatibility, 'nothing')"
    assert printed_by(f"import lipjax; print({found})") == ["pair_distances", "False"]
