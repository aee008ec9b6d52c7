"""Reading, planning and explaining a workflow import nothing heavy, in an environment that has it all."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

HEAVY = {
    "torch",
    "transformers",
    "peft",
    "datasets",
    "accelerate",
    "onnx",
    "onnxruntime",
    "onnxruntime_genai",
    "onnxscript",
    "optuna",
    "ray",
    "azure",
    "numpy",
    "pandas",
    "pyarrow",
}
SAMPLE = Path(__file__).parents[2] / "samples" / "phrase_tone"


def imported_by(arguments, folder):
    """The top-level modules that a command imports, as the interpreter itself tells."""
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "olive_engine", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["validate", "workflow.yaml"],
        ["plan", "workflow.yaml"],
        ["why", "workflow.yaml", "lora"],
        ["schema"],
        ["passes"],
        ["passes", "LoRA"],
        ["systems"],
        ["cache", "size", "--cache-dir", "{cache}"],
    ],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_imports_nothing_heavy(arguments, tmp_path):
    (tmp_path / "records").mkdir()
    arguments = [argument.format(cache=tmp_path) for argument in arguments]
    for package in ("torch", "transformers", "onnxruntime"):
        assert version(package), "the test means something only where these are installed"
    assert not HEAVY & imported_by(arguments, SAMPLE)


def test_help_imports_neither_pydantic_nor_networkx():
    assert not {"pydantic", "networkx", "yaml", "rich"} & imported_by(["--help"], SAMPLE)


def test_a_worker_starts_without_torch():
    code = "import sys, olive_engine.worker; print('torch' in sys.modules, 'networkx' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
