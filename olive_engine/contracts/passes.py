"""What a pass is: one verb on a model, declared light and run in a worker."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from olive_engine.contracts.wire import Event, Segment
from olive_engine.models import Checkpoint, HfModel, Model, ModelClass, TrialState
from olive_engine.options import DataRef, Options, OptionsClass, marked

C = TypeVar("C", bound=Options)
C_co = TypeVar("C_co", bound=Options, covariant=True)
I = TypeVar("I")  # noqa: E741 - the input: a model, or a tuple of models
O = TypeVar("O", bound=Model)  # noqa: E741 - the output
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Device:
    """The device that a job was given."""

    kind: Literal["cpu", "gpu", "npu"] = "cpu"
    bf16: bool = False
    """Whether bfloat16 arithmetic is fast on it."""
    execution_providers: tuple[str, ...] = ()
    """ONNX Runtime's own names of what ONNX models are to run with, best first; none: as the model says."""

    @property
    def torch(self) -> str:
        """The name torch has for it."""
        return "cuda" if self.kind == "gpu" else "cpu"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a step before anything runs. Each part may be missing: then nothing is judged by it."""

    checkpoint: Checkpoint | None = None
    """The files of the model that it starts from, where they are here and no pass before it changes the layers."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many rows a data set has, by the option that names it."""
    device: Device | None = None
    """Where it will run."""


@dataclass(frozen=True, slots=True)
class Objection:
    """What a pass or a system has to say against its options, given what is known."""

    option: str
    """Dotted, as ``training_args.fp16``; with an index, ``target_modules.0``, for an item of a list."""
    what: str
    hint: str = ""
    severity: Literal["error", "warning", "note"] = "error"
    stops_run: bool = False
    """A warning to whoever plans is an error to whoever runs: to plan takes nothing of what is wrong."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a step takes at the least, in bytes; 0: it cannot be told beforehand."""

    memory: int = 0
    """Of the device that it runs on."""
    disk: int = 0
    """For its result."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A value by which a pass itself says how good its result is."""

    metric: str
    """Its name among the `Metrics` that a run reports."""
    higher_is_better: bool = False


@dataclass(frozen=True)
class PassContext:
    """All that a running pass has beside its model and its config."""

    out: Path
    """An empty folder for the result. Nothing is written anywhere else, except in `state` and `scratch`."""
    state: Path
    """A folder that belongs to the step key and outlives an attempt (checkpoints). Write files atomically."""
    scratch: Path
    """A folder that is deleted with the job."""
    seed: int
    device: Device
    threads: int
    data: Mapping[str, Path]
    """Prepared data sets by the option that names them."""
    resident: Callable[[Hashable, Callable[[], Any]], Any]
    """``resident(key, load)``: a frozen object that the jobs of a warm worker share; never change it in place.

    In a key that is a tuple, a folder of an input counts by its contents: ``("base", model.model_path, dtype)``.
    """
    report: Callable[[Event], None]
    should_stop: Callable[[], bool]
    """True once the job is asked to stop: save to `state` what should be kept and raise `errors.Stopped`."""
    segment: Segment | None = None
    """Set when only a stretch of the training is wanted."""
    initial_state: TrialState | None = None
    """Where that stretch starts from."""


