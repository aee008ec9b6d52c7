"""``events.jsonl`` is read whatever stands in it."""

from olive_engine.contracts import EventLine, Log, Progress, read_events

LINES = (
    EventLine(item=0, time=1.0, event=Log(message="two\u2028lines\x85and \r one")),
    EventLine(item=1, time=2.0, event=Progress(step=1, total=2)),
)
WRITTEN = [line.model_dump_json().encode() for line in LINES]


def test_what_a_worker_wrote_is_what_is_read() -> None:
    assert read_events(b"\n".join([*WRITTEN, b""])) == (LINES, ())
    assert read_events(b"") == ((), ())


def test_lines_that_are_no_events_are_told_apart() -> None:
    torn, foreign, other = WRITTEN[1][:20], b"\xff warning", b'{"item": 0, "time": 1.0, "event": {"type": "later"}}'
    found = read_events(b"\n".join([torn, WRITTEN[0], foreign, b"", other, WRITTEN[1]]))
    assert found == (LINES, (torn.decode(), "\ufffd warning", other.decode()))
