"""The public names, what importing them loads, and which room may import which."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run

import striate

HOME = Path(striate.__file__).parent
TORCH = ("torch", "safetensors")
SLOW = (
    *TORCH,
    *("PIL", "filelock", "matplotlib", "numpy", "platformdirs", "pyarrow", "scipy", "sklearn"),
    *("lark", "rich", "click"),
)

# Each floor may import those before it.
FLOORS = [
    ["errors", "host"],
    ["disk"],
    ["layers"],
    ["tree"],
    ["notation"],
    ["steps"],
    ["mismatch"],
    ["expand"],
    ["network", "origin"],
    ["account", "pattern", "zoo", "recipes", "records", "codes", "pretrained"],
    ["modules"],
    ["containers"],
    ["initialise", "kinds"],
    ["build", "data", "foreign"],
    ["fast"],
    ["compute", "ranks", "average", "rules", "schedules", "whitening", "freezing"],
    ["evaluate", "see"],
    ["state"],
    ["diagnosis", "features", "losses"],
    ["train"],
    ["storage"],
    ["checkpoints"],
    ["runs"],
    ["keeping", "transfer"],
    ["session"],
    ["recover"],
    ["probe"],
    ["timing"],
    ["draw"],
    ["gallery", "web"],
    ["lab"],
    ["ship"],
    ["serve"],
    ["comparison"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITH_TORCH = {
    *("average", "containers"),
    *("modules", "initialise", "kinds", "build", "data", "compute", "ranks", "rules", "whitening"),
    *("fast", "probe", "ship", "timing"),
    *("evaluate", "see", "gallery", "lab", "state", "diagnosis", "losses", "train"),
    *("storage", "checkpoints", "runs", "session"),
    *("features", "freezing", "transfer", "recover"),
}
# A method that ends in a room above imports it when it is called: network.table(), .build().
UPWARDS = {
    "network": {"account", "draw", "build", "zoo", "recover"},
    "runs": {"lab"},
    "transfer": {"ship"},  # files that are exported are read where they are written
    "recover": {"ship"},
}


# -- names


@pytest.mark.parametrize("name", striate.__all__)
def test_public_names(name: str) -> None:
    assert getattr(striate, name) is getattr(striate, name)
    assert name in dir(striate)


def test_version_and_unknown_names() -> None:
    assert striate.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="module 'striate' has no attribute 'nothing'"):
        _ = striate.nothing


def test_lazy_names_are_the_same_objects() -> None:
    from striate.account import Account
    from striate.errors import NotationError
    from striate.network import Network, read

    assert striate.Account is Account
    assert (striate.Network, striate.read) == (Network, read)
    assert striate.NotationError is NotationError
    assert striate.zoo is sys.modules["striate.zoo"]
    assert striate.layers is sys.modules["striate.layers"]


def test_compare_is_the_function_whatever_was_imported_before(python: Run) -> None:
    """No submodule has the name of a public function, which importing it would take."""
    for order in ("import striate.comparison", "from striate import compare", "pass"):
        code = f"import striate; {order}; assert callable(striate.compare)"
        ran = python("-c", code)
        assert ran.returncode == 0, ran.stderr


def test_typed() -> None:
    assert (HOME / "py.typed").is_file()


# -- what is loaded


def loaded(python: Run, code: str) -> set[str]:
    """Which of the slow packages the code has loaded at its end."""
    ran = python("-c", f"import sys; {code}; print(*[m for m in {SLOW} if m in sys.modules])")
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_striate_loads_nothing(python: Run) -> None:
    assert loaded(python, "import striate; dir(striate); striate.__version__") == set()


def test_reading_and_counting_need_no_torch(python: Run) -> None:
    code = "import striate; striate.read('vgg16').account(); list(striate.generate())"
    assert loaded(python, code) == {"lark"}
    assert loaded(python, "import striate; str(striate.read('vgg16').table())") == {"lark", "rich"}


def test_images_and_recipes_need_no_torch(python: Run) -> None:
    """Processes that decode, and a look at images, start without it."""
    code = "from striate.data import load; load('digits')"
    assert loaded(python, code).isdisjoint({*TORCH, "lark", "click"})
    assert loaded(python, "from striate import recipes; recipes.read('default')") == set()


# -- floors


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does so as it is loaded."""
    tree = ast.parse(file.read_text("utf-8"))
    places: list[tuple[ast.AST, bool]] = [(tree, True)]
    while places:
        node, at_once = places.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            if node.module == "striate":
                yield from ((f"striate.{alias.name}", at_once) for alias in node.names)
            else:
                yield str(node.module), at_once
        at_once = at_once and not isinstance(node, ast.FunctionDef)
        places += [(child, at_once) for child in ast.iter_child_nodes(node)]


def room(file: Path) -> str:
    return file.relative_to(HOME).parts[0].removesuffix(".py")


FILES = sorted(
    file for file in HOME.rglob("*.py") if file.parent != HOME or "__init__" not in file.name
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_imports_point_down(file: Path) -> None:
    """A room imports what is below it, and is imported later by what is above only in methods."""
    own = room(file)
    assert own in FLOOR, "a new room needs a floor"
    for module, at_once in imports(file):
        other = f"{module}.".split(".")[1]
        if not module.startswith("striate.") or other in (own, "__version__"):
            continue
        below = FLOOR[other] < FLOOR[own]
        assert below or (not at_once and other in UPWARDS.get(own, set())), f"imports {other}"


def test_torch_only_where_it_belongs() -> None:
    using = {
        room(file)
        for file in FILES
        for module, at_once in imports(file)
        if at_once and module.split(".")[0] in TORCH
    }
    assert using == WITH_TORCH


def test_floors_name_each_room_once() -> None:
    rooms = list(itertools.chain.from_iterable(FLOORS))
    assert len(rooms) == len(set(rooms))


def test_architecture_lists_the_rooms_from_the_ground_up() -> None:
    text = (HOME.parents[1] / "ARCHITECTURE.md").read_text("utf-8")
    listed = re.findall(r"^  (\w+)(?:\.py|/) ", text, re.MULTILINE)
    floors = [FLOOR[each] for each in listed if each != "__init__"]
    assert floors == sorted(floors)
    assert {"__init__", "__main__", *listed} == {"__init__", *FLOOR}
