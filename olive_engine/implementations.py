"""The digest of the sources that do a step: code that changes gives other keys, and nobody has to count versions."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from olive_engine.digests import digest, file_digest, files_under
from olive_engine.registry import find_metric, find_pass

DATA_MODULES = ("olive_engine.data", "olive_engine.config.data")
"""Where the rules stand by which rows become tokens."""


def step_name(kind: str, type_: str) -> str:
    """What a kind of step is called where an environment says whose code it has: ``pass:LoRA``, ``data:``."""
    return f"{kind}:{type_}"


def implementation(kind: str, type_: str) -> str | None:
    """The digest of the sources of a kind of step: its class's package, and the modules that the class says it shares.

    Read each time: in a notebook the code may change between two runs.

    Args:
        kind: of the step: ``pass``, ``evaluate`` or ``data``.
        type_: the pass or the metric; it counts for nothing in ``data``.

    Returns:
        None where no such pass or metric is installed.
    """
    if kind == "data":
        return _sources_digest((), DATA_MODULES)
    if kind == "evaluate":
        metric = find_metric(type_)
        return _sources_digest((metric.__module__,), DATA_MODULES) if metric else None
    cls = find_pass(type_)
    return _sources_digest((cls.__module__,), cls.shared) if cls else None


def _sources_digest(classes: tuple[str, ...], shared: tuple[str, ...]) -> str:
    """Of the packages that hold the modules `classes`, and of the modules `shared` themselves (packages whole)."""
    own = (_origin(module).parent if "." in module else _origin(module) for module in classes)
    others = (path.parent if path.name == "__init__.py" else path for path in map(_origin, shared))
    return digest([_files_digest(root) for root in (*own, *others)])


def _origin(module: str) -> Path:
    """The file of a module, found without importing it.

    Raises:
        ModuleNotFoundError: it has no source file.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source found for {module}")
    return Path(spec.origin)


def _files_digest(root: Path) -> str:
    folder = root.parent if root.is_file() else root
    return digest({name: file_digest(folder / name) for name in files_under(root)})
