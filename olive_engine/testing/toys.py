"""Toy passes: arithmetic on a file of numbers, in milliseconds, with everything that real passes have.

They run without torch. The conformance suites are proven on them, and so are executors, systems and searches.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from olive_engine.contracts import (
    AnyMetric,
    AnyPass,
    Device,
    Known,
    Log,
    Measurement,
    Metric,
    Metrics,
    PackItem,
    Pass,
    PassContext,
    Progress,
    Yardstick,
)
from olive_engine.errors import Stopped
from olive_engine.models import HfAdapterModel, HfModel, Model, TrialState
from olive_engine.options import Options, Packable

NUMBERS = "numbers.json"


def build_toy_model(folder: Path, numbers: Sequence[float] = (1.0, 2.0, 3.0)) -> HfModel:
    """A "model" whose weights are a few numbers; it has a tokenizer file, so that data steps have something to key."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "toy"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / NUMBERS).write_text(json.dumps(list(numbers)))
    return HfModel(model_path=folder)


def read_numbers(folder: Path) -> list[float]:
    """The numbers of a toy model or adapter."""
    return [float(number) for number in json.loads((folder / NUMBERS).read_text())]


def _write_model(folder: Path, numbers: Sequence[float]) -> HfModel:
    return build_toy_model(folder, numbers)


# --- model -> model -----------------------------------------------------------------------------------------------


class ToyScaleConfig(Options):
    """Options of ToyScale."""

    factor: float = Field(default=2.0, gt=0, description="What every number is multiplied by.")
    seconds: float = Field(default=0.0, ge=0, description="How long to take.")
    ballast: int = Field(default=0, ge=0, description="Bytes of a file that is written beside the numbers.")
    misbehave: Literal["", "raise", "exit", "kill", "write nothing", "disturb", "fill the disk"] = Field(
        default="", description="How to fail."
    )


class ToyScale(Pass[ToyScaleConfig, HfModel, HfModel]):
    """Multiply a toy model's numbers."""

    type = "ToyScale"

    def run(self, model: HfModel, config: ToyScaleConfig, context: PassContext) -> HfModel:
        """Write the scaled numbers."""
        end = time.monotonic() + config.seconds
        while time.monotonic() < end:
            if context.should_stop():
                raise Stopped
            time.sleep(0.005)
        if config.misbehave == "raise":
            raise RuntimeError("asked to fail")
        if config.misbehave == "exit":
            os._exit(3)
        if config.misbehave == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if config.misbehave == "disturb":
            os.chdir(context.scratch)
            os.environ["OLIVE_TOY_DISTURBED"] = "1"
            random.seed(99)
        if config.misbehave == "fill the disk":
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"one byte too many")
        if config.misbehave == "write nothing":
            return HfModel(model_path=context.out / "model")
        numbers = [number * config.factor for number in read_numbers(model.model_path)]
        scaled = _write_model(context.out / "model", numbers)
        if config.ballast:
            piece = random.Random(config.factor).randbytes(min(config.ballast, 1 << 20))  # noqa: S311 - ballast
            with (scaled.model_path / "ballast").open("wb") as ballast:
                for start in range(0, config.ballast, len(piece)):
                    ballast.write(piece[: config.ballast - start])
        return scaled

    @classmethod
    def device_facts(cls, config: ToyScaleConfig, device: Device) -> Mapping[str, str]:  # noqa: ARG003
        """Arithmetic is the same everywhere."""
        return {}


class ToySumConfig(Options):
    """ToySum has no options."""


class ToySum(Pass[ToySumConfig, tuple[HfModel, ...], HfModel]):
    """Add several toy models number by number."""

    type = "ToySum"

    def run(self, model: tuple[HfModel, ...], config: ToySumConfig, context: PassContext) -> HfModel:  # noqa: ARG002
        """Write the sums."""
        columns = zip(*(read_numbers(one.model_path) for one in model), strict=True)
        return _write_model(context.out / "model", [sum(column) for column in columns])


# --- training -----------------------------------------------------------------------------------------------------


class ToyTrainConfig(Options):
    """Options of ToyTrain."""

    rank: Annotated[int, Packable()] = Field(default=3, ge=1, description="How many of the numbers are trained.")
    learning_rate: Annotated[float, Packable()] = Field(default=0.3, gt=0, description="Step size of gradient descent.")
    steps: Annotated[int, Packable()] = Field(default=20, ge=1, description="The budget.")
    noise: Annotated[float, Packable()] = Field(
        default=0.01, ge=0, description="Standard deviation of the gradient's noise."
    )
    save_steps: int = Field(default=5, ge=1, description="Steps between two checkpoints.")
    stop_at: int = Field(default=0, ge=0, description="Kill the worker at this step, once; 0: never.")
    whole: bool = Field(default=False, description="Refuse to be cut into stretches.")
    alone: Annotated[bool, Packable()] = Field(default=False, description="Refuse to be one of a pack.")
    misbehave: Annotated[Literal["", "raise", "diverge", "exit", "kill", "measure nothing", "nan"], Packable()] = Field(
        default="", description="How to fail."
    )
    misbehave_at: int = Field(default=1, ge=1, description="The step at which to fail.")
    mended_by: str = Field(default="", description="A file; once it is there, nothing goes wrong.")

    @model_validator(mode="after")
    def _fit(self) -> ToyTrainConfig:
        if self.rank > self.steps:
            raise ValueError(f"rank must be at most steps, which is {self.steps}; found {self.rank}")
        return self


