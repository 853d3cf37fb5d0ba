"""The doors to clusters: one seam, an implementation for each way to get there."""

from cjledger.cluster.local import Local
from cjledger.cluster.node import ensure_ready, node_zip
from cjledger.cluster.outbox import outbox
from cjledger.cluster.transport import Frame, Transport
from cjledger.errors import CjError
from cjledger.model import Cluster

__all__ = ["Frame", "Local", "Transport", "ensure_ready", "node_zip", "outbox", "transport"]


def transport(where: Cluster) -> Transport:
    """The way to a cluster. Connects to nothing yet."""
    if where.scheduler == "local":
        return Local(where)
    raise CjError(f"cluster {where.name}: there is no scheduler {where.scheduler!r}", "git cj config")
