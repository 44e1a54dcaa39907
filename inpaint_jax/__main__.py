"""Starts a program from anywhere: ``inpaint-jax inpaint`` or ``python -m inpaint_jax``.

The programs are those of the package ``experiments`` that came with this one. They are
found beside it and not on the path, where a folder of that name in the current folder
would come first.
"""

import ast
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NoReturn

from inpaint_jax.version import __version__

_PACKAGE = "experiments"
_FOLDER = Path(__file__).parents[1] / _PACKAGE


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program that the first argument names, with the others as its flags."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, *rest = given or ["--help"]
    if name in ("--help", "-h", "help"):
        print(_overview())
        return
    if name == "--version":
        print(__version__)
        return
    module = name.replace("-", "_")
    if module not in _programs():
        known = ", ".join(_programs())
        _fail(f"there is no program {name!r}; there are {known} (--help says more)")
    _bring_programs()
    sys.argv = [name, *rest]
    runpy.run_module(f"{_PACKAGE}.{module}", run_name="__main__", alter_sys=True)


def _programs() -> dict[str, Path]:
    """The programs by name: the files that stand alone in the folder."""
    found = {
        path.stem: path
        for path in sorted(_FOLDER.glob("*.py"))
        if not path.stem.startswith("_")
    }
    if not found:
        _fail(f"the programs are missing: there is no {_FOLDER}")
    return found


def _overview() -> str:
    lines = ["usage: inpaint-jax PROGRAM [--flag=value ...]", ""]
    for name, path in _programs().items():
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<20}{about.partition(chr(10))[0]}")
    lines += ["", "inpaint-jax PROGRAM --help lists the flags of one."]
    return "\n".join(lines)


def _bring_programs() -> None:
    """Imports the package from beside this one, whatever else has its name."""
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
    )
    assert isinstance(spec, ModuleSpec)
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)


def _fail(message: str) -> NoReturn:
    print(f"inpaint-jax: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
