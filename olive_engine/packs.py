"""Which ready steps may go into one job as a pack, and how packs are divided among the jobs of a system. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from pydantic import JsonValue

from olive_engine.contracts import Known
from olive_engine.digests import digest
from olive_engine.options import DataRef, Packable, unmarked
from olive_engine.planner import Step
from olive_engine.registry import find_pass

LARGEST = 16
"""Steps in one pack at the most: when a worker dies, all of them are begun again."""


def pack_of(step: Step) -> Hashable | None:
    """What steps of one pack have in common; none: the step runs alone."""
    node = step.node
    cls = find_pass(node.type) if node.kind == "pass" else None
    if cls is None or cls.alone_because(node.config, Known()):
        return None
    common: dict[str, JsonValue] = {
        "options": unmarked(node.config, Packable, DataRef),
        "inputs": step.ingredients["inputs"],
        "data": step.ingredients["data"],
    }
    return (node.type, node.system, node.inputs, digest(common))


def share(step: Step, others: Sequence[Step], jobs: int) -> tuple[Step, ...]:
    """The pack of `step` when it and `others`, which may all be packed, are divided among `jobs` jobs.

    The heaviest first, each goes where least is so far, so that all jobs end at about the same time.
    """
    everyone = sorted((step, *others), key=lambda each: (-_weight(each), each.node.name))
    count = max(min(jobs, len(everyone)), -(-len(everyone) // LARGEST))
    packs: list[list[Step]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for each in everyone:
        lightest = loads.index(min(loads))
        packs[lightest].append(each)
        loads[lightest] += _weight(each)
    return next(tuple(pack) for pack in packs if step in pack)


def _weight(step: Step) -> float:
    cls = find_pass(step.node.type)
    return cls.pack_weight(step.node.config) if cls else 1.0
