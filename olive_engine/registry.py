"""Name -> class, for passes, systems and metrics, through entry points.

Built-ins come in by the same door as anyone's plugin: an entry point in the group ``olive_engine.passes``,
``olive_engine.systems`` or ``olive_engine.metrics`` whose value is a tuple of classes. Names match in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, Literal, TypeVar

from olive_engine.contracts import AnyMetric, AnyPass, Metric, Pass, System
from olive_engine.options import Secret, marked

T = TypeVar("T")

PluginKind = Literal["passes", "systems", "metrics"]
_BASES: Mapping[PluginKind, type[Any]] = {"passes": Pass, "systems": System, "metrics": Metric}


def passes() -> Mapping[str, type[AnyPass]]:
    """The installed passes by type name."""
    return _load("passes")


def systems() -> Mapping[str, type[System]]:
    """The installed systems by type name."""
    return _load("systems")


def metrics() -> Mapping[str, type[AnyMetric]]:
    """The installed metrics by type name."""
    return _load("metrics")


def find_pass(name: str) -> type[AnyPass] | None:
    """The pass of that name, in any case; the testing toys are found too, though not listed."""
    return _find(passes(), name) or _find(_load_testing("passes"), name)


def find_system(name: str) -> type[System] | None:
    """The system of that name, in any case; the testing toys are found too, though not listed."""
    return _find(systems(), name) or _find(_load_testing("systems"), name)


def find_metric(name: str) -> type[AnyMetric] | None:
    """The metric of that name, in any case."""
    return _find(metrics(), name)


def is_installed(kind: PluginKind, cls: type) -> bool:
    """Whether an entry point of an installed distribution brings a class."""
    points = (
        *_entry_points().select(group=f"olive_engine.{kind}"),
        *_entry_points().select(group="olive_engine.testing", name=kind),
    )
    return any(point.dist is not None and cls in point.load() for point in points)


def secrets() -> frozenset[str]:
    """The names of options, of any system, that hold a reference to a secret."""
    return frozenset(name for cls in systems().values() for name, _ in marked(cls.config_type, Secret))


def _find(known: Mapping[str, T], name: str) -> T | None:
    return next((cls for type_name, cls in known.items() if type_name.lower() == name.lower()), None)


@cache
def _load(kind: PluginKind) -> Mapping[str, Any]:
    return _classes(kind, tuple(_entry_points().select(group=f"olive_engine.{kind}")))


@cache
def _load_testing(kind: PluginKind) -> Mapping[str, Any]:
    return _classes(kind, tuple(_entry_points().select(group="olive_engine.testing", name=kind)))


@cache
def _entry_points() -> EntryPoints:
    """Those of every installed distribution, read once: that takes some hundred small files."""
    return entry_points()  # type: ignore[return-value]  # Python 3.11's SelectableGroups selects alike


def _classes(kind: PluginKind, points: tuple[EntryPoint, ...]) -> Mapping[str, Any]:
    """Load the tuples that entry points name; refuse what does not fit, naming plugin, member and fault."""
    found: dict[str, Any] = {}
    for point in points:
        where = f"plugin {point.name!r} ({point.value})"
        try:
            value = point.load()
        except Exception as error:
            raise ImportError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
        if not isinstance(value, tuple):
            raise TypeError(f"{where}: expected a tuple of classes, found {value!r}")
        for cls in value:
            if not (isinstance(cls, type) and issubclass(cls, _BASES[kind])):
                raise TypeError(f"{where}: {cls!r} is not a subclass of {_BASES[kind].__name__}")
            name = str(vars(cls).get("type") or cls.__name__)
            if name in found:
                raise TypeError(f"{where}: {kind} of type {name!r} exist twice")
            found[name] = cls
    return found
