"""Where numbers come from: versions, device, source, date."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import jax

from lipjax.records.files import Json

PACKAGES = ("lipjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def _git_commit() -> str | None:
    # Only for a checkout of this project: an installed copy may lie inside the repository of something else.
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], check=True, capture_output=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout else "")


def environment() -> Json:
    """What the numbers of a run depend on besides its settings: versions, device, source, date.

    Examples:
        >>> sorted(environment())
        ['date', 'device', 'git_commit', 'num_devices', 'platform', 'python', 'versions']
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": jax.devices()[0].device_kind,
        "git_commit": _git_commit(),
        "num_devices": jax.device_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
