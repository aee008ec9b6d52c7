"""How fast a model writes on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from olive_engine.contracts import Measurement, Metric, PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.evaluation.subjects import REQUIRES, Generation, Subject, open_subject, require_room
from olive_engine.models import Model
from olive_engine.options import Options

TEXT = "The ferry left the harbour a little after seven, and the gulls were still arguing over the night's catch. "
"""What prompts are cut from; a dense model's time does not depend on what it reads."""


class TimingConfig(Options):
    """Options of `Latency` and `Throughput`."""

    prompt_tokens: int = Field(default=64, gt=0, description="Length of each prompt, in tokens.")
    new_tokens: int = Field(
        default=16, ge=2, description="Tokens written for each prompt; the end of the text is ignored."
    )
    batch_size: int = Field(default=1, gt=0, description="Prompts in one call.")
    warmup_num: int = Field(default=3, ge=0, description="Calls before the measured ones.")
    repeat_test_num: int = Field(default=20, gt=0, description="Measured calls.")


class Latency(Metric[TimingConfig]):
    """Milliseconds for one call: reading the prompt and writing the new tokens.

    A percentile lies between the two nearest measured calls, in proportion.
    """

    type = "latency"
    config_type = TimingConfig
    sub_types: ClassVar[Mapping[str, bool]] = dict.fromkeys(
        ("avg", "max", "min", "p50", "p75", "p90", "p95", "p99", "p999"), False
    )
    timing = True
    draws = False
    requires = REQUIRES

    def measure(self, model: Model, config: TimingConfig, context: PassContext) -> Measurement:
        """Time the calls one by one."""
        times = [1000 * seconds for seconds, _ in _calls(model, config, context)]
        percentiles = {name: percentile(times, _share(name)) for name in self.sub_types if name.startswith("p")}
        return Measurement({"avg": statistics.fmean(times), "max": max(times), "min": min(times), **percentiles})


class Throughput(Metric[TimingConfig]):
    """Tokens a second over all prompts of a call, the median of the calls: read from prompts, and written.

    The time of the first new token counts as reading, that of the others as writing.
    """

    type = "throughput"
    config_type = TimingConfig
    sub_types: ClassVar[Mapping[str, bool]] = {"decode_tokens_per_second": True, "prompt_tokens_per_second": True}
    timing = True
    draws = False
    requires = REQUIRES

    def measure(self, model: Model, config: TimingConfig, context: PassContext) -> Measurement:
        """Time reading and writing of each call apart."""
        calls = [generation for _, generation in _calls(model, config, context)]
        read, written = config.prompt_tokens * config.batch_size, (config.new_tokens - 1) * config.batch_size
        return Measurement(
            {
                "decode_tokens_per_second": statistics.median(written / call.decode_seconds for call in calls),
                "prompt_tokens_per_second": statistics.median(read / call.prompt_seconds for call in calls),
            }
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, interpolated linearly between the two nearest."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _share(name: str) -> float:
    """``p50`` -> 0.5, ``p999`` -> 0.999."""
    return float(f"0.{name[1:]}")


def _calls(model: Model, config: TimingConfig, context: PassContext) -> Iterator[tuple[float, Generation]]:
    """Seconds and result of each measured call."""
    subject = open_subject(model, context)
    length = config.prompt_tokens + config.new_tokens
    require_room(subject, length, "prompt_tokens and new_tokens together are too many")
    prompts = [_prompt(subject, config.prompt_tokens)] * config.batch_size
    for index in range(config.warmup_num + config.repeat_test_num):
        if context.should_stop():
            raise Stopped
        seconds, generation = timed(lambda: subject.generate(prompts, config.new_tokens, stop_at_end=False))
        if index >= config.warmup_num:
            yield seconds, generation
            done = index + 1 - config.warmup_num
            context.report(Progress(step=done, total=config.repeat_test_num, unit="calls"))


def timed(call: Callable[[], Generation]) -> tuple[float, Generation]:
    """Seconds of wall time that `call` takes, and what it gives."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _prompt(subject: Subject, length: int) -> tuple[int, ...]:
    tokens = subject.tokenizer(TEXT * (1 + length // 8), verbose=False).input_ids
    while len(tokens) < length:
        tokens = tokens + tokens
    return tuple(int(token) for token in tokens[:length])
