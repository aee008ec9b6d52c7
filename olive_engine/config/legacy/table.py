"""The table of older spellings, Olive 0.4 to today's and the tutorials', in the order in which they are applied.

Sources: microsoft/Olive's configuration classes and examples at v0.4 to v0.9, and the tutorials' own files.
"""

from __future__ import annotations

from olive_engine.config.legacy.data import DATA, DATA_JOINED, DATA_LAST
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.evaluators import EVALUATORS, EVALUATORS_JOINED, EVALUATORS_LAST
from olive_engine.config.legacy.input_model import INPUT_MODEL, INPUT_MODEL_JOINED, INPUT_MODEL_LAST
from olive_engine.config.legacy.passes import PASSES, PASSES_JOINED, PASSES_LAST
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Rewritten, Rule
from olive_engine.config.legacy.search import SEARCH
from olive_engine.config.legacy.shared_cache import SHARED_CACHE
from olive_engine.config.legacy.systems import CLIENTS, SYSTEMS

_OWN_CACHE = "not needed: a step is keyed by everything that it depends on, so nothing stale is ever taken"


def _inline_systems(revision: Revision) -> None:
    """Up to Olive 0.5 a system could be described where it is named."""
    for option in ("host", "target"):
        if isinstance(revision.value((option,)), dict) and not revision.has(("systems", option)):
            revision.note((option,), f"a system is described under `systems`, and `{option}` names it")
            revision.move((option,), ("systems", option))
            revision.put((option,), option, ("systems", option))
    evaluator = revision.value(("evaluator",))
    if isinstance(evaluator, dict) and not revision.has(("evaluators", "evaluator")):
        revision.note(("evaluator",), "an evaluator is described under `evaluators`, and `evaluator` names it")
        revision.move(("evaluator",), ("evaluators", "evaluator"))
        revision.put(("evaluator",), "evaluator", ("evaluators", "evaluator"))


def _unavailable(revision: Revision) -> None:
    """Passes chosen by the engine."""
    path = ("auto_optimizer_config",)
    if revision.value(path) is not None and not revision.members(("passes",)):
        revision.lack(path, "choosing the passes is not available yet: name them in `passes`", path[0])
    elif revision.has(path):
        revision.note(path, "not needed: the passes are named")
    revision.remove(path)
    if revision.value(("builds",)):
        revision.lack(("builds",), "several builds of one model's parts are not available yet", "builds")
    for name in ("builds", "max_concurrent_builds", "component_assembly"):
        revision.remove((name,))


TOP: tuple[Rule, ...] = (
    Moved("model", "input_model", "`model` is called `input_model`"),
    Lifted("engine", "what `engine` holds stands at the top"),
    Lifted("workflow_config", "what `workflow_config` holds stands at the top"),
    Lifted("cache_config", "what `cache_config` holds stands at the top"),
    Dropped("clean_cache", _OWN_CACHE),
    Dropped("clean_run_cache", _OWN_CACHE),
    Dropped("clean_evaluation_cache", _OWN_CACHE),
    Dropped("workflow_id", "not needed: workflows share a cache without meeting, and `output_dir` tells results apart"),
    Dropped("output_name", "not needed: what is written into `output_dir` is called after its pass"),
    Dropped("ort_log_severity_level", "ONNX Runtime's own messages are shown from warnings on"),
    Dropped("ort_py_log_severity_level", "ONNX Runtime's own messages are shown from warnings on"),
    Dropped("log_to_file", "`olive run --json` writes every event; redirect it to a file"),
    Dropped("plot_pareto_frontier", "the report of a search has the Pareto front", (False, None)),
    Dropped("packaging_config", "packaging is not available yet: the final models are folders in `output_dir`"),
    Rewritten(_inline_systems),
    Dropped("verbose", "`--log-level debug` shows everything"),
    Dropped("evaluation_only", "a workflow without passes evaluates its input model", (False, None)),
    *SHARED_CACHE,
    Dropped("no_artifacts", "only final models are written to `output_dir`; everything else stays in the cache"),
)

FILE_RULES: tuple[Rule, ...] = (*TOP, *CLIENTS, *INPUT_MODEL, *DATA, *SYSTEMS, *EVALUATORS, *PASSES, *SEARCH)
"""What is applied to each file by itself, and once more to the whole, for what `--set` has brought."""

JOINED: tuple[Rule, ...] = (*INPUT_MODEL_JOINED, *DATA_JOINED, *EVALUATORS_JOINED, *PASSES_JOINED)
"""What is applied to the whole alone, for its parts may stand in different files; `FILE_RULES` follow once more."""

LAST: tuple[Rule, ...] = (Rewritten(_unavailable), *INPUT_MODEL_LAST, *DATA_LAST, *EVALUATORS_LAST, *PASSES_LAST)
"""What is judged when everything is in its place: what a later file says otherwise was never meant."""
