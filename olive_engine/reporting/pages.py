"""A page of documentation for each pass, from the pass itself: ``python -m olive_engine.reporting.pages FOLDER``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from olive_engine import registry
from olive_engine.config.docstrings import document, summary
from olive_engine.contracts import AnyPass
from olive_engine.reporting.commented_yaml import commented_yaml
from olive_engine.reporting.examples import example
from olive_engine.reporting.reference import Option, options_of

INDEX = "README.md"
_MARKUP = re.compile(r"(?<!\w)_|_(?!\w)|\*|<(?=[A-Za-z/])")
"""What Markdown reads as emphasis or a tag; an underscore inside a word is none."""
_MADE = "<!-- Made from the passes themselves by `make docs`: edit their descriptions, not this file. -->"


def pass_pages() -> Mapping[str, str]:
    """Every page by its file name: the index, and one for each installed pass."""
    known = sorted(registry.passes().items())
    return {INDEX: _index(known), **{f"{name}.md": _page(cls) for name, cls in known}}


def write_pages(folder: Path) -> None:
    """Write every page into `folder`, and remove those of passes that are gone."""
    pages = pass_pages()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _index(known: Sequence[tuple[str, type[AnyPass]]]) -> str:
    lines = [
        _MADE,
        "# Passes",
        "",
        "What a workflow can do to a model. Each is named by its `type` under",
        "[`passes`](../workflow.md#passes-what-is-done); `olive passes NAME` shows the same in a terminal.",
        "",
        "| pass | takes | gives | what it does |",
        "|---|---|---|---|",
    ]
    for name, cls in known:
        lines.append(
            f"| [{name}]({name}.md) | {_takes(cls)} | {_kinds(cls.produces)} | {_cell(summary(cls, links=False))} |"
        )
    return "\n".join(lines) + "\n"


def _page(cls: type[AnyPass]) -> str:
    return "\n".join([_MADE, *_head(cls), *_example(cls), *_options(cls)]) + "\n"


def _head(cls: type[AnyPass]) -> Iterator[str]:
    yield f"# {cls.type}"
    yield ""
    yield document(cls)
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| takes | {_takes(cls)} |"
    yield f"| gives | {_kinds(cls.produces)} |"
    if cls.requires:
        names = ", ".join(f"`{name.replace('|', '` or `')}`" for name in cls.requires)
        yield f"| needs | {names} |"
        yield f'| install | `pip install "olive-engine[{cls.extra}]"` |'


def _example(cls: type[AnyPass]) -> Iterator[str]:
    yield "\n## The smallest workflow with it\n"
    yield f"```yaml\n{commented_yaml(example(cls))}```"


def _options(cls: type[AnyPass]) -> Iterator[str]:
    yield "\n## Options\n"
    options = [*options_of(cls.config_type)]
    groups: dict[str, list[Option]] = {"": []}
    for option in options:
        groups.setdefault(option.name.rpartition(".")[0], []).append(option)
    if options:
        yield from _table(groups.pop(""), "")
    else:
        yield "It has none of its own."
    yield "\nBeside them it takes what [every pass](../workflow.md#passes-what-is-done) takes: `input`, `inputs`,"
    yield "`host` and `evaluator`."
    for group, members in groups.items():
        if group:
            yield f"\n### `{group}`\n"
            yield from _table(members, f"{group}.")


def _table(options: Iterable[Option], prefix: str) -> Iterator[str]:
    yield "| option | type | default | |"
    yield "|---|---|---|---|"
    for option in options:
        default = f"`{option.default}`" if option.default else "must be given"
        if option.type in ("group", "list of groups"):
            default = "as below" if option.type == "group" and option.default != "null" else default
        name = option.name.removeprefix(prefix)
        yield f"| `{name}` | {_cell(option.type)} | {_cell(default)} | {_cell(option.description)} |"


def _takes(cls: type[AnyPass]) -> str:
    kinds = _kinds(cls.accepts)
    return f"several: {kinds}" if cls.takes_many else kinds


def _kinds(kinds: Sequence[type[object]]) -> str:
    return " or ".join(f"`{kind.__name__}`" for kind in kinds)


def _cell(text: str) -> str:
    """Text that stands in a table: what Markdown takes for markup is escaped, but for code in backticks."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
