"""Older spellings of data configs: as a mapping, with `params` at every level, with the names of Olive 0.4 to 0.6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.resources import url_of
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Refused, Rewritten, Rule
from olive_engine.config.spelling import slips_to
from olive_engine.errors import ConfigPath

_PARTS = ("load_dataset_config", "pre_process_data_config", "post_process_data_config", "dataloader_config")
_EACH = "data_configs.*"
_PRE = f"{_EACH}.pre_process_data_config"
_LOAD = f"{_EACH}.load_dataset_config"


def _as_list(revision: Revision) -> None:
    data = revision.value(("data_configs",))
    if isinstance(data, dict):
        if any(not isinstance(value, dict) for value in data.values() if value is not None):
            return  # what is wrong with it is said when it is read
        revision.note(("data_configs",), "`data_configs` is a list, whose items have a `name`")
        revision.name_items(("data_configs",))


def _files(revision: Revision) -> None:
    for path in revision.matches(f"{_LOAD}.data_files"):
        url_of(revision, path)
    for path in revision.matches(f"{_LOAD}.data_files.*"):
        url_of(revision, path)


def _nested(part: str) -> tuple[Rule, ...]:
    """A component of today's, as it was written before: in `components`, in `components_kwargs`, in `params_config`."""
    name = part.removesuffix("_config")
    return (
        Moved(f"{_EACH}.components.{name}", f"{_EACH}.{part}", f"`components.{name}` is called `{part}`"),
        Moved(f"{_EACH}.components_kwargs.{name}", f"{_EACH}.{part}", f"`components_kwargs.{name}` is called `{part}`"),
        Moved(f"{_EACH}.{name}", f"{_EACH}.{part}", f"`{name}` is called `{part}`"),
        Lifted(f"{_EACH}.{part}.params", "what `params` holds stands beside it"),
        Lifted(f"{_EACH}.{part}.config", "what `config` holds stands beside it"),
        Lifted(f"{_EACH}.{part}.kwargs", "what `kwargs` holds stands beside it"),
    )


PARTS_OF: dict[str, tuple[str, ...]] = {
    "load_dataset_config": ("data_name", "dataset_name", "data_files", "split", "subset", "trust_remote_code"),
    "dataloader_config": ("batch_size", "shuffle", "drop_last"),
}
"""Where an option of Olive 0.4's `params_config` belongs; any other: pre_process_data_config."""


def _params_config(revision: Revision) -> None:
    """Up to Olive 0.5 the options of all parts stood in one mapping."""
    for path in revision.matches(f"{_EACH}.params_config"):
        revision.note(path, "the options of `params_config` stand in the part that they belong to")
        for kwargs in ("component_kwargs", "components_kwargs"):
            for name in revision.members((*path, kwargs)):
                revision.move((*path, kwargs, name), (*path[:-1], f"{name}_config"))
            revision.remove((*path, kwargs))
        for name in revision.members(path):
            part = next((part for part, names in PARTS_OF.items() if name in names), "pre_process_data_config")
            revision.move((*path, name), (*path[:-1], part, name))
        revision.remove(path)


_OWN_CODE = ("user_script", "script_dir")
_OURS = {
    "load_dataset_config": ("huggingface_dataset",),
    "pre_process_data_config": ("huggingface_pre_process", "text_generation_huggingface_pre_process"),
    "dataloader_config": ("default_dataloader", "dataloader"),
}
"""Types of parts that mean what every data set does here."""
_OTHER_TASKS = (
    *("input_cols", "label_cols", "max_length", "seqlen", "seq_length", "align_labels", "image_processor"),
    *(
        "model_name",
        "task",
        "kwargs",
        "labels_to_filter",
        "size",
        "crop_size",
        "padding",
        "truncation",
        "tokenizer",
        "cols",
    ),
)
"""Options of Olive's data sets for other tasks than making text."""
_OTHER_FILES = ("data_dir", "col_filters")
_CONTAINERS = ("datacontainer", "huggingfacecontainer")


def _inline(revision: Revision) -> None:
    """A data config where its name should stand."""
    places = [*revision.matches("passes.*.@.*"), *revision.matches("evaluators.*.metrics.*.data_config")]
    for path in places:
        value = revision.value(path)
        if not str(path[-1]).endswith("data_config") or not isinstance(value, dict) or "search" in value:
            continue
        data = revision.value(("data_configs",))
        known = [each.get("name") for each in data if isinstance(each, dict)] if isinstance(data, list) else []
        written = value.get("name")
        name = _free(written if isinstance(written, str) and written else f"{path[1]}_{path[-1]}", known)
        revision.note(path, f"a data config is described under `data_configs`: {name}")
        if not isinstance(data, list):
            revision.put(("data_configs",), [], path)
        place = len(data) if isinstance(data, list) else 0
        revision.put(("data_configs", place), {**value, "name": name}, path)
        revision.put(path, name)


def _free(name: str, taken: Sequence[JsonValue]) -> str:
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name}_{number}"
    return free


