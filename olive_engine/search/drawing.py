# ruff: noqa: TID253 - heavy module (optuna, plotly), imported lazily by report.py
"""Figures in the house's looks, and the sections of a report that they make up.

Colours are the page's own (``var(--best)``); the page puts in those of the light or the dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import optuna
import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly ships no type information

from olive_engine.search.chart_study import labels, study_of
from olive_engine.search.chart_views import View
from olive_engine.search.summary import SweepSummary, chosen, text_of

SCALE = ((0.0, "#9aa3b2"), (0.5, "#7fa0e0"), (1.0, "#3f7df5"))
"""From a poor trial, or an early one, to a good one: legible on white and on black."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure of a chart."""

    name: str
    """What it shows, as plain text; empty where the chart's title says all."""
    figure: go.Figure
    height: int = 360
    """In pixels."""
    width: int = 0
    """Below which it is scrolled, in pixels; 0: it fits any width."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A section of the report: one question, and the figures that answer it."""

    title: str
    note: str
    """How to read it, or why there is nothing to read, as plain text."""
    drawings: tuple[Drawing, ...] = ()
    per_row: int = 2
    """How many figures stand beside each other where there is room: 1, 2 or 3."""


def chart(title: str, note: str, drawings: Sequence[Drawing], otherwise: str, per_row: int = 2) -> Chart:
    """A chart of these drawings; without any, `otherwise` says why."""
    return Chart(title, note, tuple(drawings), per_row) if drawings else Chart(title, f"Not drawn: {otherwise}")


def plain(figure: go.Figure, *, legend: bool = False, **margins: int) -> go.Figure:
    """The figure without what the page gives it: title, theme, and margins but for those given."""
    figure.update_layout(
        template="none",
        title=None,
        width=None,
        # Room at the top for the chart's buttons, which a touch screen shows all the time.
        margin={"l": 48, "r": 16, "t": 40, "b": 48} | margins,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True, title_standoff=12)
    return figure


def study_by(sweep: SweepSummary, view: View) -> optuna.Study:
    """The trials as a study of one objective."""
    return study_of(sweep, {number: (value,) for number, value in view.values.items()}, [view.higher])


def descriptions(sweep: SweepSummary) -> dict[int, str]:
    """Each trial for hovering: its number and its options, a line each."""
    names = labels(sweep)
    told = {}
    for trial in sweep.trials:
        options = ((names[name], text_of(chosen(sweep, name, value))) for name, value in trial.assignment.items())
        lines = [f"{name} {escaped(text)}" for name, text in options]
        told[trial.number] = "<br>".join([f"<b>trial {trial.number}</b> {trial.state}", *lines])
    return told


def shade(good: float) -> str:
    """A colour of `SCALE`, for a number from 0 to 1."""
    below, above = (SCALE[0], SCALE[1]) if good < 0.5 else (SCALE[1], SCALE[2])
    share = (good - below[0]) / (above[0] - below[0])
    ends = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (below[1], above[1])]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def escaped(text: str) -> str:
    """Text as part of a figure."""
    return escape(text, quote=False)
