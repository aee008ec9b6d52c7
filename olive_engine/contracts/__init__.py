"""The contracts: what a pass, a metric and a system promise, and the format they talk in."""

from olive_engine.contracts.metrics import AnyMetric, Measurement, Metric
from olive_engine.contracts.passes import AnyPass, Device, PackItem, Pass, PassContext
from olive_engine.contracts.systems import Capabilities, Handle, System, Update
from olive_engine.contracts.wire import (
    EVENT_LINE,
    EVENT_PREFIX,
    PROTOCOL,
    Environment,
    Event,
    EventLine,
    Item,
    ItemError,
    ItemResult,
    Job,
    Log,
    Metrics,
    Progress,
    Resources,
    Result,
    Segment,
)

__all__ = [
    "EVENT_LINE",
    "EVENT_PREFIX",
    "PROTOCOL",
    "AnyMetric",
    "AnyPass",
    "Capabilities",
    "Device",
    "Environment",
    "Event",
    "EventLine",
    "Handle",
    "Item",
    "ItemError",
    "ItemResult",
    "Job",
    "Log",
    "Measurement",
    "Metric",
    "Metrics",
    "PackItem",
    "Pass",
    "PassContext",
    "Progress",
    "Resources",
    "Result",
    "Segment",
    "System",
    "Update",
]
