"""Whatever was read, in any spelling, can be written as a file of today's that reads to the same workflow."""

from __future__ import annotations

from pathlib import Path

from olive_engine import load_workflow, save_workflow
from olive_engine.reading import read_workflow
from olive_engine.writing import not_held, tree

HERE = Path(__file__).parent
FILES = sorted(path for folder in ("tutorials", "examples", "recipes") for path in (HERE / folder).iterdir())


def test_every_shape_can_be_written_and_read_again() -> None:
    count = 0
    for file in FILES:
        workflow = read_workflow([file]).workflow if file.suffix in (".json", ".yaml") else None
        if workflow is None or not_held(workflow):
            continue
        for name in ("again.yaml", "again.json"):
            save_workflow(workflow, name)
            draft = read_workflow([name])
            assert draft.workflow == workflow, file.name
            assert tree(load_workflow(name)) == tree(workflow), file.name
        count += 1
    assert count >= 40
