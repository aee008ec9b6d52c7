"""Huge and wicked files: what it costs to say that they are no workflows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.typos import FILES
from olive_engine.config.diagnostics import render
from olive_engine.reading import read_workflow

SECONDS = 60.0
MEMORY = 512
"""What reading any of them may take, the memory in MiB."""
_MIB = 2**20


def _yaml_bomb() -> bytes:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    return f"a0: &a0 [x, x]\n{levels}".encode()


def _merge_bomb() -> bytes:
    first = "a0: &a0 {" + ", ".join(f"k{n}: {n}" for n in range(1000)) + "}\n"
    return (
        first + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 50)}]}}\n" for n in range(1, 200))
    ).encode()


HUGE: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "50 MB of JSON": (".json", lambda: b'{"a": "' + b"x" * 50_000_000 + b'"}'),
    "31 MiB, one JSON text": (".json", lambda: b'{"a": "' + b"x" * (31 * _MIB) + b'"}'),
    "31 MiB, one YAML text": (".yaml", lambda: b"a: " + b"x" * (31 * _MIB)),
    "31 MiB of JSON numbers": (".json", lambda: b'{"a": [' + b"1," * (31 * _MIB // 2) + b"1]}"),
    "31 MiB of YAML lines": (".yaml", lambda: b"a:\n" + b"- 1\n" * (31 * _MIB // 4)),
    "31 MiB of blanks": (".yaml", lambda: b" \n" * (31 * _MIB // 2)),
    "31 MiB of comments": (".yaml", lambda: b"#\n" * (31 * _MIB // 2)),
    "31 MiB, one JSON key": (".json", lambda: b'{"' + b"k" * (31 * _MIB) + b'": 1}'),
    "31 MiB, one YAML key": (".yaml", lambda: b"k" * (31 * _MIB) + b": 1"),
    "400,000 unknown keys": (".json", lambda: json.dumps({f"key{n}": n for n in range(400_000)}).encode()),
    "200,000 passes": (".json", lambda: json.dumps({"passes": {f"p{n}": {} for n in range(200_000)}}).encode()),
    "100,000 passes that name systems": (
        ".json",
        lambda: json.dumps(
            {"input_model": {"type": "HfModel", "model_path": "o/n"}, "systems": {"s": {"type": "LocalSystem"}}}
            | {"passes": {f"p{n}": {"type": "ToyScale", "host": f"h{n}"} for n in range(100_000)}}
        ).encode(),
    ),
    "JSON, 10 million [": (".json", lambda: b"[" * 10_000_000),
    "YAML, 1 million [": (".yaml", lambda: b"[" * 1_000_000),
    "YAML, 3,000 levels of blocks": (".yaml", lambda: b"".join(b" " * n + b"a:\n" for n in range(3000))),
    "YAML, - - - - …": (".yaml", lambda: b"- " * 1_000_000),
    "YAML aliases, 9 to the 29th": (".yaml", _yaml_bomb),
    "YAML merge keys of merge keys": (".yaml", _merge_bomb),
    "YAML, 400,000 aliases": (".yaml", lambda: b"a: &a x\nb: [" + b"*a, " * 400_000 + b"]"),
    "YAML, 300,000 anchors": (".yaml", lambda: b"".join(b"k%d: &a%d x\n" % (n, n) for n in range(300_000))),
    "YAML, 1 million documents": (".yaml", lambda: b"---\na\n" * 1_000_000),
    "YAML, an open quote": (".yaml", lambda: b'a: "' + b"x\n" * 5_000_000),
    "a number of 10 million digits": (".json", lambda: b'{"a": ' + b"9" * 10_000_000 + b"}"),
    "a YAML number of 10 million digits": (".yaml", lambda: b"a: 0." + b"9" * 10_000_000),
}
"""What it is -> the file's suffix, and how to make its bytes."""


def cost_of(name: str) -> tuple[int, float, float]:
    """Bytes, seconds and peak memory in MiB of reading one of `HUGE`, in a process of its own.

    Raises:
        RuntimeError: something else than a workflow or problems came out.
    """
    suffix, make = HUGE[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"huge{suffix}"
        path.write_bytes(make())
        command = [sys.executable, "-m", "benchmarks.huge", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        taken, memory = map(float, done.stdout.split())
        return path.stat().st_size, taken, memory


def _read_huge(path: Path) -> None:
    read_workflow([FILES[0]])  # what every reading imports
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: a child begins with its parent's
    before, started = _memory("VmHWM"), time.perf_counter()
    render(read_workflow([path]).problems)
    taken = time.perf_counter() - started
    print(taken, _memory("VmHWM") - before)


def _memory(name: str) -> float:
    """A line of Linux's ``/proc/self/status``, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    _read_huge(Path(sys.argv[1]))
