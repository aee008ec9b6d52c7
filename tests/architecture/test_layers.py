"""The import contracts of pyproject.toml hold; they are checked by import-linter, here as in `make check`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for top in ("olive_engine", "passes", "systems") for path in (ROOT / top).rglob("*.py")]


def test_the_engine_names_no_concrete_pass_or_system():
    from olive_engine import registry

    names = {f'"{name}"' for name in registry.passes()}
    engine = ROOT / "olive_engine"
    # What Olive called things is the business of the one; what a first workflow is made of, of the other.
    may = {*(engine / "config" / "legacy").iterdir(), engine / "cli" / "questions.py"}
    for path in engine.rglob("*.py"):
        if path in may:
            continue
        text = path.read_text()
        named = {name for name in names if name in text}
        assert not named, f"{path.relative_to(ROOT)} names {named}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_called_utils(path):
    assert path.stem not in {"utils", "util", "common", "helpers", "manager", "misc"}


def test_public_functions_have_docstrings():
    bare = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert not bare