def _unavailable(revision: Revision) -> None:
    """Data sets that code of the user's makes, or that are made for other models than those that write text."""
    value = revision.value(("data_configs",))
    for index in range(len(value) if isinstance(value, list) else 0):
        path: ConfigPath = ("data_configs", index)
        reason = next(_reasons(revision, path), None)
        if reason is not None:
            what, place = reason
            name = revision.value((*path, "name"))
            revision.lack(path, what, name, place)
            revision.put(path, {"name": name}, path)


def _reasons(revision: Revision, path: ConfigPath) -> Iterator[tuple[str, ConfigPath]]:
    """Why a data set cannot be had yet, and where that is written."""
    for name in _OWN_CODE:
        if revision.value((*path, name)):
            yield f"data with a `{name}` are not available yet: they run code of your own", (*path, name)
    kind = revision.value((*path, "type"))
    if isinstance(kind, str) and kind.lower().endswith("container") and not slips_to(kind, _CONTAINERS):
        yield f"a {kind} is not available yet", (*path, "type")
    for part in _PARTS:
        own = revision.value((*path, part, "type"))
        if isinstance(own, str) and not slips_to(own, _OURS.get(part, ())):
            yield f"data of the type {own} are not available yet", (*path, part, "type")
        if part in ("load_dataset_config", "pre_process_data_config"):
            for name in _OTHER_TASKS:
                if revision.value((*path, part, name)) is not None:
                    what = f"`{name}` is for models that do not write text: such data are not available yet"
                    yield what, (*path, part, name)
            for name in _OTHER_FILES:
                if revision.value((*path, part, name)) is not None:
                    yield f"`{name}` is not available yet: name the rows in `data_files`", (*path, part, name)


_BATCHES = "batches are made by the pass or the metric: rows of a batch are padded to the longest, and masked"

DATA: tuple[Rule, ...] = (
    Rewritten(_as_list),
    Lifted(f"{_EACH}.config", "what `config` holds stands beside `type`"),
    Rewritten(_params_config),
    *(rule for part in _PARTS for rule in _nested(part)),
    Dropped(f"{_EACH}.components", "no component was written", ({},)),
    Dropped(f"{_EACH}.components_kwargs", "no component was written", ({},)),
    # Where the rows are.
    Dropped(f"{_LOAD}.type", "not needed: rows come from `data_name` and `data_files`", ("huggingface_dataset", None)),
    Moved(f"{_LOAD}.dataset_name", f"{_LOAD}.data_name", "`dataset_name` is called `data_name`"),
    Dropped(f"{_LOAD}.trust_remote_code", "data sets are read without running code of theirs"),
    Dropped(f"{_LOAD}.token", "the hub is asked with your own log-in"),
    Dropped(f"{_LOAD}.streaming", "rows are read once and kept as tokens"),
    Rewritten(_files),
    # How a row becomes tokens.
    Dropped(
        f"{_PRE}.type",
        "not needed: text is what every row becomes",
        ("text_generation_huggingface_pre_process", "huggingface_pre_process", None),
    ),
    Dropped(f"{_PRE}.dataset_type", "not needed: a corpus is what is meant", ("corpus",)),
    Refused(
        f"{_PRE}.dataset_type",
        "pairs of source and target are written as one template here",
        "e.g. text_template: '{question}\\n{answer}' with completion_only_loss: true",
        ("pair",),
    ),
    Moved(f"{_PRE}.corpus_strategy", f"{_PRE}.strategy", "`corpus_strategy` is called `strategy`"),
    Moved(f"{_PRE}.source_max_len", f"{_PRE}.max_seq_len", "`source_max_len` is called `max_seq_len`"),
    Moved(
        f"{_PRE}.max_samples", f"{_LOAD}.max_samples", "`max_samples` counts rows, and stands in load_dataset_config"
    ),
    Dropped(f"{_PRE}.pad_to_max_len", _BATCHES),
    Dropped(f"{_PRE}.use_attention_mask", _BATCHES),
    Dropped(f"{_PRE}.joiner", "the default is meant", (None,)),
    Dropped(f"{_PRE}.drop_short_sequences", "rows are not padded, so short ones cost nothing"),
    Dropped(f"{_PRE}.random_seed", "rows are taken in their order; training shuffles by its own seed"),
    Refused(
        f"{_PRE}.strategy",
        "random sampling and sliding windows of text are not available",
        "write `line-by-line` or `join`, and `max_samples` to take fewer rows",
        ("line-by-line-random", "join-random", "join-sliding-window"),
    ),
    Dropped(f"{_PRE}.stride", "it is the step of a sliding window"),
    # Batches.
    Dropped(f"{_EACH}.dataloader_config.drop_last", "every row counts in an evaluation"),
    Dropped(f"{_EACH}.dataloader_config.shuffle", "the order of rows changes no metric; training shuffles by its seed"),
)

DATA_JOINED: tuple[Rule, ...] = (Rewritten(_inline),)

DATA_LAST: tuple[Rule, ...] = (
    Rewritten(_unavailable),
    Dropped(f"{_EACH}.post_process_data_config", "a metric reads the answers that a model writes"),
    Dropped(f"{_EACH}.dataloader_config.type", "not needed: batches are what is meant"),
)
