"""A workflow as a file says it: what `olive_engine.reading` does, the other way round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from olive_engine.config.workflow import EvaluatorConfig, MetricEntry, PassEntry, SubMetric, SystemEntry, Workflow
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.options import Options

Tree = dict[str, JsonValue]

_SECTIONS = ("data_configs", "systems", "evaluators", "passes")


def save_workflow(workflow: Workflow, path: str | Path) -> None:
    """Write a workflow as a file: JSON where the name ends in ``.json``, else YAML.

    It holds what was given, and no defaults. Read again, with `Workflow.base_dir` as the working directory, it is an
    equal workflow. Environment variables that another file named stand in it with their values.

    Args:
        workflow: what to write; it is not judged.
        path: the file, which is replaced if it is there. Its folder is made.

    Raises:
        InvalidWorkflow: the file that it was read from asks for what cannot be had yet, and what it does not hold.
        OSError: the file cannot be written.
    """
    from olive_engine.reporting.commented_yaml import commented_yaml
    from olive_engine.store.files import write_atomic

    if lost := not_held(workflow):
        raise InvalidWorkflow(lost)
    path, content = Path(path), tree(workflow)
    as_json = path.suffix.lower() == ".json"
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n" if as_json else commented_yaml(content)
    write_atomic(path, text)


def tree(workflow: Workflow) -> Tree:
    """What a file holds that says the same: all that was given, nothing that was left to its default."""
    written = {name: value for name, value in _written(workflow).items() if name not in _SECTIONS}
    written = {name: value for name, value in written.items() if value not in (None, [], {})}
    sections: dict[str, JsonValue] = {
        "data_configs": [_written(config) for config in workflow.data_configs],
        "systems": {name: _flat(entry) for name, entry in workflow.systems.items()},
        "evaluators": {name: _evaluator(evaluator) for name, evaluator in workflow.evaluators.items()},
        "passes": {
            name: _flat(entries[0]) if len(entries) == 1 else [_flat(entry) for entry in entries]
            for name, entries in workflow.passes.items()
        },
    }
    return {
        "input_model": written.pop("input_model"),
        **{name: section for name, section in sections.items() if section},
        **written,
    }


def not_held(workflow: Workflow) -> tuple[Problem, ...]:
    """What the file that a workflow was read from asks for and the workflow does not hold: it cannot be had yet."""
    return workflow.unavailable


def _flat(entry: PassEntry | SystemEntry) -> Tree:
    """An entry with its options beside its type."""
    written = _written(entry)
    written.pop("options", None)
    return {"type": written.pop("type"), **_written(entry.options), **written}


def _evaluator(evaluator: EvaluatorConfig) -> Tree:
    return _written(evaluator) | {"metrics": [_metric(metric) for metric in evaluator.metrics]}


def _metric(metric: MetricEntry) -> Tree:
    written = _written(metric) | {
        "sub_types": [_sub_type(sub) for sub in metric.sub_types],
        "metric_config": _written(metric.metric_config),
    }
    return {name: value for name, value in written.items() if value not in ([], {})}


def _sub_type(sub: SubMetric) -> JsonValue:
    written = _written(sub)
    return sub.name if list(written) == ["name"] else written


def _written(options: Options) -> Tree:
    """The options that were given, by the names that a file has for them."""
    return {
        info.alias or name: _plain(getattr(options, name))
        for name, info in type(options).model_fields.items()
        if not info.exclude and (name in options.model_fields_set or _is_tag(name, info))
    }


def _is_tag(name: str, info: FieldInfo) -> bool:
    """Whether a field says of which kind its options are: a file must, though in Python the class does."""
    return name == "type" and get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1


def _plain(value: object) -> JsonValue:
    if isinstance(value, Options):
        return _written(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    plain: JsonValue = to_jsonable_python(value)
    return plain
