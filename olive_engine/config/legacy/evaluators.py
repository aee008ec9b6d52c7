"""Older spellings of evaluators, and what of Olive's evaluators cannot be had yet."""

from __future__ import annotations

from collections.abc import Iterator

from olive_engine import registry
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Rewritten, Rule, Valued
from olive_engine.errors import ConfigPath

_EACH = "evaluators.*"
_METRIC = f"{_EACH}.metrics.*"
_OWN_CODE = ("user_script", "script_dir", "evaluate_func", "metric_func", "dataloader_func", "post_processing_func")
"""Options that mean: code of the user's measures, or makes the data."""
_OWN_DATA = ("data_dir", "input_names", "input_shapes", "input_types")
OLIVE_SUB_TYPES = {
    "accuracy": (
        "accuracy",
        "precision",
        "recall",
        "auroc",
        "f1",
        "wer",
        "rtfx",
        "relaxed_accuracy",
        "word_sort_ratio",
    ),
    "throughput": ("avg", "max", "min", "p50", "p75", "p90", "p95", "p99", "p999"),
}
"""Values of Olive's metrics that ours do not give."""
_WHY = "metrics measure a whole model as it will be used"


def _metrics_at_the_top(revision: Revision) -> None:
    """Metrics described once at the top, and named in evaluators."""
    described = revision.value(("metrics",))
    if not isinstance(described, list):
        return
    by_name = {str(each.get("name")): each for each in described if isinstance(each, dict)}
    revision.note(("metrics",), "metrics are described in the evaluators that use them")
    for path in revision.matches(f"{_EACH}.metrics.*"):
        name = revision.value(path)
        if isinstance(name, str) and name in by_name:
            revision.put(path, by_name[name], path)
    revision.remove(("metrics",))


def _empty(revision: Revision) -> None:
    """An evaluator of nothing measures nothing."""
    for name in revision.members(("evaluators",)):
        if revision.value(("evaluators", name)) == {}:
            revision.note(("evaluators", name), "it has no metrics, so it measures nothing")
            revision.put(("evaluators", name), {"metrics": []})
            revision.lacks.setdefault(("evaluators", name), [])


def _metrics_as_list(revision: Revision) -> None:
    """A lone metric, and metrics by name."""
    for path in revision.matches(f"{_EACH}.metrics"):
        value = revision.value(path)
        if isinstance(value, dict) and "type" in value:
            revision.note(path, "`metrics` is a list")
            revision.put(path, [value])
        elif isinstance(value, dict):
            revision.note(path, "`metrics` is a list, whose items have a `name`")
            revision.name_items(path)


def _sub_types(revision: Revision) -> None:
    """Olive 0.2 wrote one value for each metric, on the metric itself."""
    for path in revision.matches(f"{_METRIC}.sub_type"):
        name = revision.value(path)
        if isinstance(name, list):
            revision.note(path, "`sub_type` is called `sub_types`")
            revision.move(path, (*path[:-1], "sub_types"))
            continue
        entry: dict[str, object] = {"name": name}
        renamed = {"priority_rank": "priority", "goal": "goal", "higher_is_better": "higher_is_better"}
        for old, new in renamed.items():
            if (value := revision.value((*path[:-1], old))) is not None:
                entry[new] = value
        revision.note(path, "`sub_type` is an item of `sub_types`")
        revision.put((*path[:-1], "sub_types"), [entry], path)  # type: ignore[list-item]  # the values are plain
        for old in ("sub_type", *renamed):
            revision.remove((*path[:-1], old))
    for path in revision.matches(f"{_METRIC}.sub_types"):
        value = revision.value(path)
        if isinstance(value, str | dict):
            revision.note(path, "`sub_types` is a list")
            revision.put(path, [value])


def _settings(revision: Revision) -> None:
    """How often a latency is measured stood in each of its values; it is the metric's."""
    for path in revision.matches(f"{_METRIC}.sub_types.*.metric_config"):
        for name in revision.members(path):
            kind = revision.value((*path[:4], "type"))
            cls = registry.find_metric(kind) if isinstance(kind, str) else None
            if cls is not None and name in cls.config_type.model_fields:
                revision.note((*path, name), f"`{name}` stands in the metric's own metric_config")
                revision.move((*path, name), (*path[:4], "metric_config", name))
            else:
                revision.note((*path, name), f"not needed: {_WHY}")
                revision.remove((*path, name))
        revision.remove(path)


