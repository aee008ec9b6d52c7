"""What a metric is: numbers about a model, measured in a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from olive_engine.contracts.passes import PassContext
from olive_engine.models import Model, Predictions
from olive_engine.options import Options, OptionsClass

C = TypeVar("C", bound=Options)


@dataclass(frozen=True)
class Measurement:
    """What a metric found: a value for each sub-type, and the answers behind them where there are any."""

    values: Mapping[str, float]
    predictions: Predictions | None = None


class Metric(ABC, Generic[C]):
    """One kind of measurement. The class is light; `measure` imports what it needs."""

    type: ClassVar[str]
    config_type: ClassVar[OptionsClass]
    """What may be written under ``metric_config``, besides `data_config`."""
    sub_types: ClassVar[Mapping[str, bool]]
    """Name of each value it can give -> whether higher is better. The first is the default."""
    timing: ClassVar[bool] = False
    """It measures this machine: the machine is part of its key, and nothing runs beside it."""
    needs_data: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    """It draws random numbers: the workflow's seed is part of its key."""
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "cpu"

    @abstractmethod
    def measure(self, model: Model, config: C, context: PassContext) -> Measurement:
        """Measure `model`. The data set, if any, is ``context.data["data_config"]``."""


AnyMetric = Metric[Any]
