"""The arrows between rooms point one way, and importing the library is cheap."""

import ast
import json
import subprocess
import sys
from itertools import pairwise

import pytest
from conftest import ROOT

import inpaint_jax

LIBRARY = (
    {"latents", "losses", "masks", "blend", "metrics", "answers", "parallel"},
    {"search"},
    {"completion", "networks"},
    {"baselines", "training"},
    {"pretrained", "quality", "data"},
    {"photographs"},
)
"""Rooms of ``inpaint_jax``, from below; each may import what is below or beside it."""

BASE = {"types", "configs", "names", "pixels", "linalg", "version"}
"""Below them all: these import one another at most."""

ENTRANCES = {"__init__", "__main__"}
"""Above them all: the API and the command."""

PROGRAMS = (
    {"runtime"},
    {"flags"},
    {"benchmark", "filling", "paper", "training"},
    {"serving"},
)
"""Rooms of ``experiments``, from below; the programs themselves are above."""

WITHOUT_FLAX = (
    "search",
    "losses",
    "masks",
    "blend",
    "metrics",
    "answers",
    "latents",
    "types",
    "configs",
)


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for package in ("inpaint_jax", "experiments")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def level(module):
    """How high up a module stands."""
    package, *rest = module.split(".")
    if package == "inpaint_jax":
        room = rest[0] if rest else "__init__"
        rooms = [BASE, *LIBRARY, ENTRANCES]
    elif len(rest) < 2 and MODULES[module].stem != "__init__":
        return 100  # A program.
    else:
        room = rest[0] if rest else "runtime"  # ``experiments`` itself is empty.
        rooms = [set()] * 20 + list(PROGRAMS)
    (found,) = (height for height, names in enumerate(rooms) if room in names)
    return found


def imports(source, known):
    """Modules of ours that a source imports, wherever in it, and the lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in whole]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name in known)


def upwards(sources, level=level):
    """Imports of what is higher up, as lines ``module:line imports other``."""
    return [
        f"{module}:{line} imports {other}"
        for module, source in sources.items()
        for other, line in imports(source, sources)
        if level(other) > level(module)
    ]


SOURCES = {module: path.read_text() for module, path in MODULES.items()}


def test_no_import_runs_upwards():
    assert upwards(SOURCES) == []


def test_every_room_has_its_place():
    for module in MODULES:
        assert level(module) >= 0
    heights = [level(f"inpaint_jax.{min(rooms)}") for rooms in (BASE, *LIBRARY)]
    assert all(low < high for low, high in pairwise(heights))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("inpaint_jax.types", "from inpaint_jax.latents import Uniform"),
        ("inpaint_jax.masks", "import inpaint_jax.search.batches"),
        ("inpaint_jax.search.starts", "from inpaint_jax import completion"),
        ("inpaint_jax.training.gan", "from inpaint_jax.data import order"),
        ("inpaint_jax.data.order", "from inpaint_jax import inpaint"),
        ("inpaint_jax.quality.sets", "from experiments.runtime import program"),
        ("experiments.flags.search", "from experiments.filling.methods import Search"),
        ("experiments.runtime.program", "from experiments.flags import dataset"),
        ("experiments.filling.batches", "def f():\n    from experiments import train"),
    ],
)
def test_an_import_that_runs_upwards_is_found(module, line):
    assert upwards(SOURCES | {module: line})[0].startswith(f"{module}:")
    assert level(module) < 100


def cycles(sources):
    """Modules that wait for each other while they are imported."""
    graph = {}
    for module, source in sources.items():
        top = [
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        body = "\n".join(ast.unparse(node) for node in top)
        graph[module] = {other for other, _ in imports(body, sources)}
    while True:
        leaves = {module for module, others in graph.items() if not others}
        if not leaves:
            return sorted(graph)
        graph = {
            module: others - leaves
            for module, others in graph.items()
            if module not in leaves
        }


def test_no_modules_import_each_other():
    assert cycles(SOURCES) == []
    both = {
        "inpaint_jax.masks": "from inpaint_jax import blend",
        "inpaint_jax.blend": "from inpaint_jax.masks import center",
    }
    assert cycles({"inpaint_jax": "", **both}) == sorted(both)


def test_the_core_does_not_name_flax():
    for module, source in SOURCES.items():
        if module.split(".")[1:2] and module.split(".")[1] in WITHOUT_FLAX:
            for node in ast.walk(ast.parse(source)):
                names = [alias.name for alias in getattr(node, "names", [])]
                names.append(getattr(node, "module", None) or "")
                assert not any(name.split(".")[0] == "flax" for name in names), module


def in_a_new_process(code):
    """What a fresh Python prints, as JSON."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_core_works_without_flax():
    found = in_a_new_process(
        "import sys, importlib, json, pkgutil\n"
        "sys.modules['flax'] = None\n"
        f"core = {[f'inpaint_jax.{name}' for name in WITHOUT_FLAX]}\n"
        "found = {}\n"
        "for name in core:\n"
        "    module = importlib.import_module(name)\n"
        "    found[name] = [name]\n"
        "    for each in pkgutil.iter_modules(getattr(module, '__path__', [])):\n"
        "        importlib.import_module(f'{name}.{each.name}')\n"
        "        found[name].append(each.name)\n"
        "import inpaint_jax\n"
        "assert inpaint_jax.inpaint and inpaint_jax.SEARCHES\n"
        "print(json.dumps(found))\n"
    )
    assert len(found["inpaint_jax.search"]) > 3


HEAVY = ("PIL", "equinox", "flax", "matplotlib", "orbax", "tensorflow", "torch", "tqdm")


def test_importing_the_library_brings_nothing_heavy():
    loaded = in_a_new_process(
        "import sys, json, inpaint_jax; print(json.dumps(list(sys.modules)))"
    )
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("inpaint_jax.")}
    assert not rooms & {"baselines", "data", "networks", "quality", "training"}


def test_a_program_that_fills_holes_does_not_wait_for_what_trains():
    loaded = in_a_new_process(
        "import sys, json, experiments.inpaint; print(json.dumps(list(sys.modules)))"
    )
    unused = {"flax", "matplotlib", "optax", "orbax", "scipy", "torch"}
    assert not {name.split(".")[0] for name in loaded} & unused


def test_every_name_of_the_api_is_there():
    for name in inpaint_jax.__all__:
        assert getattr(inpaint_jax, name) is not None
    assert set(inpaint_jax.__all__) <= set(dir(inpaint_jax))
    later = [name for names in inpaint_jax._LATER.values() for name in names]
    assert set(later) <= set(inpaint_jax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        inpaint_jax.load_modle  # noqa: B018
