"""docs/python.md: its examples run, its tables are true, and type checkers accept the code."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import olive_engine
from olive_engine import HfAdapterModel, RunResult, registry
from olive_engine.testing.tiny_models import build_tiny_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
SAMPLE = ROOT / "samples" / "phrase_tone"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
HEAVY = ("torch", "transformers", "peft", "datasets", "accelerate", "onnx", "onnxruntime", "onnxruntime_genai", "numpy")
"""Libraries that no public signature names, so that mypy need not read them here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with a tiny model and a few rows."""
    folder = tmp_path_factory.mktemp("phrase_tone")
    build_tiny_model(folder / "base_model")
    (folder / "data").mkdir()
    (folder / "workflow.yaml").write_bytes((SAMPLE / "workflow.yaml").read_bytes())
    for name, count in (("train", 64), ("heldout", 12)):
        lines = (SAMPLE / "data" / f"{name}.jsonl").read_text().splitlines()[:count]
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


class Page:
    """The page as a notebook: its blocks in one namespace, and what each has printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed: list[str] = []

    def run(self, capture: pytest.CaptureFixture[str]) -> None:
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"docs/python.md, block {number + 1}", "exec"), self.names)
            self.printed.append(capture.readouterr().out)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder)


@pytest.mark.slow
def test_the_examples_run(page: Page, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(page.folder)
    page.run(capsys)
    with_changes, built, compared, searched, defined = page.printed

    plan, numbers = with_changes.splitlines()[:21], with_changes.splitlines()[21:]
    assert plan[0].split() == ["data:train", "run", "no", "result", "yet"]
    assert 0 <= float(numbers[0]) <= 1
    assert numbers[1] == str(page.folder / "output-r8" / "model")
    assert [line.partition(":")[0] for line in numbers[2:]] == ["lora", "merge", "int4"]

    assert re.findall(r"^lora (\d+)/40: loss \d+\.\d{3}$", built, re.MULTILINE) == ["10", "20", "30", "40"]
    assert len(re.findall(r"^lora: \d+\.\d s$", built, re.MULTILINE)) == 1
    assert "input_model:perplexity: reused" in built  # measured in the first example
    before, after = map(float, built.splitlines()[-1].split())
    assert after < before

    runs = re.findall(r"^r=(\d+): perplexity ([\d.]+), computed \((.*)\)$", compared, re.MULTILINE)
    trained = "'lora', 'lora:perplexity'"
    assert [(r, steps) for r, _, steps in runs] == [("4", trained), ("8", ""), ("16", trained)]
    best = min(runs, key=lambda each: float(each[1]))[0]
    output = page.folder / "output-tuned"
    assert compared.splitlines()[-1] == f"{best} {output}"
    assert json.loads((output / "adapter" / "adapter_config.json").read_text())["r"] == int(best)

    assert searched == ""
    page.names["search_rank"]()  # type: ignore[operator]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith(": 3 trials")  # each of the ranks once
    assert sum(line.startswith("trial ") for line in shown) == 3
    report = Path(shown[-1])
    assert report.parent == page.folder / "output-search"
    assert report.is_file()

    assert defined == ""
    result = asyncio.run(page.names["tune"]())  # type: ignore[operator]
    assert isinstance(result, RunResult)
    assert len(result.reused) == capsys.readouterr().out.count(": reused\n") == 5
    assert result.models["lora"] == HfAdapterModel(
        model_path=page.folder / "base_model", adapter_path=output / "adapter"
    )


@pytest.mark.slow
def test_type_checkers_accept_the_examples(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("\n".join(BLOCKS))
    (tmp_path / "built.py").write_text((Path(__file__).parent / "phrase_tone.py").read_text())
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    skipped = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\nignore_missing_imports = True\n" for name in HEAVY)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\nwarn_unreachable = True\n{skipped}")
    cache = ROOT / ".mypy_cache" / "users"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", cache, "page.py", "built.py", "mistakes.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    wrong = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# wrong")}
    found = re.findall(r"^(\S+?):(\d+): error: ", done.stdout, re.MULTILINE)
    assert {(file, int(line)) for file, line in found} == {("mistakes.py", line) for line in wrong}, done.stdout


MISTAKES = """\
from olive_engine import HfModelConfig, PassEntry, Workflow, check, plan, run
from olive_passes.finetune import LoRAConfig

model = HfModelConfig(path="base")  # wrong
lora = LoRAConfig(r="16")  # wrong
lora = LoRAConfig(bias="some")  # wrong
entry = PassEntry(kind="LoRA")  # wrong
workflow = Workflow(passes={"lora": entry})  # wrong
workflow = Workflow(input_model=model, passes=[entry])  # wrong
workflow = Workflow(input_model=model, passes={"lora": entry, "merge": [entry, entry]})
result = run(workflow)
result.models["lora"].model_paths  # wrong
score: str = result.metrics["lora"]["accuracy.accuracy_score"]  # wrong
names: tuple[str, ...] = plan(workflow).to_run
hint: str = check(workflow)[0].hint
"""


def test_the_functions_and_errors_of_the_page_are_there() -> None:
    table = re.findall(r"^\| `(\w+)(\([^`]*\))?` \|", PAGE, re.MULTILINE)
    functions = {name: signature for name, signature in table if signature}
    assert functions.keys() == {"load_workflow", "save_workflow", "check", "plan", "why", "run"}
    for name, signature in functions.items():
        parameters = inspect.signature(getattr(olive_engine, name)).parameters.values()
        plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
        shown = str(inspect.Signature([each.replace(kind=_visible(each)) for each in plain]))
        assert shown.replace(" = ", "=") == signature
    errors = {name for name, _ in table} & set(vars(olive_engine.errors))
    kinds = {each.__name__ for each in olive_engine.WorkflowError.__subclasses__()}
    assert errors == kinds


def _visible(parameter: inspect.Parameter) -> inspect._ParameterKind:
    """The page leaves the star before keyword-only parameters out."""
    only = parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name in ("debug", "detach")
    return inspect.Parameter.POSITIONAL_OR_KEYWORD if only else parameter.kind


def test_the_option_classes_of_the_page_are_those_of_the_types() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (`\w+`(?:, `\w+`)*) \| `([\w.]+)` \|$", PAGE, re.MULTILINE)
    shown: dict[str, str] = {}
    for types, classes, module in rows:
        names = re.findall(r"\w+", classes)
        for name in names:
            assert getattr(importlib.import_module(module), name).__name__ == name
        for index, type_ in enumerate(re.findall(r"\w+", types)):
            shown[type_] = names[min(index, len(names) - 1)]
    plugins = {**registry.passes(), **registry.metrics(), **registry.systems()}
    for type_, name in shown.items():
        assert plugins[type_].config_type.__name__ == name
    options = {type_ for type_, plugin in plugins.items() if plugin.config_type.model_fields}
    assert options - shown.keys() <= {"AzureML", "InProcess"}