class ToyTrain(Pass[ToyTrainConfig, HfModel, HfAdapterModel]):
    """Learn offsets that turn a toy model's numbers to zero: has checkpoints, segments and packs.

    The loss is the mean square of number + offset; with the learning rate at 1 one noiseless step reaches 0.
    """

    type = "ToyTrain"

    def run(self, model: HfModel, config: ToyTrainConfig, context: PassContext) -> HfAdapterModel:
        """Train from the checkpoint, if there is one, to the end."""
        state = _load(context.state / "checkpoint.json") or _fresh(model, context.seed)
        return _export(model, _train(model, config, context, state, config.steps), config, context)

    def run_segment(self, model: HfModel, config: ToyTrainConfig, context: PassContext) -> HfAdapterModel | TrialState:
        """Train the stretch; its state is one file."""
        if context.segment is None:
            return self.run(model, config, context)
        start = context.initial_state
        state = _load(start.state_path / "state.json") if start else None
        if start and state is None:
            raise ValueError(f"there is no state.json in the state {start.state_path}")
        until = math.ceil(config.steps * context.segment.until)
        state = _train(model, config, context, state or _fresh(model, context.seed), until)
        if context.segment.until == 1.0:
            return _export(model, state, config, context)
        (context.out / "state").mkdir()
        (context.out / "state" / "state.json").write_text(json.dumps(state))
        return TrialState(state_path=context.out / "state")

    def run_pack(
        self, model: HfModel, items: Sequence[PackItem[ToyTrainConfig]]
    ) -> Sequence[HfAdapterModel | TrialState | Exception]:
        """Each item as if alone; one item's failure is its own."""
        outcomes: list[HfAdapterModel | TrialState | Exception] = []
        for item in items:
            try:
                outcomes.append(self.run_segment(model, item.config, item.context))
            except (ValueError, ArithmeticError, Stopped) as error:
                outcomes.append(error)
        return outcomes

    @classmethod
    def yardstick(cls, config: ToyTrainConfig) -> Yardstick:  # noqa: ARG003
        """The loss that a training ends with."""
        return Yardstick("eval_loss")

    @classmethod
    def whole_because(cls, config: ToyTrainConfig) -> str:
        """As asked."""
        return "whole is set" if config.whole else ""

    @classmethod
    def alone_because(cls, config: ToyTrainConfig, known: Known) -> str:  # noqa: ARG003
        """As asked."""
        return "alone is set" if config.alone else ""

    @classmethod
    def pack_weight(cls, config: ToyTrainConfig) -> float:
        """The steps."""
        return float(config.steps)

    @classmethod
    def device_facts(cls, config: ToyTrainConfig, device: Device) -> Mapping[str, str]:  # noqa: ARG003
        """Arithmetic is the same everywhere."""
        return {}


State = dict[str, float | list[float] | list[object]]


def _fresh(model: HfModel, seed: int) -> State:
    generator = random.Random(seed)  # noqa: S311 - a simulation
    return {"step": 0, "offsets": [0.0] * len(read_numbers(model.model_path)), "random": _freeze(generator)}


