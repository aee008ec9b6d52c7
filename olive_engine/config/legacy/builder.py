"""Other spellings of ModelBuilder's options: without ``int4_``, as in today's Olive, and among the extra options."""

from __future__ import annotations

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Moved, Rewritten, Rule, Valued, type_of
from olive_engine.config.tree import Fault
from olive_engine.config.yaml_text import scalar

_EACH = "passes.*.@"
_TYPE = ("modelbuilder",)
_RENAMED = ("block_size", "accuracy_level", "algo_config", "is_symmetric", "op_types_to_quantize", "nodes_to_exclude")
_OWN = ("enable_cuda_graph", "exclude_embeds", "exclude_lm_head", "include_hidden_states", "use_qdq")
_EXTERNAL_DATA = ("save_as_external_data", "all_tensors_to_one_file", "external_data_name", "size_threshold")
_EXTERNAL = "weights are always written into one file beside the graph"
_PAGED = (
    *("aux_hidden_state_layers", "gpu_utilization_factor", "kv_cache_quant_scheme", "kv_cache_rotation"),
    *("kv_cache_scale_file", "max_batch_size", "max_draft_tokens", "max_scheduled_tokens", "num_blocks"),
    "state_update_capacity",
)
_BUILDER_MAKES = ("MatMul", "Gather")
"""Operators with weights in the graphs that the builder makes."""


def _own_options(revision: Revision) -> None:
    """Extra options that are options of the pass; numbers written as texts are numbers."""
    for path in revision.matches(f"{_EACH}.extra_options.*"):
        if type_of(revision, path) not in _TYPE:
            continue
        name, value = str(path[-1]), revision.value(path)
        bare = name.removeprefix("int4_")
        own = f"int4_{bare}" if bare in _RENAMED else name
        if value is None:
            revision.note(path, "nothing (null) is the default")
            revision.remove(path)
        elif bare in _RENAMED or name in _OWN:
            revision.note(path, f"`{name}` is an option of the pass itself: `{own}`")
            if isinstance(value, str) and (plain := _plain(value)) != value:
                revision.put(path, plain)
            revision.move(path, (*path[:-2], own))


def _plain(text: str) -> JsonValue:
    try:
        return scalar(text, 0)
    except Fault:
        return text


def _paged(revision: Revision) -> None:
    """Options of a paged engine, whose models cannot be verified here."""
    for path in revision.matches(f"{_EACH}.extra_options.*"):
        name = str(path[-1])
        if type_of(revision, path) in _TYPE and ("paged" in name or name in _PAGED):
            if revision.value(path) not in (False, None):
                revision.lack(path, f"`{name}` is for a paged engine, which is not available yet", str(path[1]))
            revision.remove(path)
    for path in revision.matches(f"{_EACH}.extra_options"):
        if revision.value(path) == {} and type_of(revision, path) in _TYPE:
            revision.remove(path)


def _operators(revision: Revision) -> None:
    """Operators that the builder's graphs do not have."""
    for path in reversed(revision.matches(f"{_EACH}.int4_op_types_to_quantize.*")):
        name = revision.value(path)
        if name == "Gemm":
            revision.note(path, f"the graphs that are built have weights in {' and '.join(_BUILDER_MAKES)} only")
            revision.remove(path)


BUILDER: tuple[Rule, ...] = (
    Valued(f"{_EACH}.type", {"genaimodelexporter": "ModelBuilder"}, "`{old}` is called `{new}`"),
    *(
        Moved(f"{_EACH}.{name}", f"{_EACH}.int4_{name}", f"`{name}` is called `int4_{name}`", _TYPE)
        for name in _RENAMED
    ),
    *(Dropped(f"{_EACH}.{name}", _EXTERNAL, types=_TYPE) for name in _EXTERNAL_DATA),
    Dropped(f"{_EACH}.extra_options.filename", "the graph is called model.onnx", types=_TYPE),
    Dropped(f"{_EACH}.extra_options.quant_mode", "the default is meant", ("default",), types=_TYPE),
    Rewritten(_own_options),
)

BUILDER_LAST: tuple[Rule, ...] = (Rewritten(_paged), Rewritten(_operators))
