"""The report as a file, and as a browser draws it."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from olive_engine.config.search.values import Choice
from olive_engine.reporting.phrases import duration
from olive_engine.search.charts import charts
from olive_engine.search.report import write_report
from olive_engine.search.summary import Retrain
from olive_engine.search.trials import Trial

from .sweeps import halving, pareto

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
BAD = """<script>document.title="owned"</script>"><img src=x onerror="document.title='owned'">"""

needs_a_browser = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed")


class Page(HTMLParser):
    """What a page holds: the elements with their attributes, and the text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.texts, self._inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.texts.append(data)

    def with_class(self, name):
        return [attrs for _, attrs in self.elements if name in (attrs.get("class") or "").split()]

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


def written(tmp_path, sweep):
    path = tmp_path / "report.html"
    write_report(path, sweep)
    return path, path.read_text(encoding="utf-8")


def browse(path, profile, *flags):
    """The document after its scripts, and what the browser's console said. No name can be resolved."""
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--enable-unsafe-swiftshader",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--log-level=0",
            "--virtual-time-budget=20000",
            f"--user-data-dir={profile}",
            *flags,
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"DBUS_SESSION_BUS_ADDRESS": "disabled:"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    # What the software renderer says of itself, and plotly's advice to browsers.
    return done.stdout, [line for line in said if not re.search(r"WebGL|willReadFrequently|auto-margin", line)]


def test_the_file_holds_all_it_needs_and_asks_for_nothing_else(tmp_path):
    _, text = written(tmp_path, halving())
    page = Page(text)
    assert [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "embed", "base", "form")] == []
    assert [attrs for _, attrs in page.elements if attrs.keys() & {"src", "href", "srcset", "action"}] == []
    assert not re.search(r"url\(|@import", text.partition("</style>")[0])
    code = [script for script in page.scripts if not script.startswith("{")]
    assert sum("plotly.js" in script[:200] for script in code) == 1
    assert len(text) < 5_500_000


def test_it_says_what_matters_in_words(tmp_path):
    sweep = halving(warning="the order at a rung says little")
    page = Page(written(tmp_path, sweep)[1])
    best = sweep.trials[sweep.best[0]]
    for told in (
        "Phrase tone: rank, learning rate and batch size",
        "study phrase-tone-0123456789abcdef · sampler tpe · pruner successive_halving · seed 7",
        f"{best.values[0]:.4g}best eval_loss (lower is better), trial {best.number}",
        "16 trials2 complete, 13 pruned, 1 failed",
        "70%of the training saved by pruning",
        f"{duration(sum(trial.seconds for trial in sweep.trials))}of work on the trials, workers added up",
        "tune.training_args.learning_rate",
        "olive run best/trial_3.yaml --output-dir out",
        "best/trial_3.yaml",
        "Pruning saved 420,000 of 600,000 training tokens (70%).",
        "trial 8step lora: CUDA out of memory",
        "tune.r4, 8, 16, 32",
        "50 % against 100 %+1.00 (2 trials)",
        "the order at a rung says little",
        "optuna 5.0.0",
    ):
        assert told in page.text
    rows = [attrs for tag, attrs in page.elements if tag == "tr"]
    assert len(rows) == 1 + len(sweep.trials)


def test_what_comes_from_users_is_text(tmp_path):
    trials = tuple(
        Trial(n, n, {f"tune.{BAD}": BAD}, state="complete", values=(n / 10,), curve={0.5: 1.0, 1.0: n / 10})
        for n in range(9)
    )
    trials += (Trial(9, 9, {f"tune.{BAD}": BAD}, state="failed", cause=f"it said {BAD}"),)
    sweep = halving(
        title=BAD,
        study=BAD,
        trials=trials,
        searched={f"tune.{BAD}": Choice(values=(BAD, "other"))},
        objectives=((BAD, False),),
        yardstick=(BAD, False),
        best=(0,),
        retrain={0: Retrain(BAD, BAD)},
        warning=BAD,
        sampler=BAD,
        pruner=BAD,
        versions={BAD: BAD},
    )
    path, text = written(tmp_path, sweep)
    page = Page(text)
    assert BAD in page.text
    assert [tag for tag, _ in page.elements if tag == "img"] == []
    figures = sum(len(chart.drawings) for chart in charts(sweep))
    assert [tag for tag, _ in page.elements].count("script") == 2 + figures
    for script in page.scripts:
        if script.startswith("{"):
            json.loads(script)
    if BROWSER is not None:
        drawn, said = browse(path, tmp_path / "profile")
        assert "<title>owned" not in drawn
        assert said == []
        assert all("js-plotly-plot" in attrs["class"] for attrs in Page(drawn).with_class("chart"))


