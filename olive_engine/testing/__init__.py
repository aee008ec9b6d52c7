"""For authors of passes and systems: conformance suites, tiny models, toy passes, and a system that shares nothing."""
