# ruff: noqa: TID253 - heavy module (optuna, plotly), imported lazily by report.py
"""The charts of a sweep's report. What the data cannot give is left out, with a sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import optuna
import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly ships no type information

from olive_engine.reporting.trials import percent
from olive_engine.search import option_charts
from olive_engine.search.chart_study import study_of
from olive_engine.search.chart_views import complete, early_view, finite, objective_views, titled
from olive_engine.search.drawing import Chart, Drawing, chart, descriptions, escaped, plain, study_by
from olive_engine.search.summary import SweepSummary, budgets


def charts(sweep: SweepSummary) -> tuple[Chart, ...]:
    """All charts of a sweep, those that cannot be drawn with the reason."""
    return (
        _history(sweep),
        *([_pareto(sweep)] if len(sweep.objectives) > 1 else []),
        _learning(sweep),
        option_charts.importance(sweep),
        option_charts.parallel(sweep),
        option_charts.slices(sweep),
        _saved(sweep),
    )


def _history(sweep: SweepSummary) -> Chart:
    drawings = []
    early = early_view(sweep)
    for view in [*objective_views(sweep), *([] if early is None else [early])]:
        if not view.values:
            continue
        figure = optuna.visualization.plot_optimization_history(study_by(sweep, view), target_name=view.label)
        figure.update_traces(
            selector={"mode": "markers"},
            name="trial",
            marker={"size": 9, "color": "var(--complete)"},
            hovertemplate=f"trial %{{x}}<br>{view.label} %{{y:.5g}}<extra></extra>",
        )
        figure.update_traces(
            selector={"mode": "lines"},
            name="best so far",
            line={"shape": "hv", "width": 2, "color": "var(--best)"},
            hovertemplate="best so far %{y:.5g}<extra></extra>",
        )
        figure.update_xaxes(title="trial", nticks=12)
        figure.update_yaxes(title=None)
        drawings.append(Drawing(view.title, plain(figure, legend=True)))
    note = "Each dot is a trial, in the order in which they were proposed."
    return chart("Optimization history", note, drawings, "no trial has a value yet.")


def _learning(sweep: SweepSummary) -> Chart:
    title = "Learning curves"
    curves = {trial.number: finite(trial.curve) for trial in sweep.trials}
    if sweep.yardstick is None:
        return Chart(title, "Not drawn: what is searched cannot be judged on the way.")
    if not any(len(curve) > 1 for curve in curves.values()):
        return Chart(title, "Not drawn: no trial was measured more than once.")
    figure, hovers = go.Figure(), descriptions(sweep)
    told: set[str] = set()
    # Pruned ones first, so that the best lie on top.
    for trial in sorted(sweep.trials, key=lambda each: (each.number in sweep.best, each.state == "complete")):
        kind = "best" if trial.number in sweep.best else trial.state
        curve = curves[trial.number]
        if not curve:
            continue
        best = kind == "best"
        figure.add_scatter(
            x=list(curve),
            y=list(curve.values()),
            mode="lines+markers",
            name=kind,
            legendgroup=kind,
            showlegend=kind not in told,
            opacity={"best": 1.0, "complete": 0.9}.get(kind, 0.55),
            line={"color": f"var(--{kind})", "width": 3 if best else 1.5},
            marker={"color": f"var(--{kind})", "size": 8 if best else 5},
            text=[hovers[trial.number]] * len(curve),
            hovertemplate="%{text}<br>%{y:.5g}<extra></extra>",
        )
        told.add(kind)
    figure.update_xaxes(title="share of a trial's own budget", range=[0, 1.04], tickformat=".0%")
    rungs = sorted({*sweep.rungs, 1.0})
    if len(rungs) <= 5 and all(after - before > 0.06 for before, after in pairwise(rungs)):
        figure.update_xaxes(tickangle=0, tickvals=rungs, ticktext=[percent(rung) for rung in rungs])
    values = [value for curve in curves.values() for value in curve.values()]
    wide = min(values) > 0 and max(values) > 20 * min(values)
    name, up = sweep.yardstick
    figure.update_yaxes(type="log" if wide else "linear")
    note = f"{titled(name, higher=up)} at each rung that a trial reached."
    return Chart(title, note, (Drawing("", plain(figure, legend=True), 420),))


def _pareto(sweep: SweepSummary) -> Chart:
    """The front of two or three objectives, of more the first two."""
    title = "Pareto front"
    count = len(sweep.objectives) if len(sweep.objectives) <= 3 else 2
    shown = sweep.objectives[:count]
    values = {
        trial.number: trial.values[:count] for trial in complete(sweep) if all(map(math.isfinite, trial.values[:count]))
    }
    if not values:
        return Chart(title, "Not drawn: no trial is complete yet.")
    study = study_of(sweep, values, [up for _, up in shown])
    figure = optuna.visualization.plot_pareto_front(study, target_names=[escaped(name) for name, _ in shown])
    hovers = descriptions(sweep)
    coordinates = ", ".join(f"%{{{axis}:.5g}}" for axis in "xyz"[:count])
    for trace, kind, color in zip(figure.data, ("others", "front"), ("complete", "best"), strict=True):
        numbers = list(trace.marker.color or ())
        trace.update(
            name=kind,
            showlegend=bool(numbers),
            text=[hovers[number] for number in numbers],
            hovertemplate=f"%{{text}}<br>{coordinates}<extra></extra>",
        )
        # Optuna colours by number, with a scale each, which leaves little room for the chart.
        trace.marker = {"color": f"var(--{color})", "size": 10 if count == 2 else 5}
    note = "No trial is better than one of the front in one objective without being worse in another."
    if len(sweep.objectives) > count:
        note += f" Of the {len(sweep.objectives)} objectives these are the first two."
    name = ", ".join(titled(name, higher=up) for name, up in shown)
    if count == 2:
        return Chart(title, note, (Drawing(name, plain(figure, legend=True), 420),))
    figure.update_scenes(camera_eye={"x": 1.7, "y": 1.7, "z": 0.9})
    return Chart(title, note, (Drawing(name, plain(figure, legend=True, l=0, r=0, b=0), 520),))


def _saved(sweep: SweepSummary) -> Chart:
    title = "Saved by pruning"
    told = budgets(sweep.trials)
    if not told.saved:
        return Chart(title, told.in_words())
    figure = go.Figure()
    states = {trial.number: trial.state for trial in sweep.trials}
    unit = "tokens" if told.in_tokens else "budgets"
    for kind in ("complete", "pruned", "failed", "running"):
        spent = {number: value for number, value in told.spent.items() if states[number] == kind}
        if spent:
            _add_bars(figure, spent, f"spent, {kind}", f"var(--{kind})", unit)
    _add_bars(figure, told.saved, "saved", "var(--saved)", unit)
    figure.update_layout(barmode="stack", bargap=0.25)
    figure.update_xaxes(title="trial", nticks=24)
    figure.update_yaxes(title="training tokens" if told.in_tokens else "share of a trial's own budget")
    return Chart(title, told.in_words(), (Drawing("", plain(figure, legend=True), 360),))


def _add_bars(figure: go.Figure, values: Mapping[int, float], name: str, color: str, unit: str) -> None:
    hover = f"trial %{{x}}<br>{name} %{{y:,.4~g}} {unit}<extra></extra>"
    figure.add_bar(x=list(values), y=list(values.values()), name=name, marker={"color": color}, hovertemplate=hover)
