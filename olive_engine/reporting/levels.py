"""How much of a run is shown, by the workflow's ``log_severity_level``.

0 debug      everything, with tracebacks, workers' last lines, and the debug messages of steps
1 info       the plan, progress, every step that ends, messages, the summary; of a search its trials instead of steps
2 warning    warnings and errors of steps, failures, what was skipped for them, the summary
3 error      errors of steps, and failures, of trials too
4 critical   nothing: the exit code and the error that ends the command must do
"""

from __future__ import annotations

DEBUG, INFO, WARNING, ERROR, CRITICAL = range(5)
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}
"""The names that steps and ``--log-level`` use for the levels."""
