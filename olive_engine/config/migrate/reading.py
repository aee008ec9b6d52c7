"""Text -> pieces. What is read here has been read as a workflow before, so it is JSON or YAML of one document."""

from __future__ import annotations

from olive_engine.config.migrate.json_pieces import from_json
from olive_engine.config.migrate.pieces import Document, Group, Node
from olive_engine.config.migrate.yaml_pieces import from_yaml


def read(content: str, *, is_json: bool) -> Document:
    """The pieces of a text.

    Raises:
        Unfit: it uses a form of YAML that is not taken to pieces, such as ``? key``.
    """
    newline = "\r\n" if "\r\n" in content else "\n"
    cut = not content.endswith(("\n", "\r"))
    content += newline if cut else ""
    document = from_json(content, newline) if is_json else from_yaml(content, newline)
    document.cut = cut
    _learn(document, document.root)
    return document


def _learn(document: Document, root: Node) -> None:
    """How this text is indented, from the first group in a group."""
    steps: list[str] = []
    dashes: list[str] = []
    groups = [root] if isinstance(root, Group) else []
    while groups:
        group = groups.pop(0)
        for entry in group.entries:
            value = entry.value
            if not isinstance(value, Group):
                continue
            groups.append(value)
            inner = value.pad.removeprefix(value.base)
            if not value.is_flow and entry.mark.endswith(":"):
                (steps if value.is_mapping else dashes).append(inner)
            elif value.is_flow and value.is_spread and inner:
                steps.append(inner)
    if isinstance(root, Group) and root.is_flow:
        steps[:0] = [root.pad] if root.pad else []
        first = next((entry for entry in root.entries if entry.mark), None)
        document.gap = first.gap if first is not None else " "
    document.step = steps[0] if steps else document.step
    document.dash = dashes[0] if dashes else document.step
