"""Searches: trials proposed, trained rung by rung, compared, and remembered in a study that any later run goes on with.

`trials` is what all parts speak of; `proposals` asks Optuna for values, `study` keeps what became of them, `rungs` says
who goes on, `objectives` who is best, and `sweep` drives the executor.
"""