def test_the_table_tells_which_trial_tries_which_again(tmp_path):
    trials = (
        Trial(0, 0, {"tune.r": 8}, state="failed", cause="the disk was full"),
        Trial(1, 0, {"tune.r": 8}, state="complete", values=(0.5,), met=True),
    )
    page = Page(written(tmp_path, halving(trials=trials, best=(1,), retrain={}))[1])
    assert "(again 0)" in page.text
    assert "reached" in page.text
    assert "the disk was full (tried again as trial 1)" in page.text


def test_a_report_is_replaced_as_a_whole(tmp_path):
    path, first = written(tmp_path, halving())
    write_report(path, halving(title="Another"))
    assert path.read_text(encoding="utf-8") != first
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@needs_a_browser
@pytest.mark.parametrize(
    ("sweep", "in_space"), [(halving(), 0), (pareto(objectives=3), 1)], ids=["pruned", "three objectives"]
)
def test_a_browser_draws_every_chart_without_a_network(sweep, in_space, tmp_path):
    path, text = written(tmp_path, sweep)
    drawn, said = browse(path, tmp_path / "profile", "--window-size=400,3000")
    assert said == []
    wanted = sum(len(chart.drawings) for chart in charts(sweep))
    page = Page(drawn)
    places = page.with_class("chart")
    assert len(places) == wanted == len(Page(text).with_class("chart"))
    assert all("js-plotly-plot" in place["class"] for place in places)
    pieces = drawn.split('data-height="')[1:]
    assert len(pieces) == wanted
    assert all('class="main-svg"' in piece for piece in pieces)
    scenes = [piece for piece in pieces if re.search(r'id="scene".*?<canvas', piece, re.DOTALL)]
    assert len(scenes) == in_space
    # Points, lines and bars are there, in the page's colours.
    assert drawn.count('class="point"') > len(sweep.trials)
    svg = "".join(re.findall(r"<svg.*?</svg>", drawn, flags=re.DOTALL))
    assert "rgb(47, 111, 240)" in svg
    assert "var(--" not in svg


@needs_a_browser
def test_a_browser_refuses_what_the_report_did_not_bring(tmp_path):
    """The page's policy holds, and what the console says of a broken page is seen by these tests."""
    path, text = written(tmp_path, halving())
    foreign = '<script>document.title="owned"</script><img src="http://example.com/x.png"></main>'
    path.write_text(text.replace("</main>", foreign), encoding="utf-8")
    drawn, said = browse(path, tmp_path / "profile")
    assert "<title>owned" not in drawn
    assert sum("Content Security Policy" in line for line in said) == 2


@needs_a_browser
def test_a_click_on_a_head_sorts_the_table(tmp_path):
    trials = (
        Trial(0, 0, {"tune.r": 16}, state="complete", values=(0.3,)),
        Trial(1, 1, {"tune.r": 8}, state="complete", values=(1e-5,)),
        Trial(2, 2, {"tune.r": 32}, state="complete", values=(0.2,)),
        Trial(3, 3, {"tune.r": 4}, state="pruned", curve={0.5: 1.0}),
    )
    path, text = written(tmp_path, halving(trials=trials, best=(1,), retrain={}))
    # The policy allows the page's own scripts only, so the click goes into one of them, without the policy.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    click = """<script>document.querySelectorAll("th button")[COLUMN].click()</script></body>"""
    for column, order in ((2, ["1", "2", "0", "3"]), (3, ["3", "1", "0", "2"])):
        path.write_text(text.replace("</body>", click.replace("COLUMN", str(column))), encoding="utf-8")
        drawn, said = browse(path, tmp_path / f"profile{column}")
        assert said == []
        body = drawn.partition("<tbody>")[2].partition("</tbody>")[0]
        assert re.findall(r"<tr[^>]*><td[^>]*data-key=\"(\d+)\"", body) == order
