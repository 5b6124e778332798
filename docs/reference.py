"""Pages of the documentation that are made from the code: one of every public module, with every public name.

mkdocs calls these functions (https://www.mkdocs.org/user-guide/configuration/#hooks). What a module exports is what its
`__init__` imports under its own name, or what it defines without an underscore, so that no name can be forgotten.
"""

import ast
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "lipjax"


def modules() -> list[str]:
    """The public modules, in the order in which lipjax imports them."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "lipjax"]
    return [name.name for node in imports for name in node.names]


def public_names(module: str) -> dict[str, str]:
    """What a module exports, and where each name is defined."""
    folder = PACKAGE / module
    path = folder / "__init__.py" if folder.is_dir() else PACKAGE / f"{module}.py"
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and folder.is_dir():
            found |= {name.name: f"{node.module}.{name.name}" for name in node.names if name.asname == name.name}
        else:
            found |= {name: f"lipjax.{module}.{name}" for name in _defined(node)}
    return {name: place for name, place in found.items() if not name.startswith("_")}


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    single = [each for target in targets for each in getattr(target, "elts", [target])]
    return [target.id for target in single if isinstance(target, ast.Name)]


def page(module: str) -> str:
    """The text of a module's page."""
    head = f"# lipjax.{module}\n\n::: lipjax.{module}\n    options: {{members: false, show_root_heading: false}}\n"
    entries = [
        f"\n::: {place}\n    options: {{heading: {module}.{name}, toc_label: {name}}}\n"
        for name, place in public_names(module).items()
    ]
    return "".join([head, *entries])


def on_config(config: Any) -> Any:
    """The pages in the navigation."""
    config.nav.append({"Reference": [{module: f"reference/{module}.md"} for module in modules()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """The pages among the files."""
    from mkdocs.structure.files import File

    for module in modules():
        files.append(File.generated(config, f"reference/{module}.md", content=page(module)))
    return files
