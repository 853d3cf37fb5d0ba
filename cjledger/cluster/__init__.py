"""The doors to clusters: one seam, an implementation for each way to get there."""

import importlib
import shutil
from pathlib import Path

from cjledger.cluster.local import Local
from cjledger.cluster.node import ensure_ready, node_zip
from cjledger.cluster.outbox import outbox
from cjledger.cluster.transport import Frame, Transport
from cjledger.model import Cluster

__all__ = ["Frame", "Local", "Transport", "ensure_ready", "node_zip", "outbox", "transport"]


def transport(where: Cluster, cj_dir: Path) -> Transport:
    """The way to a cluster; what it has to remember lies below ``cj_dir``. Connects to nothing yet."""
    if where.host is None:
        return Local(where)
    kind = where.transport or ("openssh" if shutil.which("ssh") else "paramiko")
    # Loaded when a cluster needs it: paramiko alone takes a fifth of a second.
    way: Transport = importlib.import_module(f"cjledger.cluster.{_MODULES[kind]}").way(where, cj_dir)
    return way


_MODULES = {"openssh": "openssh", "paramiko": "paramiko_ssh"}
