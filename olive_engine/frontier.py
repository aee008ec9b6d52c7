"""The steps of a plan that have not begun: those that wait for others, and those that are ready."""

from __future__ import annotations

from collections.abc import Iterator

from olive_engine.planner import Plan, Step


class Frontier:
    """Moves on through a plan as its steps end."""

    def __init__(self, plan: Plan) -> None:
        """Those that wait for nothing are ready."""
        self.ready: dict[str, Step] = {}
        """By name, in the order in which they became so; who begins one takes it out."""
        self._pending = dict(plan.steps)
        self._waits = {name: len(set(step.node.needs)) for name, step in plan.steps.items()}
        self._followers: dict[str, list[str]] = {name: [] for name in plan.steps}
        for name, step in plan.steps.items():
            for need in set(step.node.needs):
                self._followers[need].append(name)
        for name in [name for name, count in self._waits.items() if count == 0]:
            self.ready[name] = self._pending.pop(name)

    def done(self, name: str) -> None:
        """A step has a result: those that waited for it alone are ready."""
        for follower in self._followers[name]:
            self._waits[follower] -= 1
            if self._waits[follower] == 0 and follower in self._pending:
                self.ready[follower] = self._pending.pop(follower)

    def failed(self, name: str) -> Iterator[str]:
        """A step has no result: give up those that need it, and name them."""
        seen, todo = {name}, list(self._followers[name])
        while todo:
            follower = todo.pop(0)
            if follower not in seen:
                seen.add(follower)
                todo += self._followers[follower]
                if self._pending.pop(follower, None) is not None:
                    yield follower
