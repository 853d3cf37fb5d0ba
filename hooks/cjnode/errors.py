"""What the node half refuses, in the words the laptop shows."""


class NodeError(Exception):
    """A request that cannot be met: sent as ``{"error":…,"hint":…}`` alone, exit 1."""

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.hint = hint
