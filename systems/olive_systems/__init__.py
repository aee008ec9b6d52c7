"""The built-in systems, one module each."""

from olive_engine.contracts import System

SYSTEMS: tuple[type[System], ...] = ()
