"""What the store's tests share."""

from tests.emulators.azurite import azurite as azurite
