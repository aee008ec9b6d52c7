# ruff: noqa: TID253 - heavy module (optuna, plotly), imported lazily by report.py
"""Charts of the searched options: which of them matter, together and one by one."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Sequence

import optuna
import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly ships no type information

from olive_engine.reporting import phrases
from olive_engine.reporting.sweep_columns import short_names
from olive_engine.search.chart_study import labels, study_of
from olive_engine.search.chart_views import View, counting_objectives, option_views, ranks, titled
from olive_engine.search.drawing import SCALE, Chart, Drawing, chart, plain, shade, study_by
from olive_engine.search.summary import SweepSummary, option_names

_ENOUGH = 8
"""Fewer measured trials than these say nothing about importance."""
_TOP = 0.25
"""The share of trials that count as the best. Optuna's tenth is one or two trials of sixteen, and so mostly luck."""
_AT_THE_TOP = 4
"""How many they are at the least, as long as that is no more than half."""


def importance(sweep: SweepSummary) -> Chart:
    """How much each option tells the best trials from the others."""
    title = "Importance of the options"
    if len(option_names(sweep)) < 2:
        return Chart(title, "Not drawn: fewer than two options were searched.")
    drawings = []
    for index, (name, up) in enumerate(counting_objectives(sweep)):
        places = ranks(sweep, index)
        if len(places) < _ENOUGH:
            told = f"it takes {_ENOUGH} trials that were measured, and so far there are {len(places)}"
            return Chart(title, f"Not drawn: {told}.")
        study = study_of(sweep, {number: (place,) for number, place in places.items()}, [False])
        top = min(0.5, max(_TOP, _AT_THE_TOP / len(places)))
        judge = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=top)
        with warnings.catch_warnings():
            # Optuna warns where a conditional option has few trials; the note below says so of all.
            warnings.simplefilter("ignore")
            weights = optuna.importance.get_param_importances(study, evaluator=judge, normalize=False)
            if not sum(weights.values()):
                continue
            figure = optuna.visualization.plot_param_importances(study, judge)
        figure.update_traces(marker={"color": "var(--complete)"}, hovertemplate="%{y}: %{x:.3f}<extra></extra>")
        figure.update_xaxes(title=None, rangemode="tozero")
        figure.update_yaxes(title=None)
        drawings.append(Drawing(titled(name, higher=up), plain(figure, r=48, b=32), 84 + 34 * len(weights)))
    note = (
        "How much of what sets the best quarter of the trials apart each option explains, adding up to 1 (PED-ANOVA). "
        "A pruned trial counts as worse than those that came further. With few trials this is a rough guide."
    )
    return chart(title, note, drawings, "no option tells the best trials from the others.")


def parallel(sweep: SweepSummary) -> Chart:
    """All options of all trials at once."""
    drawings = []
    for view, study, taken in _comparable(sweep):
        figure = optuna.visualization.plot_parallel_coordinate(study, target_name=view.label)
        # Optuna cuts long names, which may make two of them one.
        heads = [view.label, *sorted(taken)]
        wrapped = [view.label.replace(" at ", "<br>at ", 1), *heads[1:]]
        figure.update_xaxes(ticktext=wrapped, tickangle=0, side="top", ticklabeloverflow="allow")
        for line in figure.data:
            if line.mode == "lines":
                good = line.y[0] if view.higher else 1 - line.y[0]  # the first axis is the value, from 0 to 1
                line.update(line={"color": shade(good), "width": 1 + 1.5 * good}, opacity=0.4 + 0.6 * good)
                line.customdata = [[head, held[1]] for head, held in zip(heads, line.customdata, strict=True)]
        figure.update_traces(selector={"mode": "markers"}, marker={"showscale": False})
        _name_missing(figure, view, study, heads)
        figure.update_annotations(font={"size": 11, "color": "var(--muted)"}, bgcolor="var(--card)", opacity=0.85)
        figure.update_shapes(line={"color": "var(--line)"})
        widest = max(len(line) for head in wrapped for line in head.split("<br>"))
        drawings.append(
            Drawing(view.title, plain(figure, t=58, b=16), 380, width=max(90, 7 * widest + 16) * len(heads))
        )
    note = f"Each line is a trial, the better the bluer. {_few(sweep)}".strip()
    return chart("Parallel coordinates", note, drawings, "it takes two trials with a value.", per_row=1)


def slices(sweep: SweepSummary) -> Chart:
    """Each option alone."""
    drawings = []
    short = short_names(option_names(sweep))
    for view, study, taken in _comparable(sweep):
        for name, label in labels(sweep).items():
            if label not in taken:
                continue
            figure = optuna.visualization.plot_slice(study, params=[label], target_name=view.label)
            figure.update_traces(
                marker={"showscale": False, "size": 9, "colorscale": SCALE, "line": {"width": 0}},
                hovertemplate=f"trial %{{marker.color}}<br>{label} %{{x}}<br>{view.label} %{{y:.5g}}<extra></extra>",
            )
            _unquote(figure)
            figure.update_xaxes(title=None, exponentformat="e", nticks=6)
            figure.update_yaxes(title=None)
            if figure.layout.xaxis.type == "log" and _decades(figure.data[0].x) >= 1.5:
                figure.update_xaxes(dtick=1)
            drawings.append(Drawing(f"{view.name} by {short[name]}", plain(figure, b=32), 260))
    note = f"Each dot is a trial; later trials are bluer. {_few(sweep)}".strip()
    return chart("Options one by one", note, drawings, "it takes two trials with a value.", per_row=3)


def _comparable(sweep: SweepSummary) -> list[tuple[View, optuna.Study, set[str]]]:
    """The views that have two trials or more, each as a study, with the options that are in it."""
    found = []
    for view in option_views(sweep):
        study = study_by(sweep, view)
        taken = {param for trial in study.trials if trial.number in view.values for param in trial.params}
        if len(view.values) > 1 and taken:
            found.append((view, study, taken))
    return found


def _few(sweep: SweepSummary) -> str:
    shown = option_views(sweep)
    done = sum(trial.state == "complete" for trial in sweep.trials)
    if not done or len(shown) != 1 or shown[0].name == sweep.objectives[0][0]:
        return ""
    are = "is" if done == 1 else "are"
    return f"Only {phrases.count(done, 'trial')} {are} complete, so trials are shown where all can be compared."


def _name_missing(figure: go.Figure, view: View, study: optuna.Study, heads: Sequence[str]) -> None:
    """Say of options that a trial does not have that they are not set; Optuna writes None, as for a value."""
    trials = [trial for trial in study.trials if trial.number in view.values]
    lacking = {at for at, head in enumerate(heads) if at and any(head not in trial.params for trial in trials)}
    for tick in figure.layout.annotations:
        if tick.x in lacking and tick.text == "None":
            tick.text = "not set"
    for line in figure.data:
        if line.mode == "lines":
            line.customdata = [
                [head, "not set" if at in lacking and held == "None" else held]
                for at, (head, held) in enumerate(line.customdata)
            ]


def _decades(values: Sequence[float]) -> float:
    return math.log10(max(values) / min(values))


def _unquote(figure: go.Figure) -> None:
    """Show text choices without the quotes that Optuna puts around them."""
    if figure.layout.xaxis.type == "category":
        figure.layout.xaxis.categoryarray = [_bare(text) for text in figure.layout.xaxis.categoryarray]
        figure.update_traces(x=[_bare(text) for text in figure.data[0].x])


def _bare(text: str) -> str:
    found = ast.literal_eval(text)
    return found if isinstance(found, str) else text
