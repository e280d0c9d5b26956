"""The architecture as a test: data takes one way through the house, never back."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cxpredict"
ROOMS = [
    "errors",
    "config",
    "data",
    "features",
    "models",
    "drivers",
    "value",
    "action",
    "jobs",
    "report",
    "cli",
]
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in ROOMS
)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cxpredict"):
            parts = node.module.split(".")[1:]
            yield from [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("cxpredict."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    room = ROOMS.index(room_of(path))
    wrong = [
        other for other in imported_rooms(path) if other in ROOMS and ROOMS.index(other) > room
    ]
    assert not wrong, f"{path.name} imports from below: {wrong}"


def test_every_room_is_in_the_table():
    found = {room_of(path) for path in FILES} | {p.stem for p in PACKAGE.glob("*.py")}
    assert found - {"__init__"} == set(ROOMS)


def test_features_and_labels_never_meet():
    features = PACKAGE / "features"
    makers = [*features.glob("*.py"), *(features / "panes").glob("*.py")]
    assert len(makers) > 8
    for path in makers:
        text = path.read_text(encoding="utf-8")
        assert "features.problem" not in text, path.name


@pytest.mark.parametrize("room", ["models", "drivers", "value", "jobs", "data", "features"])
def test_nothing_is_pickled(room):
    for path in (PACKAGE / room).glob("*.py"):
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {"pickle", "cloudpickle"}, path.name
