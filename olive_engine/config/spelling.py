"""Which name a slip was meant to be: nearness of names, what other tools call things, and older spellings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, get_close_matches
from functools import cache

from olive_engine.config.tree import Node
from olive_engine.errors import ConfigPath

MAX_LIKELY = 3
"""More equally near names than this are no suggestion."""
MAX_LENGTH = 100
"""A longer name is no slip, and comparing would be slow."""

SYNONYMS: Mapping[str, str] = {
    "lr": "learning_rate",
    "rank": "r",
    "lora_rank": "r",
    "dropout": "lora_dropout",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "scheduler": "lr_scheduler_type",
    "lr_scheduler": "lr_scheduler_type",
    "optimizer": "optim",
    "wd": "weight_decay",
    "max_length": "max_seq_len",
    "max_seq_length": "max_seq_len",
    "dtype": "torch_dtype",
    "model": "model_path",
    "model_name": "model_path",
    "model_name_or_path": "model_path",
    "path": "model_path",
    "dataset": "data_name",
    "bits": "precision",
    "prompt_template": "text_template",
    "datasets": "data_configs",
    "data": "data_configs",
    "steps": "passes",
    "pipeline": "passes",
    "metrics": "evaluators",
}
"""What other tools call an option -> what it is called here. Used where the name on the right is one of the valid."""

_TOLD_ELSEWHERE = (
    *("training_config", "execution_providers", "pass_flows", "azureml_client", "data_root"),
    *(
        "input_model.model_file_format",
        "input_model.hf_config",
        "input_model.hf_config.model_name",
        "input_model.model_loader",
        "input_model.model_script",
    ),
    *("input_model.hf_config.dataset", "data_configs.*.params_config", "data_configs.*.user_script"),
    *(
        "evaluators.*.metrics.*.user_config",
        "evaluators.*.metrics.*.sub_type",
        "passes.*.@.double_quant",
        "systems.*.azureml_client_config",
    ),
)
"""Older names that are read by functions rather than by an entry of the table."""
_OLD_VALUES: Mapping[str, tuple[str, ...]] = {"input_model.type": ("PyTorchModel", "OptimumModel", "ONNXModel")}


def likely(name: str, valid: Iterable[str]) -> tuple[str, ...]:
    """The valid names that `name` is most likely a slip of: several if they are equally near, none if none is near.

    Nearest is what `slips_to` finds, then the name that is most alike.
    """
    if len(name) > MAX_LENGTH:
        return ()
    names = {each: _folded(each) for each in dict.fromkeys(valid)}
    wanted = _folded(name)
    near = slips_to(name, names)
    if near:
        return near if len(near) <= MAX_LIKELY else ()
    alike = get_close_matches(wanted, names.values(), n=1)
    return tuple(each for each, folded in names.items() if folded in alike)[:1]


def slips_to(name: str, valid: Iterable[str]) -> tuple[str, ...]:
    """The valid names that differ in case, or in `-` for `_`, only; else those that are one edit away, likest first.

    An edit is a character more, less or another, or two that changed places.
    """
    if len(name) > MAX_LENGTH:
        return ()
    names = {each: _folded(each) for each in dict.fromkeys(valid)}
    wanted = _folded(name)
    same = tuple(each for each, folded in names.items() if folded == wanted)
    near = same or tuple(each for each, folded in names.items() if _one_edit(wanted, folded))
    return tuple(sorted(near, key=lambda each: -SequenceMatcher(None, wanted, names[each]).ratio()))


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The first of the likely names."""
    return next(iter(likely(name, valid)), None)


def one_of(names: Sequence[str]) -> str:
    """Names in a question: `a`, `b` or `c`."""
    marked = [f"`{name}`" for name in names]
    return " or ".join(filter(None, (", ".join(marked[:-1]), marked[-1])))


def synonym(name: str, valid: Iterable[str]) -> str | None:
    """The valid name of what `name` is called in other tools."""
    meant = SYNONYMS.get(_folded(name))
    return meant if meant is not None and meant in valid else None


def old_names(parent: ConfigPath) -> Mapping[str, str | None]:
    """The older names that are still read in the mapping at `parent` -> today's, where they were only renamed."""
    found: dict[str, str | None] = {}
    for old in _old():
        *above, name = old.pattern
        if name not in ("*", "@") and _fits(above, parent):
            found.setdefault(name, old.today)
    return found


