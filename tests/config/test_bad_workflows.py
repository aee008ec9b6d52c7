"""Each file in tests/bad_workflows is named by its defect; beside it stands what is said about it, whole."""

from pathlib import Path

import pytest

from olive_engine.config.diagnostics import render
from olive_engine.errors import InvalidWorkflow
from olive_engine.reading import read_workflow

FOLDER = Path(__file__).parent.parent / "bad_workflows"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".json", ".yaml"))


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Only what is installed: the files are for users."""


@pytest.mark.parametrize("name", FILES)
def test_defect(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    draft = read_workflow([name])
    assert render(draft.problems, source=False) + "\n" == Path(f"{name}.expected").read_text()
    assert draft.workflow is None
    with pytest.raises(InvalidWorkflow) as caught:
        draft.raise_if_wrong()
    assert caught.value.problems == draft.problems
    assert all(problem.position for problem in draft.problems)


def test_every_expectation_has_its_file() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.expected")) == sorted(f"{name}.expected" for name in FILES)
