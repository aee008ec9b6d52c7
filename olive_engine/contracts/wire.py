"""The wire format between the engine and a worker, wherever that runs: ``job.json``, ``result.json``, events.

These models are the format: ``schemas/job.schema.json``, ``result.schema.json`` and ``event.schema.json`` are generated
from them, and both sides read through them, so a foreign version or shape is one clear error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from olive_engine.models import Manifest

PROTOCOL = 1
"""Raised whenever a job that an older worker would misread can be written."""

EVENT_PREFIX = "@olive "
"""A worker's stdout line that starts with this carries one event line as JSON."""


class Wire(BaseModel):
    """Base of the wire models: frozen, strict about names; NaN and infinities travel as strings."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


# --- events -------------------------------------------------------------------------------------------------------


class Progress(Wire):
    """How far a long piece of work is, with what it measures on the way (loss, learning_rate, tokens_per_second)."""

    type: Literal["progress"] = "progress"
    step: int
    total: int
    unit: str = "steps"
    values: dict[str, float] = {}


class Metrics(Wire):
    """Values worth keeping. The last value of each name is recorded with the step's result."""

    type: Literal["metrics"] = "metrics"
    values: dict[str, float]


class Log(Wire):
    """A line for the user; `level` as in `logging`."""

    type: Literal["log"] = "log"
    message: str
    level: Literal["debug", "info", "warning", "error"] = "info"


Event = Annotated[Progress | Metrics | Log, Field(discriminator="type")]


class EventLine(Wire):
    """One line of ``events.jsonl``: which item of the job says it, and when (seconds since the epoch)."""

    item: int
    time: float
    event: Event


# --- jobs ---------------------------------------------------------------------------------------------------------


class Segment(Wire):
    """A stretch of a training: from the state of the segment before it to a fraction of the item's own budget."""

    until: float = Field(gt=0, le=1, description="Fraction of the item's own budget (training tokens) to stop at.")


class Item(Wire):
    """One piece of a job: it has its own key, config and result. Its folders in the job are named by its index."""

    key: str = Field(description="The step key: sha256 of all that the result depends on.")
    step: str = Field(description="The step's name in the workflow, for messages.")
    type: str = Field(description="The pass or metric; empty for data preparation.")
    config: dict[str, JsonValue]
    seed: int = 0
    data: dict[str, Manifest] = Field(default={}, description="What the item reads beside the models, by option name.")
    segment: Segment | None = None
    state: Manifest | None = Field(
        default=None, description="The TrialState that the segment starts from; none: from scratch."
    )


class Resources(Wire):
    """What a job asks of its system."""

    threads: int = Field(
        default=1, ge=1, description="CPU threads of the job: part of bit-identity, never derived from load."
    )
    device: Literal["cpu", "gpu", "npu"] = "cpu"
    execution_providers: tuple[str, ...] = Field(
        default=(), description="ONNX Runtime execution providers that models run with, best first; empty: the default."
    )
    exclusive: bool = Field(default=False, description="Nothing else should run beside it: it measures time.")


class Job(Wire):
    """``job.json``: work for one worker. All paths in the folder are relative and fixed by index and name."""

    protocol: int = PROTOCOL
    id: str
    kind: Literal["pass", "evaluate", "data", "probe", "describe"]
    models: tuple[Manifest, ...] = ()
    items: tuple[Item, ...]
    resources: Resources = Resources()


class Probe(Wire):
    """What a probe job asks for; it is the config of its only item."""

    packages: tuple[str, ...] = Field(description="Distributions whose versions are wanted.")
    steps: tuple[tuple[str, str], ...] = Field(description="(step kind, type) of what is to be done there.")

    def covers(self, other: Probe) -> bool:
        """Whether its answer is one to another question, too."""
        return {*other.packages} <= {*self.packages} and {*other.steps} <= {*self.steps}

    def with_all_of(self, other: Probe) -> Probe:
        """Both questions as one."""
        packages, steps = {*self.packages, *other.packages}, {*self.steps, *other.steps}
        return Probe(packages=tuple(sorted(packages)), steps=tuple(sorted(steps)))


class Describe(Wire):
    """What a job asks that describes files which are where it runs; it is the config of its only item."""

    names: tuple[str, ...] | None = Field(
        description="The files, by their paths under the folder that is given as model; null: all that are there."
    )
    is_model: bool = Field(description="Whether they are a model, which may be laid out as MLflow does it.")


class ItemError(Wire):
    """Why an item failed: the exception's type, its message, and the traceback for who asks."""

    type: str
    message: str
    traceback: str = ""


class ItemResult(Wire):
    """What became of one item."""

    key: str
    status: Literal["done", "failed", "stopped"]
    output: Manifest | None = None
    metrics: dict[str, float] = {}
    error: ItemError | None = None
    seconds: float = 0.0
    packed: bool = Field(
        default=False, description="The item was trained in a pack: equal to solo within float tolerance only."
    )


class Environment(Wire):
    """What a worker reports of the place it runs in: enough to make step keys for it."""

    engine: str = Field(description="The version of olive-engine there.")
    python: str
    machine: str = Field(description="Identity of the machine, for timing metrics.")
    device: Literal["cpu", "gpu", "npu"] = "cpu"
    bf16: bool = Field(default=False, description="Whether bfloat16 is fast there.")
    memory: int = Field(default=0, description="Bytes of memory of the device that work is done on; 0: cannot be told.")
    providers: tuple[str, ...] | None = Field(
        default=None,
        description="Execution providers of the ONNX Runtime there; empty: it is not installed; null: not told.",
    )
    variables: str = Field(
        default="", description="Digest of the environment variables that the system sets for its workers."
    )
    packages: dict[str, str] = Field(
        default={}, description="Versions of the distributions asked for; absent: not installed."
    )
    implementations: dict[str, str] = Field(
        default={},
        description="Of the steps that a probe asks for (`pass:LoRA`): the digest of their sources; absent: not there.",
    )
    executable: str = Field(default="", description="The Python interpreter there; empty: not told.")


class Result(Wire):
    """``result.json``: rewritten after each item, so that a dead worker's finished items are known."""

    protocol: int = PROTOCOL
    id: str
    items: tuple[ItemResult, ...]
    environment: Environment | None = Field(default=None, description="Answer of a probe job.")
    packages: dict[str, str] = Field(
        default={}, description="Versions that its items worked with, of the distributions that they need."
    )
    peak_memory: int = Field(default=0, description="Highest resident memory of the worker so far, in bytes.")


EVENT_LINE: TypeAdapter[EventLine] = TypeAdapter(EventLine)


def read_events(text: bytes) -> tuple[tuple[EventLine, ...], tuple[str, ...]]:
    """The events in a piece of ``events.jsonl``, and the lines that are none: torn by a worker's death, or foreign."""
    events: list[EventLine] = []
    others: list[str] = []
    for line in filter(None, text.split(b"\n")):
        try:
            events.append(EVENT_LINE.validate_json(line))
        except ValueError:
            others.append(line.decode(errors="replace"))
    return tuple(events), tuple(others)
