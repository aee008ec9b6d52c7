"""What a job says, read piece by piece: events, lines, and why it has no result."""

from __future__ import annotations

from collections.abc import Callable

from olive_engine.contracts import EVENT_LINE, EVENT_PREFIX, EventLine
from olive_systems.azure_ml.in_job import LOST_PREFIX, SPOILT_PREFIX
from olive_systems.azure_ml.layout import Spoilt
from olive_systems.processes import LOG_LINES

_PYTHON = "add Python 3.11 or later to the environment's conda file"
_SIGNS = {
    "nknown option: -P": f"the environment's Python is too old for olive-engine; {_PYTHON}",
    "python: command not found": f"the environment has no Python; {_PYTHON}",
    "python: not found": f"the environment has no Python; {_PYTHON}",
}
"""What a shell or an old Python says -> what to do."""
TAIL = 64
"""Bytes by which a log that goes on is told from one that was begun anew."""


class JobLog:
    """The log of one job; read by one thread."""

    def __init__(self, tell: Callable[[EventLine], None]) -> None:
        """Begin one.

        Args:
            tell: hears the events.
        """
        self._tell = tell
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all of it: the job was begun again, and so is its log."""
        self._rest = b""
        self._said = ""
        self.spoilt: Spoilt | None = None
        """What the job has found that it was to read, and would not."""
        self.heard = 0
        """Bytes of it that were read."""
        self.tail = b""
        """The last of these: where the log has others there, it is another log."""
        self.last: tuple[str, ...] = ()
        """Its last lines that are no events; another thread may look at them."""

    def hear(self, piece: bytes) -> None:
        """Read on."""
        self.heard += len(piece)
        self.tail = (self.tail + piece)[-TAIL:]
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))

    def end(self) -> None:
        """Take what is left for its last line, if that has no end."""
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def cause(self) -> str:
        """Why there is no result, as far as the job itself says it; empty: it does not."""
        if self._said:
            return self._said
        text = "\n".join(self.last)
        if found := next((what for sign, what in _SIGNS.items() if sign in text), ""):
            return found
        module = next((line for line in reversed(self.last) if line.startswith("ModuleNotFoundError: ")), "")
        lacking = module.partition("'")[2].partition("'")[0]
        return f"the environment lacks {lacking}, which olive-engine needs; add it to the conda file" if module else ""

    def show(self, text: bytes) -> None:
        """Take the end of another log for the last lines, for want of one of its own."""
        for line in text.decode("utf-8", "replace").splitlines():
            self._keep(line)

    def _take(self, line: str) -> None:
        if line.startswith(EVENT_PREFIX):
            try:
                event = EVENT_LINE.validate_json(line.removeprefix(EVENT_PREFIX))
            except ValueError:
                self._keep(line)
                return
            self._tell(event)
        elif line.startswith(SPOILT_PREFIX):
            try:
                self.spoilt = Spoilt.model_validate_json(line.removeprefix(SPOILT_PREFIX))
            except ValueError:
                self._keep(line)
        elif line.startswith(LOST_PREFIX):
            self._said = line.removeprefix(LOST_PREFIX)
        else:
            self._keep(line)

    def _keep(self, line: str) -> None:
        self.last = (*self.last, line)[-LOG_LINES:]
