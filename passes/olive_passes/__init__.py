"""The built-in passes. Each lives in a package of its own: a light declaration, and heavy modules beside it."""

from olive_engine.contracts import AnyPass

PASSES: tuple[type[AnyPass], ...] = ()
