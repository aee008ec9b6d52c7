"""Compute targets: clusters that scale and single instances, with a place for each job that may run at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Condition, Event
from typing import Literal

from tests.emulators.azureml.wire import Json


@dataclass(slots=True)
class Compute:
    """A compute target.

    Attributes:
        state: Of an instance; jobs wait while it is not running.
        max_nodes: Of a cluster; as many jobs run at once as there are nodes for.
    """

    name: str
    kind: Literal["AmlCompute", "ComputeInstance"] = "AmlCompute"
    state: Literal["Running", "Stopped", "Starting"] = "Running"
    max_nodes: int = 2
    vm_size: str = "Standard_NC6s_v3"
    used_nodes: int = 0
    _changed: Condition = field(default_factory=Condition)

    def take(self, nodes: int, canceled: Event) -> bool:
        """Wait for free nodes and take them; False when the job was canceled meanwhile."""
        with self._changed:
            while not canceled.is_set():
                if self.state == "Running" and self.used_nodes + nodes <= self._nodes:
                    self.used_nodes += nodes
                    return True
                self._changed.wait(0.05)
        return False

    def give_back(self, nodes: int) -> None:
        """Give nodes back."""
        with self._changed:
            self.used_nodes -= nodes
            self._changed.notify_all()

    def resource(self, workspace_id: str, location: str) -> Json:
        """The target as the service describes it."""
        own: Json = {"vmSize": self.vm_size}
        if self.kind == "AmlCompute":
            scale = {"minNodeCount": 0, "maxNodeCount": self.max_nodes, "nodeIdleTimeBeforeScaleDown": "PT120S"}
            own |= {"scaleSettings": scale, "osType": "Linux", "vmPriority": "Dedicated"}
            own |= {
                "allocationState": "Steady",
                "currentNodeCount": self.used_nodes,
                "targetNodeCount": self.used_nodes,
            }
        else:
            own |= {"state": self.state, "applications": [], "errors": []}
        properties = {"computeType": self.kind, "provisioningState": "Succeeded", "properties": own}
        return {
            "id": f"{workspace_id}/computes/{self.name}",
            "name": self.name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": location,
            "properties": properties,
        }

    @property
    def _nodes(self) -> int:
        return self.max_nodes if self.kind == "AmlCompute" else 1
