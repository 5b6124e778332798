"""Is a claimed Lipschitz constant of a trained network false? Searches for two inputs that break the claim.

    python -m experiments.train --system=L2NN --out_dir=runs/l2nn
    python -m experiments.refute --run_dir=runs/l2nn --claimed=1.0

Prints the verdict (false, true or open), the steepest pair found and a certified bound; writes them as
`refute-NORM-DIGEST.json`, and the pair as a file `.npz` of that name, into the run directory; the digest is that of the
claim and of how it was tested. NumPy alone sees that the quotient of the pair exceeds the claim:

    w = np.load("refute-l2-06fc0bd1.npz")
    rise = np.maximum(np.abs(np.subtract(*w["outputs"])) - w["rounding"], 0.0)
    np.linalg.norm(rise.ravel(), w["exponent_out"]) / np.linalg.norm(np.subtract(*w["pair"]).ravel(), w["exponent_in"])

The constant is that of the logits, everywhere, or with `--radius` on the ball around one training example. Of a network
of your own, `lipjax.bounds.refute(f, claimed, x, ball)` answers the same.
"""

import dataclasses
import math
from typing import Any

import jax

from lipjax import bounds, checks, norms, records
from lipjax.types import pixels

from . import cli, measuring, process
from .language import flag_errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(measuring.RunFlags):
    """Flags of the experiment."""

    claimed: float = cli.flag(1.0, "The constant that was claimed.", check=checks.not_negative)
    norm: str = cli.flag("l2", "Norm of input differences.", legal=("l1", "l2", "linf"))
    norm_out: str = cli.flag("l2", "Norm of output differences.", legal=("l1", "l2", "linf"))
    radius: float = cli.flag(
        math.inf, "Radius of the ball; inf for everywhere.", unit="pixels in [0, 1]", check=checks.not_negative
    )
    example: int = cli.flag(0, "Index of the training example at its center.", minimum=0)
    bound: str = cli.flag(
        "interval", "How the certified bound is found.", legal=("interval", "expansion", "linear", "sdp")
    )


def run(config: Config) -> dict[str, Any]:
    """Tests the claim and writes what came out into the run directory."""
    norm, norm_out = norms.named(config.norm), norms.named(config.norm_out)
    trained = measuring.trained(config)
    with flag_errors("radius"):
        ball = norm.ball(config.radius, None if math.isinf(config.radius) else trained.dataset.box)
    count = len(trained.dataset.train.labels)
    if config.example >= count:
        raise cli.UsageError(f"--example must be below the {count} training examples, got {config.example}")
    x, key = pixels(trained.dataset.train.inputs[config.example]), jax.random.key(config.seed)
    found = bounds.refute(trained.model, config.claimed, x, ball, norm_out=norm_out, key=key, method=config.bound)
    answers = {"verdict": found.verdict, "claimed": found.claimed, "quotient": found.quotient, "upper": found.upper}
    settings = cli.settings(config)
    results = {"settings": settings, "environment": records.environment(), **answers}
    digest = records.digest_of_settings({name: value for name, value in settings.items() if name != "run_dir"})
    with records.hold(trained.path) as folder:
        pair = folder / f"refute-{config.norm}-{digest[:8]}.npz"
        found.save(pair)
        records.write_json(pair.with_suffix(".json"), results)
    print(f"{found}; see {pair}")
    return results


if __name__ == "__main__":
    process.main(Config, run, __doc__)
