"""The report of a sweep: one HTML file that holds all it needs, and opens without a network."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from olive_engine.errors import WorkflowError
from olive_engine.search import page
from olive_engine.search.summary import SweepSummary
from olive_engine.store.files import write_atomic


def write_report(path: Path, sweep: SweepSummary) -> None:
    """Write the report of a sweep; a file that is there is replaced as a whole.

    Raises:
        WorkflowError: plotly is not installed.
    """
    if find_spec("plotly") is None:
        raise WorkflowError("the report of a sweep needs plotly; install it with: pip install 'olive-engine[search]'")
    write_atomic(path, _html(sweep))


def _html(sweep: SweepSummary) -> str:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # plotly ships no type information

    scripts = [_inline(get_plotlyjs()), _inline(_own("report.js"))]
    # The page may run these scripts, draw, and nothing else: it can load nothing, wherever a text in it comes from.
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    body = "".join(
        [
            page.head(sweep),
            page.best(sweep),
            *_chart_sections(sweep),
            page.table(sweep),
            page.failures(sweep),
            page.searched(sweep),
            page.foot(sweep),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(sweep.title)}</title><style>{_own('report.css')}</style></head><body><main>{body}"
        "<noscript><p>The charts need JavaScript, which is in this file.</p></noscript></main>"
        + "".join(f"<script>{script}</script>" for script in scripts)
        + "</body></html>\n"
    )


def _chart_sections(sweep: SweepSummary) -> list[str]:
    from olive_engine.search.charts import charts

    return [
        page.section(
            chart.title,
            chart.note,
            page.figures(
                ((each.name, str(each.figure.to_json()), each.height, each.width) for each in chart.drawings),
                per_row=chart.per_row,
            )
            if chart.drawings
            else "",
        )
        for chart in charts(sweep)
    ]


def _own(name: str) -> str:
    return files("olive_engine.search").joinpath(name).read_text(encoding="utf-8")


def _inline(script: str) -> str:
    """A script that cannot end its element, nor be changed by the reading of line ends."""
    return script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
