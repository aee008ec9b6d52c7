from pathlib import Path

import pytest

from olive_engine.config.loader import load, loads
from olive_engine.config.tree import find, locate, split_lines
from olive_engine.errors import InvalidWorkflow, Position

JSON = '{\n  "passes": {"lora": {"r": 8, "names": ["a", "ü"]}},\n\t"on": true, "x": -1.5e3, "none": null}'
YAML = """\
passes:
  lora:
    r: 8
    names: [a, "ü"]
text: |
  two
  lines
"""


def refused(data: bytes | str, kind: str) -> str:
    with pytest.raises(InvalidWorkflow) as caught:
        loads(data.encode() if isinstance(data, str) else data, "f", kind)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_json_values_and_positions() -> None:
    source = loads(JSON.encode(), "w.json", "json")
    assert source.tree == {
        "passes": {"lora": {"r": 8, "names": ["a", "ü"]}},
        "on": True,
        "x": -1500.0,
        "none": None,
    }
    assert source.locate(("passes", "lora", "r")) == Position("w.json", 2, 28)
    assert source.locate(("passes", "lora", "names", 1)) == Position("w.json", 2, 46)
    assert locate(source.root, ("x",), key=True) == Position("w.json", 3, 14)
    assert source.locate(()) == Position("w.json", 1, 1)


def test_what_is_not_there_is_located_at_its_nearest_ancestors_key() -> None:
    source = loads(YAML.encode(), "w.yaml", "yaml")
    assert source.locate(("passes", "lora", "alpha", "x")) == Position("w.yaml", 2, 3)
    assert source.locate(("hosts",)) == Position("w.yaml", 1, 1)


def test_yaml_values_and_positions() -> None:
    source = loads(YAML.encode(), "w.yaml", "yaml")
    assert source.tree == {"passes": {"lora": {"r": 8, "names": ["a", "ü"]}}, "text": "two\nlines\n"}
    assert source.locate(("passes", "lora", "r")) == Position("w.yaml", 3, 8)
    assert source.locate(("passes", "lora", "names", 1)) == Position("w.yaml", 4, 16)
    assert locate(source.root, ("passes", "lora", "names"), key=True) == Position("w.yaml", 4, 5)


def test_a_lone_pass_is_found_as_its_first_alternative() -> None:
    root = loads(YAML.encode(), "w.yaml", "yaml").root
    assert find(root, ("passes", "lora", 0, "r")) is find(root, ("passes", "lora", "r"))
    assert find(root, ("passes", "lora", 1)) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    tree = loads(f"a: {text}\n".encode(), "f", "yaml").tree
    assert isinstance(tree, dict)
    assert tree["a"] == value
    assert type(tree["a"]) is type(value)


def test_aliases_and_merge_keys() -> None:
    text = "base: &b {x: 1, y: [2]}\nsame: *b\nown: {<<: *b, y: 3}\nlist: {<<: [*b, {z: 4, x: 5}]}\nkey: {'<<': 1}\n"
    source = loads(text.encode(), "f", "yaml")
    assert source.tree == {
        "base": {"x": 1, "y": [2]},
        "same": {"x": 1, "y": [2]},
        "own": {"x": 1, "y": 3},
        "list": {"x": 1, "y": [2], "z": 4},
        "key": {"<<": 1},
    }
    assert source.locate(("same", "x")) == Position("f", 1, 14)
    assert locate(source.root, ("same",), key=True) == Position("f", 2, 1)


def test_a_number_of_64_bits_is_the_longest() -> None:
    assert loads(b'{"a": 9223372036854775807}', "f", "json").tree == {"a": 2**63 - 1}
    assert "does not fit in 64 bits" in refused('{"a": 9223372036854775808}', "json")
    assert "does not fit in 64 bits" in refused("a: 0x8000000000000000", "yaml")


def test_a_byte_order_mark_is_no_character() -> None:
    assert loads(b'\xef\xbb\xbf{"a": 1}', "f", "json").locate(("a",)) == Position("f", 1, 7)
    assert loads(b"\xef\xbb\xbfa: 1", "f", "yaml").locate(("a",)) == Position("f", 1, 4)


def test_line_ends_of_every_system_count_alike() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(("a:", "  b: 1", "  c: 2"))
        assert loads(text.encode(), "f", "yaml").locate(("a", "c")) == Position("f", 3, 6)
        assert loads(end.join(("{", '"a":', "1}")).encode(), "f", "json").locate(("a",)) == Position("f", 3, 1)
    assert split_lines("a\r\nb\rc\n\nd") == ["a\r\n", "b\r", "c\n", "\n", "d"]
    assert split_lines("") == [""]


def test_an_unknown_suffix_is_read_by_its_first_character(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text('  {"a": 1}')
    (tmp_path / "b").write_text("a: 1")
    assert load(tmp_path / "a.conf").tree == load(tmp_path / "b").tree == {"a": 1}


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path / "none.json", "no such file"),
        (tmp_path, "a folder"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(InvalidWorkflow, match=what) as caught:
            load(path)
        assert caught.value.problems[0].position == Position(str(path), 0, 0)


def test_a_file_of_several_megabytes_reads() -> None:
    passes = ", ".join(f'"p{index}": {{"type": "ToyScale", "note": "{"x" * 200}"}}' for index in range(20_000))
    source = loads(f'{{"passes": {{{passes}}}}}'.encode(), "f", "json")
    assert isinstance(source.tree, dict)
    assert len(source.tree["passes"]) == 20_000  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_what_is_absurd_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"olive_engine.config.{kind}_text.MAX_VALUES", 1000)
    monkeypatch.setattr("olive_engine.config.loader.MAX_BYTES", 1 << 20)
    assert "more than 1,000 values" in refused("[" + "1," * 1000 + "1]", kind)
    assert "nested more than 64 levels" in refused("[" * 100_000, kind)
    assert "larger than 1 MiB" in refused(b" " * ((1 << 20) + 1), kind)
    assert "the key has 501 characters" in refused('{"' + "k" * 501 + '": 1}', kind)


BLANK = "a blank is missing after `:`"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  x: 1\n  r:16\n  y: 2\n", f"f:3:3: {BLANK}; write `r: …`"),
        ("a:\n  r:16\n  y: 2\n", f"f:2:3: {BLANK}; write `r: …`"),
        ("a:\n  x: 1\n  path:base\n\n# why\nb: 1\n", f"f:3:3: {BLANK}; write `path: …`"),
        ("a:\n  x: 1\n  type LoRA\n", "f:3:3: a line without `:`"),
        ("a:\n  type LoRA\n  r: 1\n", "f:2:3: a line without `:`"),
        ("a\n  r: 1\n", "f:1:1: a line without `:`"),
        ("a:\n  b: text\n   c: d\n", "f:3:5: a `:` where none may stand"),
        ("a:\n  b: text\n    goes on\n   c: d\n", "f:4:5: a `:` where none may stand"),
    ],
)
def test_a_slip_with_the_colon_is_told_in_its_own_line(text: str, said: str) -> None:
    assert refused(text, "yaml").startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n "a": 1\n "b": 2}', "f:2:8: a comma is missing"),
        ('{"a": [1,\n 2 3]}', "f:2:3: a comma is missing"),
        ('{"a": {}\n\n "b": 2}', "f:1:9: a comma is missing"),
        ('{"a": "b"c"}', "f:1:10: expected `,` or `}`, found `c`"),
    ],
)
def test_a_missing_comma_is_told_where_it_belongs(text: str, said: str) -> None:
    assert refused(text, "json").startswith(said)
