from __future__ import annotations

import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from olive_engine.contracts import AnyMetric, Event, Progress
from olive_engine.evaluation import timing
from olive_engine.evaluation.subjects import Generation
from olive_engine.evaluation.timing import Latency, Throughput, TimingConfig, percentile
from olive_engine.models import HfModel, Model, OnnxModel

from .conftest import MakeContext

QUICK = TimingConfig(prompt_tokens=20, new_tokens=5, warmup_num=1, repeat_test_num=4, batch_size=2)


@pytest.mark.parametrize("kind", ["tiny", "onnx_model"])
def test_latency_is_that_of_the_calls(kind: str, request: pytest.FixtureRequest, make_context: MakeContext) -> None:
    model: Model = request.getfixturevalue(kind)
    events: list[Event] = []
    values = Latency().measure(model, QUICK, make_context(events=events)).values
    assert set(values) == set(Latency.sub_types)
    order = [values[name] for name in ("min", "p50", "p75", "p90", "p95", "p99", "p999", "max")]
    assert order == sorted(order)
    assert 0.1 < values["min"] <= values["avg"] <= values["max"] < 10_000
    assert [(event.step, event.total) for event in events if isinstance(event, Progress)] == [
        (1, 4), (2, 4), (3, 4), (4, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["tiny", "onnx_model"])
def test_throughput_reads_faster_than_it_writes(
    kind: str, request: pytest.FixtureRequest, make_context: MakeContext
) -> None:
    config = TimingConfig(prompt_tokens=200, new_tokens=5, warmup_num=1, repeat_test_num=5)
    values = Throughput().measure(request.getfixturevalue(kind), config, make_context()).values
    assert set(values) == set(Throughput.sub_types)
    # A prompt is read in one pass over the weights, new tokens take one each.
    assert values["prompt_tokens_per_second"] > values["decode_tokens_per_second"] > 1


class _Clockwork:
    """A model whose calls take the given times."""

    vocabulary, context_length = 100, None

    def __init__(self, times: list[tuple[float, float]]) -> None:
        self.times, self.asked = times, []

    def tokenizer(self, text: str, *, verbose: bool) -> SimpleNamespace:
        return SimpleNamespace(input_ids=list(range(len(text.split()))))

    def generate(self, prompts, new_tokens, *, stop_at_end=True):
        self.asked.append(([len(prompt) for prompt in prompts], new_tokens, stop_at_end))
        return Generation(((0,) * new_tokens,) * len(prompts), *self.times[len(self.asked) - 1])


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> _Clockwork:
    # The first call is the warm-up, slow.
    model = _Clockwork([(50.0, 50.0), (1.0, 3.0), (2.0, 8.0), (4.0, 2.0)])
    monkeypatch.setattr(timing, "open_subject", lambda model, context: model)
    monkeypatch.setattr(
        timing, "timed", lambda call: (lambda found: (found.prompt_seconds + found.decode_seconds, found))(call())
    )
    return model


CONFIG = TimingConfig(prompt_tokens=30, new_tokens=9, warmup_num=1, repeat_test_num=3, batch_size=2)


def test_latency_leaves_the_warm_up_out(clockwork: _Clockwork, make_context: MakeContext) -> None:
    values = Latency().measure(clockwork, CONFIG, make_context()).values
    assert values["avg"] == pytest.approx(1000 * (4 + 10 + 6) / 3)
    assert (values["min"], values["p50"], values["max"]) == (4000, 6000, 10000)
    assert values["p90"] == pytest.approx(9200)
    # Every call has the same work: all prompts of one length, and no text ends early.
    assert clockwork.asked == [([30, 30], 9, False)] * 4


def test_throughput_is_the_median_over_all_prompts(clockwork: _Clockwork, make_context: MakeContext) -> None:
    values = Throughput().measure(clockwork, CONFIG, make_context()).values
    assert values["prompt_tokens_per_second"] == statistics.median([60 / 1, 60 / 2, 60 / 4])
    assert values["decode_tokens_per_second"] == statistics.median([16 / 3, 16 / 8, 16 / 2])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0], [5.0, 1.0, 9.0, 2.0, 2.5]])
def test_percentile_is_that_of_numpy(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(np.percentile(values, 100 * share))


@pytest.mark.parametrize("metric", [Latency, Throughput])
def test_timings_run_alone_and_need_no_data(metric: type[AnyMetric]) -> None:
    assert metric.timing
    assert not metric.needs_data


def test_too_long_a_call_is_refused(tiny: HfModel, onnx_model: OnnxModel, make_context: MakeContext) -> None:
    config = TimingConfig(prompt_tokens=250, new_tokens=7)
    for model in (tiny, onnx_model):
        with pytest.raises(ValueError, match="prompt_tokens and new_tokens together are too many: 257 tokens are more"):
            Latency().measure(model, config, make_context())
