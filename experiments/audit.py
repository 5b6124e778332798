"""Which layer breaks a Lipschitz promise? The constant of every layer of a trained network, and a bound of the whole.

    python -m experiments.train --system=L2NN --out_dir=runs/l2nn
    python -m experiments.audit --run_dir=runs/l2nn

Prints one row per layer (its constant, whether that is exact, an upper bound or unknown, and how it was obtained), the
bound of the network, the layers above 1 and those of which nothing is known; writes `audit-NORM.json` and
`audit-NORM.csv` into the run directory. The network is taken in evaluation mode, from pixels to logits: standardisation
is its first layer. Of a network of your own, `lipjax.bounds.audit(f, input_shape)` makes the same table.
"""

import dataclasses
from typing import Any

import jax

from lipjax import bounds, checks, measurements, norms, records, report

from . import cli, measuring, process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(measuring.RunFlags):
    """Flags of the experiment."""

    norm: str = cli.flag("l2", "Norm of inputs and outputs of every layer.", legal=measuring.NORMS)
    tolerance: float = cli.flag(1e-4, "How far above 1 a constant is taken for rounding.", check=checks.not_negative)


_OF_LAYERS = (
    "network: the product of the constants along the layers, sums where branches meet. The global bound of the\n"
    "logits, which local_lipschitz prints, takes layers together and is never larger."
)


def summary(audit: bounds.Audit) -> dict[str, Any]:
    """An audit in terms of JSON."""
    return {
        "bound": audit.bound,
        "layers": [layer._asdict() for layer in audit.layers],
        "exceeding": [layer.name for layer in audit.exceeding],
        "unknown": [layer.name for layer in audit.unknown],
    }


def run(config: Config) -> dict[str, Any]:
    """Audits the network of a run directory and writes what came out beside it."""
    trained = measuring.trained(config)
    norm = norms.named(config.norm)
    with records.hold(trained.path) as folder:
        asked = [measurements.audit(norm)]
        key, parts = jax.random.key(config.seed), measurements.Parts(trained.dataset)
        answers = measurements.measure_one(key, trained.model, parts, asked, folder / "measurements")
        audit = measurements.audit_of(answers, norm, config.tolerance)
        results = {"settings": cli.settings(config), "environment": records.environment(), "norm": config.norm}
        results |= summary(audit)
        records.write_json(folder / f"audit-{config.norm}.json", results)
        report.write_csv(folder / f"audit-{config.norm}.csv", [layer._asdict() for layer in audit.layers])
    print(f"{audit}\n\n{_OF_LAYERS}")
    return results


if __name__ == "__main__":
    process.main(Config, run, __doc__)