def _perplexity(revision: Revision) -> None:
    """Olive measures it as a kind of accuracy; it is a metric of its own."""
    for path in revision.matches(f"{_METRIC}.sub_types"):
        value = revision.value(path)
        names = (
            [each.get("name") if isinstance(each, dict) else each for each in value] if isinstance(value, list) else []
        )
        kind = revision.value((*path[:-1], "type"))
        if names == ["perplexity"] and isinstance(kind, str) and kind.lower() == "accuracy":
            revision.note((*path[:-1], "type"), "`perplexity` is a metric of its own")
            revision.put((*path[:-1], "type"), "perplexity")


def _unavailable(revision: Revision) -> None:
    """Evaluators of a type of their own, and metrics that need code or values we do not have."""
    for name in revision.members(("evaluators",)):
        path: ConfigPath = ("evaluators", name)
        kind = revision.value((*path, "type"))
        if isinstance(kind, str):
            revision.lack(path, f"an evaluator of type {kind} is not available yet", name, (*path, "type"))
            revision.put(path, {"metrics": []})
            continue
        metrics = revision.value((*path, "metrics"))
        for index in reversed(range(len(metrics) if isinstance(metrics, list) else 0)):
            metric = (*path, "metrics", index)
            reasons = list(_reasons(revision, metric))
            if reasons:
                revision.lack(metric, reasons[0], name)
                revision.remove(metric)
            else:
                revision.remove((*metric, "user_config"))


def _reasons(revision: Revision, metric: ConfigPath) -> Iterator[str]:
    """Why a metric cannot be had yet."""
    kind = revision.value((*metric, "type"))
    if not isinstance(kind, str):
        return
    if kind.lower() == "custom":
        yield "a metric that code of your own measures is not available yet"
    user_config = revision.value((*metric, "user_config"))
    for name, value in (user_config if isinstance(user_config, dict) else {}).items():
        if name in _OWN_CODE and value:
            yield f"a metric with `{name}` is not available yet: it runs code of your own"
        elif name in _OWN_DATA and value:
            yield f"a metric with `{name}` is not available yet: data stand in `data_configs`"
    cls = registry.find_metric(kind)
    known = OLIVE_SUB_TYPES.get(kind.lower(), ())
    written = revision.value((*metric, "sub_types"))
    for each in written if isinstance(written, list) else []:
        value = each.get("name") if isinstance(each, dict) else each
        if cls is not None and isinstance(value, str) and value not in cls.sub_types and value in known:
            yield f"the value {value} of {kind} is not available yet; it gives {', '.join(cls.sub_types)}"


EVALUATORS: tuple[Rule, ...] = (
    Lifted(f"{_EACH}.config", "what `config` holds stands beside it"),
    Rewritten(_metrics_as_list),
    Lifted(f"{_METRIC}.config", "what `config` holds stands beside it"),
    Rewritten(_sub_types),
    Rewritten(_perplexity),
    Dropped(f"{_METRIC}.sub_types.*.is_first_priority", "`priority: 1` says it"),
    Dropped(f"{_METRIC}.is_first_priority", "`priority: 1` of a value says it"),
    Moved(f"{_METRIC}.sub_types.*.priority_rank", f"{_METRIC}.sub_types.*.priority", "`priority_rank` is `priority`"),
    Rewritten(_settings),
    Dropped(f"{_METRIC}.backend", "every metric is computed here; there are no backends to choose from"),
    Dropped(f"{_METRIC}.user_config.inference_settings", "sessions are made for the target's device"),
    Dropped(f"{_METRIC}.user_config.io_bind", "sessions are made for the target's device"),
    Dropped(f"{_METRIC}.user_config.shared_kv_buffer", "sessions are made for the target's device"),
    Dropped(f"{_METRIC}.user_config.run_kwargs", "answers are generated by the metric's own options"),
    Moved(
        f"{_METRIC}.user_config.batch_size",
        f"{_METRIC}.metric_config.batch_size",
        "`batch_size` stands in metric_config",
    ),
    Dropped(f"{_METRIC}.goal", "a goal belongs to a value: write it in `sub_types`", (None,)),
    Valued(f"{_METRIC}.sub_types.*.goal.type", {"min_improvement": "min-improvement"}, "`{old}` is `{new}`"),
)

EVALUATORS_JOINED: tuple[Rule, ...] = (Rewritten(_metrics_at_the_top),)

EVALUATORS_LAST: tuple[Rule, ...] = (Rewritten(_empty), Rewritten(_unavailable))
