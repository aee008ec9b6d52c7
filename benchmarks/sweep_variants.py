"""The ways to do one sweep, as data: scripts of one's own, the engine, and the engine with one mechanism less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Script:
    """A script with Optuna, peft and transformers' Trainer, one trial after another (`sweep_optuna`)."""

    name: str
    label: str
    pruner: bool = False
    """With Optuna's successive halving."""
    resident: bool = False
    """The base stays loaded and the rows tokenized."""


@dataclass(frozen=True, slots=True)
class Engine:
    """``olive run``."""

    name: str
    label: str
    changes: Mapping[str, JsonValue] = field(default_factory=dict)
    """Dotted path in the workflow -> value."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment."""
    against: str = "olive"
    """Another variant, which has all but one mechanism in common with it."""


Variant = Script | Engine

PLAIN = Script("plain", "(a) Optuna + peft + Trainer")
PRUNED = Script("pruned", "(b) with Optuna's halving", pruner=True)
RESIDENT = Script("resident", "(c) and the base kept loaded", pruner=True, resident=True)
OLIVE = Engine("olive", "(d) olive run")

VARIANTS: tuple[Variant, ...] = (OLIVE, PLAIN, PRUNED, RESIDENT)
"""In the order of a round: the others sweep the assignments that the engine drew."""

WANTED: Mapping[str, float] = {"plain": 6.0, "pruned": 2.5, "resident": 1.5}
"""So many times faster than these the engine is to be."""

ABLATIONS: tuple[Engine, ...] = (
    Engine(
        "one worker",
        "one worker with all threads",
        {"systems": {"here": {"type": "LocalSystem", "workers": 1}}, "host": "here"},
    ),
    # A model without biases is trained the same: only packs, which share all but the adapters, are out.
    Engine("no packs", "no packs (bias: all)", {"passes.lora.bias": "all"}),
    Engine(
        "no shared base",
        "a fresh process for each job",
        {"systems": {"here": {"type": "DetachedSystem", "root": "{folder}/there"}}, "host": "here"},
    ),
    Engine("no pruner", "pruner: none", {"search_strategy.pruner": "none"}),
    # Noise below the rounding of float32: what changes is the training core, which knows neither rungs nor packs.
    Engine(
        "no lean core",
        "pruner: none and the Trainer core",
        {"search_strategy.pruner": "none", "passes.lora.training_args.neftune_noise_alpha": 1e-12},
        against="no pruner",
    ),
)
