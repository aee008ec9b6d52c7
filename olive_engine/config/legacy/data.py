"""Older spellings of data configs: as a mapping, with `params` at every level, with the names of Olive 0.4 to 0.6."""

from __future__ import annotations

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.resources import url_of
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Refused, Rewritten, Rule, Valued

_PARTS = ("load_dataset_config", "pre_process_data_config", "post_process_data_config", "dataloader_config")
_EACH = "data_configs.*"
_PRE = f"{_EACH}.pre_process_data_config"
_LOAD = f"{_EACH}.load_dataset_config"


def _as_list(revision: Revision) -> None:
    if isinstance(revision.value(("data_configs",)), dict):
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


_BATCHES = "batches are made by the pass or the metric: rows of a batch are padded to the longest, and masked"

DATA: tuple[Rule, ...] = (
    Rewritten(_as_list),
    Lifted(f"{_EACH}.config", "what `config` holds stands beside `type`"),
    *(rule for part in _PARTS for rule in _nested(part)),
    Dropped(f"{_EACH}.components", "no component was written", ({},)),
    Dropped(f"{_EACH}.components_kwargs", "no component was written", ({},)),
    # Where the rows are.
    Valued(f"{_LOAD}.type", {"huggingface_dataset": None}, "not needed: rows come from `data_name` and `data_files`"),
    Dropped(f"{_LOAD}.type", "not needed: it is what is meant", (None,)),
    Moved(f"{_LOAD}.dataset_name", f"{_LOAD}.data_name", "`dataset_name` is called `data_name`"),
    Dropped(f"{_LOAD}.trust_remote_code", "data sets are read without running code of theirs"),
    Rewritten(_files),
    # How a row becomes tokens.
    Valued(
        f"{_PRE}.type",
        {"text_generation_huggingface_pre_process": None, "huggingface_pre_process": None},
        "not needed: text is what every row becomes",
    ),
    Dropped(f"{_PRE}.type", "not needed: it is what is meant", (None,)),
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
    Dropped(f"{_EACH}.dataloader_config.type", "not needed: batches are what is meant"),
    Dropped(f"{_EACH}.dataloader_config.drop_last", "every row counts in an evaluation"),
    Dropped(f"{_EACH}.dataloader_config.shuffle", "the order of rows changes no metric; training shuffles by its seed"),
)
