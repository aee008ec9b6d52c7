"""A pass and a metric with everything that reading looks at, found by name beside the installed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from olive_engine import registry
from olive_engine.contracts import Measurement, Metric, Pass, PassContext
from olive_engine.models import HfModel, Model
from olive_engine.options import DataRef, Options


class TunerArgs(Options):
    learning_rate: float = Field(1e-4, gt=0)
    max_steps: int = Field(-1, ge=-1)
    scheduler: Literal["linear", "cosine"] = "linear"


class TunerConfig(Options):
    r: int = Field(16, gt=0)
    alpha: float = 16
    target_modules: str | tuple[str, ...] | None = None
    patterns: dict[str, int] = Field({})
    train_data: Annotated[str | None, DataRef()] = None
    training_args: TunerArgs = TunerArgs()

    @model_validator(mode="after")
    def _agree(self) -> TunerConfig:
        if self.alpha > 1000 * self.r:
            raise ValueError(f"alpha must be at most 1000 times r, found {self.alpha} and {self.r}")
        return self


class Tuner(Pass[TunerConfig, HfModel, HfModel]):
    type = "Tuner"

    def run(self, model: HfModel, config: TunerConfig, context: PassContext) -> HfModel:
        return model


class ScoreConfig(Options):
    batch_size: int = Field(1, gt=0)


class Score(Metric[ScoreConfig]):
    type = "score"
    config_type = ScoreConfig
    sub_types: ClassVar[Mapping[str, bool]] = {"accuracy_score": True, "exact_match": True}
    needs_data = True

    def measure(self, model: Model, config: ScoreConfig, context: PassContext) -> Measurement:
        return Measurement({"accuracy_score": 1.0})


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    find_pass, find_metric = registry.find_pass, registry.find_metric
    monkeypatch.setattr(registry, "find_pass", lambda name: Tuner if name.lower() == "tuner" else find_pass(name))
    monkeypatch.setattr(registry, "find_metric", lambda name: Score if name.lower() == "score" else find_metric(name))
    monkeypatch.setattr(registry, "passes", lambda: {"Tuner": Tuner})
    monkeypatch.setattr(registry, "metrics", lambda: {"score": Score})
