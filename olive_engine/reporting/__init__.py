"""How a run is told: a reporter gets every event; the console, JSON lines and the recorder are reporters."""
