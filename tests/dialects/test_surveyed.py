"""The shapes of real files, each in one of our own: everything in them is read; what we do not have is said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_engine import api
from olive_engine.reading import read_workflow

HERE = Path(__file__).parent
FILES = sorted(path for folder in ("examples", "recipes") for path in (HERE / folder).glob("*.json"))


WRONG = {
    "dangling_reference": ["no data config is called 'tone_train'"],
    "fragment_of_passes": ["`input_model` is required", "unknown key `tune`", "unknown key `merge`"],
    "oldest": ["unknown option `version`", "`data_config` is required"],
    "pickled_model": ["no such folder: 'models/pictures.pt'"],
    "placeholders": [
        *("no such folder: '<<str: model_path>>'", "must be 'cpu', 'gpu' or 'npu', found '<place_holder>'"),
        *("must be 'fp32', 'fp16', 'int8' or 'int4', found '<place_holder>'", "no data config is called '<data>'"),
        *("expected a whole number, found '<max_steps>'", "there is no pass '<place_holder>'"),
        "no system is called '<target>'",
    ],
    "template_not_rendered": ["JSON has no comments"],
}
"""What is wrong with some files for everyone: fragments, templates that were not filled in, names of nothing."""


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shape(file: Path) -> None:
    draft = read_workflow([file])
    errors = [problem for problem in draft.problems if problem.severity == "error"]
    wrong = [str(problem) for problem in errors if "not available" not in problem.what]
    expected = WRONG.get(file.stem, [])
    assert len(wrong) == len(expected), wrong
    assert all(part in said for part, said in zip(expected, wrong, strict=True)), wrong
    assert all(problem.position for problem in errors)
    if not errors:
        api.plan(draft.raise_if_wrong())
