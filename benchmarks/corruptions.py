"""Corruptions: lipjax against imagecorruptions, the reference implementation in Python, on the same images in one run.

    pip install imagecorruptions opencv-python-headless scikit-image "setuptools<80"
    python -m benchmarks.corruptions [--num_images=500] [--num_reference=20]

Both take 32 x 32 colour images at severity 3; imagecorruptions has the ImageNet-C strengths only, so lipjax uses
those too. lipjax's rate is that of the second call, without compilation, which is told apart. Where the reference does
not run with the installed versions of its dependencies, its column says why and the corruption is left out of the
ratio. The ratio is that of the total times for one image under every corruption that both have.
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable

import jax
import numpy as np

from lipjax import corruptions

SEVERITY = 3


def seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def our_seconds(images: np.ndarray, name: str) -> tuple[float, float]:
    """Seconds of the first call, and per image of later ones."""

    def call() -> None:
        corruptions.corrupt(jax.random.key(0), images, name, SEVERITY, "imagenet").block_until_ready()

    return seconds(call), min(seconds(call) for _ in range(3)) / len(images)


def reference_seconds(images: np.ndarray, name: str) -> float | str:
    """Seconds per image, or why it does not run."""
    if importlib.util.find_spec("imagecorruptions") is None:
        return "not installed"
    try:
        from imagecorruptions import corrupt

        corrupt(images[0], corruption_name=name, severity=SEVERITY)
        return seconds(lambda: [corrupt(image, corruption_name=name, severity=SEVERITY) for image in images]) / len(
            images
        )
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def totals(num_images: int, num_reference: int) -> tuple[float, float]:
    """Seconds for one image under what both have, ours and the reference's; tells each as it is done."""
    images = np.random.default_rng(0).integers(0, 256, (num_images, 32, 32, 3)).astype(np.uint8)
    print(f"{'corruption':18} {'first call, s':>13} {'lipjax, img/s':>13} {'reference, img/s':>16} {'ratio':>6}")
    ours, theirs = 0.0, 0.0
    for name in corruptions.NAMES:
        first, mine = our_seconds(images, name)
        reference = reference_seconds(images[:num_reference], name)
        line = f"{name:18} {first:13.2f} {1 / mine:13,.0f}"
        if isinstance(reference, str):
            print(f"{line}  {reference}", flush=True)
        else:
            print(f"{line} {1 / reference:16,.0f} {reference / mine:6.1f}", flush=True)
            ours, theirs = ours + mine, theirs + reference
    return ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=500, help="images for lipjax")
    parser.add_argument("--num_reference", type=int, default=20, help="images for the reference")
    flags = parser.parse_args()
    warnings.simplefilter("ignore")
    ours, theirs = totals(flags.num_images, flags.num_reference)
    if ours:
        print(f"over all that both have: {theirs / ours:.1f} times the images per second of the reference")


if __name__ == "__main__":
    main()
