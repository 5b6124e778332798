"""`lipjax COMMAND --flags`: the experiments, which are `lipjax.experiments` where lipjax is installed from a wheel."""

import importlib
import importlib.util


def main() -> None:
    """Runs a command of the installed experiments, or of those of this checkout."""
    name = "lipjax.experiments" if importlib.util.find_spec("lipjax.experiments") else "experiments"
    importlib.import_module(f"{name}.__main__").main()


if __name__ == "__main__":
    main()
