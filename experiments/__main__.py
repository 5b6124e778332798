"""`lipjax COMMAND --flags`, or `python -m experiments COMMAND --flags`: the same as `python -m experiments.COMMAND`."""

import ast
import runpy
import sys
from pathlib import Path


def commands() -> dict[str, str]:
    """The first line of what every command says of itself, by its name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "\n    process.main(" in source:
            found[path.stem] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def main() -> None:
    """Runs the command that the first argument names."""
    known, arguments = commands(), sys.argv[1:]
    if not arguments or arguments[0] in ("--help", "-h"):
        width = max(map(len, known))
        print("lipjax COMMAND --flags; COMMAND --help explains its flags\n")
        print("\n".join(f"  {name:{width}}  {says}" for name, says in known.items()))
        return
    name, *sys.argv[1:] = arguments
    if name not in known:
        print(f"error: {name!r} is none of {', '.join(known)}", file=sys.stderr)
        sys.exit(2)
    sys.argv[0] = f"lipjax {name}"
    runpy.run_module(f"{__package__}.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
