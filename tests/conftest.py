"""For every test."""

import os
import signal

# A shell that starts a command in the background makes it ignore Ctrl-C, and so every process it starts: the tests
# that send one would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Of what tests load in their own process; workers have it from the engine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
