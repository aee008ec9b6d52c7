"""A source model of each architecture, and what a pass is given to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from olive_engine.contracts import Device, Event, Log, Metrics, PassContext
from olive_engine.models import HfModel, OnnxModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_model
from olive_passes.model_builder import ModelBuilder, ModelBuilderConfig


@dataclass
class Built:
    """What one run of the pass gave."""

    model: OnnxModel
    events: list[Event] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        return {
            name: value for event in self.events if isinstance(event, Metrics) for name, value in event.values.items()
        }

    @property
    def log(self) -> list[Log]:
        return [event for event in self.events if isinstance(event, Log)]


def make_context(folder: Path, report: Callable[[Event], None], device: Device | None = None) -> PassContext:
    for name in ("out", "state", "scratch"):
        (folder / name).mkdir(parents=True)
    return PassContext(
        out=folder / "out",
        state=folder / "state",
        scratch=folder / "scratch",
        seed=0,
        device=device or Device(),
        threads=1,
        data={},
        resident=lambda _, load: load(),
        report=report,
        should_stop=lambda: False,
    )


def run_pass(model: HfModel, folder: Path, device: Device | None = None, **options: object) -> Built:
    """Run the pass once, with options as a workflow file would give them."""
    events: list[Event] = []
    config = ModelBuilderConfig.model_validate(options)
    context = make_context(folder, events.append, device)
    return Built(ModelBuilder().run(model, config, context), events)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[Architecture, HfModel]:
    root = tmp_path_factory.mktemp("sources")
    return {name: build_tiny_model(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def built(
    sources: dict[Architecture, HfModel], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Architecture, str], Built]:
    """The pass's result for an architecture and a precision; each is built once."""
    made: dict[tuple[str, str], Built] = {}

    def get(architecture: Architecture, precision: str) -> Built:
        key = (architecture, precision)
        if key not in made:
            made[key] = run_pass(sources[architecture], tmp_path_factory.mktemp("built"), precision=precision)
        return made[key]

    return get
