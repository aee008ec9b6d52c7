"""What README.md and CONTRIBUTING.md say is so: the first workflow is clean, links lead somewhere, --json is there."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from olive_engine import reading
from olive_engine.cli.group import COMMANDS, olive

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")


def test_the_first_workflow_is_read_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    (tmp_path / "first.yaml").write_text(found[1])
    monkeypatch.chdir(ROOT)
    draft = reading.read_workflow([tmp_path / "first.yaml"])
    assert ([str(problem) for problem in draft.problems], list(draft.notices)) == ([], [])
    assert list(draft.raise_if_wrong().passes) == ["lora", "merge", "int4"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(page: str) -> None:
    targets = _LINK.findall((ROOT / page).read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


GROUPS = ("cache", "environments", "sweep", "shared-cache")
"""Commands that are groups of others."""


def test_json_is_promised_where_it_is() -> None:
    promise = re.search(
        r"`--json` writes JSON for programs, in all commands but (.*?), whose", (ROOT / "README.md").read_text()
    )
    assert promise is not None
    without = set(re.findall(r"`(\w+)`", promise[1]))
    helps = {name: CliRunner().invoke(olive, [name, "--help"]).output for name in COMMANDS if name not in GROUPS}
    assert {name for name, text in helps.items() if "--json" not in text} == without
