"""For the tests of the benchmarks."""

from tests.emulators.azureml.fixtures import *  # noqa: F403 - the fixtures that it lists
