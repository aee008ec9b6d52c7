"""Paths with gaps, and what answers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.emulators.azureml.wire import Refused, Request, Response


class Gaps(dict[str, str]):
    """What stood in the gaps of a path."""


Handler = Callable[[Request, Gaps], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One route; a part of the template in braces is a gap, the others are compared without regard to case."""

    method: str
    template: tuple[str, ...]
    handler: Handler

    def gaps(self, segments: tuple[str, ...]) -> Gaps | None:
        """What stands in the gaps, or None where the path is another."""
        if len(segments) != len(self.template):
            return None
        gaps = Gaps()
        for wanted, found in zip(self.template, segments, strict=True):
            if wanted.startswith("{"):
                gaps[wanted[1:-1]] = found
            elif wanted.lower() != found.lower():
                return None
        return gaps


class Router:
    """Routes, asked in the order in which they were added."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Add a route: ``add("GET", "jobs/{name}", …)``."""
        self._routes.append(Route(method, tuple(template.strip("/").split("/")), handler))

    def handle(self, request: Request, segments: tuple[str, ...]) -> Response:
        """Answer a request whose path (or the rest of it) has these segments.

        Raises:
            Refused: 404 for an unknown path, 405 for a known one asked in another way.
        """
        other_methods = False
        for route in self._routes:
            gaps = route.gaps(segments)
            if gaps is not None and route.method == request.method:
                return route.handler(request, gaps)
            other_methods = other_methods or gaps is not None
        told = f"The emulator has no {request.method} {'/'.join(segments)}."
        raise Refused(405, "MethodNotAllowed", told) if other_methods else Refused(404, "NotImplemented", told)
