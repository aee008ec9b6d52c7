"""The pages about passes are those of the code as it is; what they show can be run; the index leads everywhere."""

import json
import re
from pathlib import Path

import pytest

from olive_engine import reading, registry
from olive_engine.reporting.pages import pass_pages, write_pages
from olive_engine.reporting.reference import options_of
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model

DOCS = Path(__file__).parents[2] / "docs"
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    base = build_tiny_model(folder / "models/base")
    build_tiny_adapter(base, folder / "models/adapter")
    (folder / "models/onnx").mkdir()
    (folder / "models/onnx/model.onnx").write_bytes(b"\x08\x07")
    (folder / "data").mkdir()
    row = json.dumps({"question": "How many legs has a spider?", "answer": "Eight."})
    (folder / "data/train.jsonl").write_text(f"{row}\n" * 20)
    return folder


def test_the_pages_are_fresh() -> None:
    """`make docs` rewrites them."""
    published = {path.name: path.read_text() for path in (DOCS / "passes").glob("*.md")}
    assert published == dict(pass_pages())


@pytest.mark.parametrize("name", registry.passes())
def test_the_example_of_a_page_is_a_valid_workflow(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    found = re.search(r"^```yaml\n(.*?)^```$", pass_pages()[f"{name}.md"], re.DOTALL | re.MULTILINE)
    assert found is not None
    Path("workflow.yaml").write_text(found[1])
    draft = reading.read_workflow(["workflow.yaml"])
    assert [str(problem) for problem in draft.problems if problem.severity == "error"] == []
    assert not draft.notices  # nothing in it is an older spelling
    ((entry,),) = draft.raise_if_wrong().passes.values()
    assert entry.type == name


@pytest.mark.parametrize("name", registry.passes())
def test_a_page_tells_every_option_with_its_default(name: str) -> None:
    page = pass_pages()[f"{name}.md"]
    for option in options_of(registry.passes()[name].config_type):
        last = option.name.rpartition(".")[2]
        (row, *_) = re.findall(rf"^\| `{re.escape(last)}` \|.*$", page, re.MULTILINE)
        assert option.type.startswith(("group", "list of groups")) or (option.default or "must be given") in row


def test_pages_of_passes_that_are_gone_go(tmp_path: Path) -> None:
    (tmp_path / "Gone.md").write_text("…")
    (tmp_path / "picture.svg").write_text("…")
    write_pages(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*pass_pages(), "picture.svg"}


def test_the_index_leads_to_every_page() -> None:
    linked = {(DOCS / target).resolve() for target in _LINK.findall((DOCS / "README.md").read_text())}
    assert {path for path in DOCS.glob("*.md") if path.name != "README.md"} <= linked
    assert DOCS / "passes/README.md" in linked


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text()) if not target.startswith("/")]
    assert [target for target in targets if not (page.parent / target).exists()] == []