def _train(model: HfModel, config: ToyTrainConfig, context: PassContext, state: State, until: int) -> State:
    numbers = read_numbers(model.model_path)
    generator = random.Random()  # noqa: S311 - a simulation
    generator.setstate(_thaw(state["random"]))
    offsets, step = [float(x) for x in _list(state["offsets"])], int(str(state["step"]))
    if config.rank > len(numbers):
        raise ValueError(f"rank must be at most {len(numbers)}, the count of numbers; found {config.rank}")
    while step < until:
        if context.should_stop():
            raise Stopped
        for index in range(config.rank):
            gradient = numbers[index] + offsets[index] + generator.gauss(0.0, config.noise)
            offsets[index] -= config.learning_rate * gradient
        step += 1
        if step == config.misbehave_at:
            _misbehave(config)
        state = {"step": step, "offsets": offsets, "random": _freeze(generator)}
        context.report(Progress(step=step, total=config.steps, values={"loss": _loss(numbers, offsets)}))
        if step % config.save_steps == 0:
            _save(context.state / "checkpoint.json", state)
        if step == config.stop_at and not (context.state / "killed").exists():
            (context.state / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    context.report(Metrics(values=_measured(config, _loss(numbers, offsets))))
    return state


def _misbehave(config: ToyTrainConfig) -> None:
    if config.mended_by and Path(config.mended_by).exists():
        return
    if config.misbehave == "raise":
        raise ValueError("asked to fail")
    if config.misbehave == "diverge":
        raise FloatingPointError("the loss is not finite")
    if config.misbehave == "exit":
        sys.exit(3)
    if config.misbehave == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def _measured(config: ToyTrainConfig, loss: float) -> dict[str, float]:
    if config.misbehave == "measure nothing":
        return {}
    return {"eval_loss": math.nan if config.misbehave == "nan" else loss}


def _export(model: HfModel, state: State, config: ToyTrainConfig, context: PassContext) -> HfAdapterModel:
    folder = context.out / "adapter"
    folder.mkdir()
    (folder / NUMBERS).write_text(json.dumps(state["offsets"]))
    (folder / "adapter_config.json").write_text(json.dumps({"rank": config.rank}))
    return HfAdapterModel(model_path=model.model_path, adapter_path=folder)


def _loss(numbers: Sequence[float], offsets: Sequence[float]) -> float:
    return sum((number + offset) ** 2 for number, offset in zip(numbers, offsets, strict=True)) / len(numbers)


def _freeze(generator: random.Random) -> list[object]:
    version, internal, gauss = generator.getstate()
    return [version, list(internal), gauss]


def _thaw(frozen: object) -> tuple[object, ...]:
    version, internal, gauss = _list(frozen)
    return (version, tuple(_list(internal)), gauss)


def _list(value: object) -> list[float]:
    if not isinstance(value, list):
        raise TypeError(f"a list was saved, {value!r} was read")
    return value


def _save(path: Path, state: State) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


def _load(path: Path) -> State | None:
    return dict(json.loads(path.read_text())) if path.exists() else None


class ToyMergeConfig(Options):
    """ToyMerge has no options."""


class ToyMerge(Pass[ToyMergeConfig, HfAdapterModel, HfModel]):
    """Add a toy adapter's offsets to its base."""

    type = "ToyMerge"

    def run(self, model: HfAdapterModel, config: ToyMergeConfig, context: PassContext) -> HfModel:  # noqa: ARG002
        """Write the sums."""
        pairs = zip(read_numbers(model.model_path), read_numbers(model.adapter_path), strict=True)
        return _write_model(context.out / "model", [number + offset for number, offset in pairs])


# --- secrets ------------------------------------------------------------------------------------------------------


class ToySecretConfig(Options):
    """Options of ToySecret."""

    variable: str = Field(description="The environment variable that holds the secret.")
    sha256: str = Field(description="The digest of the secret that it must hold.")
    then: Literal["", "raise", "exit", "kill"] = Field(default="", description="How to end, once it has told it.")


class ToySecret(Pass[ToySecretConfig, HfModel, HfModel]):
    """Use a secret, and tell it to everyone who listens, as careless code does."""

    type = "ToySecret"

    def run(self, model: HfModel, config: ToySecretConfig, context: PassContext) -> HfModel:
        """Give the model as it is, if the secret is the right one."""
        secret = os.environ.get(config.variable, "")
        if hashlib.sha256(secret.encode()).hexdigest() != config.sha256:
            raise ValueError(f"{config.variable} does not hold the secret")
        context.report(Log(message=f"asking with {secret}", level="debug"))
        context.report(Log(message=f"denied: {json.dumps(secret)}", level="warning"))
        print(f"printed: {secret}")  # noqa: T201 - that is what it does
        print("printed in pieces:", secret, file=sys.stderr)  # noqa: T201
        logging.getLogger("toy").warning("logged: %s", secret)
        os.write(2, f"past Python: {secret}\n".encode())
        if config.then == "exit":
            os._exit(3)
        if config.then == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if config.then == "raise":
            try:
                raise KeyError(secret)
            except KeyError as error:
                raise RuntimeError(f"401: https://user:{secret}@host/ refused {secret!r}") from error
        return _write_model(context.out / "model", read_numbers(model.model_path))


# --- measuring ----------------------------------------------------------------------------------------------------


class ToyNumbers(Metric[Options]):
    """The sizes of a toy model's numbers."""

    type = "ToyNumbers"
    config_type = Options
    sub_types: ClassVar[Mapping[str, bool]] = {"largest": False, "smallest": False}
    draws = False

    def measure(self, model: Model, config: Options, context: PassContext) -> Measurement:  # noqa: ARG002
        """Look at its numbers; an adapter's are added to its base's."""
        folders = [getattr(model, name) for name in model.part_names()]
        numbers = [abs(sum(column)) for column in zip(*map(read_numbers, folders), strict=True)]
        return Measurement({"largest": max(numbers), "smallest": min(numbers)})


METRICS: tuple[type[AnyMetric], ...] = (ToyNumbers,)
PASSES: tuple[type[AnyPass], ...] = (ToyScale, ToySum, ToyTrain, ToyMerge, ToySecret)
