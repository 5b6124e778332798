"""Which layer breaks a Lipschitz promise? The constant of every layer of a trained network, and a bound of the whole.

    python -m experiments.train --system=L2NN --out_dir=runs/l2nn
    python -m experiments.audit --run_dir=runs/l2nn

Prints one row per layer (its constant, whether that is exact, an upper bound or unknown, and how it was obtained), the
bound of the network, the layers above 1 and those of which nothing is known; writes `audit.json` and `audit.csv` into
the run directory. The network is taken in evaluation mode, from pixels to logits: standardisation is its first layer.
Of a network of your own, `lipjax.bounds.audit(f, input_shape)` makes the same table.
"""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import choices, cli, train
from lipjax import bounds, checks, records, report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the experiment."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    norm: str = cli.flag("l2", "Norm of inputs and outputs of every layer.", legal=tuple(choices.WORDS["norm"]))
    tolerance: float = cli.flag(1e-4, "How far above 1 a constant is taken for rounding.")


def summary(audit: bounds.Audit) -> dict[str, Any]:
    """An audit in terms of JSON."""
    return {
        "norm": audit.norm,
        "bound": audit.bound,
        "layers": [layer._asdict() for layer in audit.layers],
        "exceeding": [layer.name for layer in audit.exceeding],
        "unknown": [layer.name for layer in audit.unknown],
    }


def run(config: Config) -> dict[str, Any]:
    """Audits the network of a run directory and writes what came out beside it."""
    with choices.flag_errors("tolerance"):
        checks.not_negative(tolerance=config.tolerance)
    trained, folder = train.load(config.run_dir), Path(config.run_dir)
    audit = bounds.audit(trained.model, trained.dataset.input_shape, norm=config.norm, tolerance=config.tolerance)
    results = {"settings": cli.settings(config), "environment": records.environment()} | summary(audit)
    records.write_json(folder / "audit.json", results)
    report.write_csv(folder / "audit.csv", [layer._asdict() for layer in audit.layers])
    print(audit)
    return results


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