class Pass(ABC, Generic[C, I, O]):
    """One step of a workflow. Subclasses state `type` and annotate `run`; the rest has defaults.

    A pass is stateless: it writes only under ``context.out``, never changes its input, and gives the same result for
    the same inputs. The class lives in a light module (no torch at import); `run` imports the heavy one beside it.
    """

    type: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Distributions that must be installed where the pass runs; their versions are part of the step key.

    One that comes in several flavours names them all: ``"onnxruntime|onnxruntime-gpu"``.
    """
    extra: ClassVar[str] = "cpu"
    """The extra of this distribution that installs `requires`."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Modules outside the pass's own package whose sources the result depends on."""
    runs_on: ClassVar[Literal["host", "target"]] = "host"

    # Derived from `run`'s annotations.
    config_type: ClassVar[OptionsClass]
    accepts: ClassVar[tuple[ModelClass, ...]]
    produces: ClassVar[tuple[ModelClass, ...]]
    takes_many: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            _derive(cls)

    @abstractmethod
    def run(self, model: I, config: C, context: PassContext) -> O:
        """Make the output model under ``context.out`` and describe it."""

    @classmethod
    def device_facts(cls, config: C, device: Device) -> Mapping[str, str]:  # noqa: ARG003 - for subclasses
        """What the result depends on about the device; part of the step key."""
        return {"device": device.kind}

    @classmethod
    def objections(cls, config: C, known: Known) -> Iterable[Objection]:  # noqa: ARG003 - for subclasses
        """What would go wrong with these options, as far as it is known: light, for it is asked before every run.

        It is asked when a file is read, with the checkpoint and the rows that are here, and once more for the step's
        own device, which is an error only when it comes to running.
        """
        return ()

    @classmethod
    def needs(cls, config: C, known: Known) -> Needs:  # noqa: ARG003 - for subclasses
        """What a run takes at the least: a run is refused where there is less, so never more than it really takes.

        By default: a whole Hugging Face model is written about as large as it was read.
        """
        size = known.checkpoint.size if known.checkpoint else 0
        return Needs(disk=size if cls.produces == (HfModel,) else 0)

    # --- optional, for training -----------------------------------------------------------------------------------

    def run_segment(self, model: I, config: C, context: PassContext) -> O | TrialState:
        """Go from ``context.initial_state`` to ``context.segment.until``; the last segment (1.0) gives the model.

        Evaluation at the end of the stretch is reported as `Metrics`.
        """
        raise NotImplementedError(f"{self.type} does not run in segments")

    def run_pack(self, model: I, items: Sequence[PackItem[C]]) -> Sequence[O | TrialState | Exception]:
        """Run several items that differ only in `Packable` options together; an item's failure is its exception.

        Where they turn out not to go together, raise: they are then run one by one.
        """
        raise NotImplementedError(f"{self.type} does not run packs")

    @classmethod
    def yardstick(cls, config: C) -> Yardstick | None:  # noqa: ARG003 - for subclasses
        """What a run measures of its own result, at the end and at the end of each stretch; none: nothing."""
        return None

    @classmethod
    def measured(cls, config: C) -> C:
        """The options with which a run measures its own result, where they do not say so and it can; else the same."""
        return config

    @classmethod
    def whole_because(cls, config: C) -> str:  # noqa: ARG003 - for subclasses
        """Why a run with these options cannot be cut into stretches; empty: it can."""
        return "" if cls.has_segments() else f"{cls.type} has no stretches"

    @classmethod
    def alone_because(cls, config: C, known: Known) -> str:  # noqa: ARG003 - for subclasses
        """Why a run with these options cannot be one of a pack; empty: it can."""
        return "" if cls.has_packs() else f"{cls.type} has no packs"

    @classmethod
    def pack_weight(cls, config: C) -> float:  # noqa: ARG003 - for subclasses
        """How long a run takes against others on the same data: packs are divided so that all end at about one time."""
        return 1.0

    @classmethod
    def has_segments(cls) -> bool:
        """Whether `run_segment` is implemented."""
        return cls.run_segment is not Pass.run_segment

    @classmethod
    def has_packs(cls) -> bool:
        """Whether `run_pack` is implemented."""
        return cls.run_pack is not Pass.run_pack


@dataclass(frozen=True)
class PackItem(Generic[C_co]):
    """One member of a pack."""

    config: C_co
    context: PassContext


AnyPass = Pass[Any, Any, Any]
"""A pass whose types are known only when it is looked up by name."""


def _derive(cls: type[AnyPass]) -> None:
    """Read `run`'s annotations into class attributes; refuse a class that lacks them."""
    if not isinstance(getattr(cls, "type", None), str):
        raise TypeError(f"{cls.__qualname__}: a pass must set `type`, the name users write")
    hints = get_type_hints(cls.run)
    missing = {"model", "config", "context", "return"} - hints.keys()
    if missing:
        raise TypeError(f"{cls.__qualname__}.run: annotate {', '.join(sorted(missing))}")
    accepts, takes_many = hints["model"], False
    if get_origin(accepts) is tuple:
        accepts, takes_many = get_args(accepts)[0], True
    cls.accepts, cls.takes_many = _models(cls, "model", accepts), takes_many
    cls.produces = _models(cls, "return", hints["return"])
    config = hints["config"]
    if not (isinstance(config, type) and issubclass(config, Options)):
        raise TypeError(f"{cls.__qualname__}.run: `config` must be an Options class, not {config!r}")
    if nested := [name for name, _ in marked(config, DataRef) if "." in name]:
        raise TypeError(f"{cls.__qualname__}: options that name data must stand at the top, not {', '.join(nested)}")
    cls.config_type = config


def _models(cls: type[AnyPass], name: str, hint: object) -> tuple[type[Model], ...]:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Model)):
            raise TypeError(f"{cls.__qualname__}.run: `{name}` must be annotated with Model classes, not {kind!r}")
    return tuple(kinds)