def old_values(path: ConfigPath) -> tuple[str, ...]:
    """The older values that are still read at `path`, where another value means nothing."""
    found = [value for old in _old() if old.values and _fits(old.pattern, path) for value in old.values]
    return tuple(dict.fromkeys((*found, *_OLD_VALUES.get(".".join(str(part) for part in path), ()))))


def every_old_name() -> frozenset[str]:
    """All older names of keys, wherever they stand."""
    return frozenset(old.pattern[-1] for old in _old())


def is_old_group(path: ConfigPath) -> bool:
    """Whether what stands at `path` was a mapping, whose members stand beside it today."""
    return any(old.is_group and _fits(old.pattern, path) for old in _old())


@dataclass(frozen=True, slots=True)
class _Old:
    """An older spelling: where it stands, what its key is called today, and the only values that it has."""

    pattern: tuple[str, ...]
    today: str | None = None
    values: tuple[str, ...] = ()
    is_group: bool = False


@cache
def _old() -> tuple[_Old, ...]:
    from olive_engine.config.legacy.rules import Lifted
    from olive_engine.config.legacy.table import FILE_RULES  # whose own messages offer names too

    groups = {tuple(rule.old.split(".")) for rule in FILE_RULES if isinstance(rule, Lifted)}
    found = [_Old(pattern) for old in _TOLD_ELSEWHERE for pattern in _variants(tuple(old.split(".")), groups)]
    for rule in FILE_RULES:
        old, new = getattr(rule, "old", None), getattr(rule, "new", None)
        if not isinstance(old, str):
            continue
        above, _, name = str(new or "").rpartition(".")
        values = tuple(value for value in getattr(rule, "values", None) or () if isinstance(value, str) and value)
        today = name if new and above == old.rpartition(".")[0] else None
        is_group = isinstance(rule, Lifted)
        found += [_Old(pattern, today, values, is_group) for pattern in _variants(tuple(old.split(".")), groups)]
    return tuple(found)


def _variants(pattern: tuple[str, ...], groups: Collection[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The pattern, and what it is when a group in it was lifted: its members are then found one level up."""
    yield pattern
    for length in range(1, len(pattern)):
        if pattern[:length] in groups:
            yield from _variants(pattern[: length - 1] + pattern[length:], groups)


def _fits(pattern: Sequence[str], path: ConfigPath) -> bool:
    """Whether a path is one of those that a pattern of the table means."""
    if not pattern:
        return not path
    head, rest = pattern[0], pattern[1:]
    if head == "@":
        return _fits(rest, path) or (bool(path) and isinstance(path[0], int) and _fits(rest, path[1:]))
    return bool(path) and head in ("*", path[0]) and _fits(rest, path[1:])


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _one_edit(a: str, b: str) -> bool:
    """Whether one character inserted, left out or replaced, or two that change places, make one of the other."""
    if abs(len(a) - len(b)) > 1:
        return False
    short, long = sorted((a, b), key=len)
    at = next((index for index, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[at + 1 : at + 2] + short[at : at + 1]
    return short[at + 1 :] == long[at + 1 :] or (swapped == long[at : at + 2] and short[at + 2 :] == long[at + 2 :])


# --- misspelt keys of a file, put right ---------------------------------------------------------------------------

Corrections = Mapping[tuple[str, int], str]
"""(name of the text, offset of the key in it) -> how the key should be spelt."""


def key_place(node: Node | None) -> tuple[str, int] | None:
    """Where a node's key stands in a file; None for what does not come from one."""
    if node is None or node.key is None or node.text is None or node.text.content is None:
        return None
    return node.text.name, node.key


def corrected(root: Node, corrections: Corrections) -> Node:
    """`root` with its misspelt keys put right, wherever the right one does not stand beside it."""
    if not corrections:
        return root
    if isinstance(root.value, tuple):
        return replace(root, value=tuple(corrected(child, corrections) for child in root.value))
    if not isinstance(root.value, Mapping):
        return root
    members: dict[str, Node] = {}
    for name, child in root.value.items():
        place = key_place(child)
        right = corrections.get(place, name) if place is not None else name
        members[name if right in root.value else right] = corrected(child, corrections)
    return replace(root, value=members)
