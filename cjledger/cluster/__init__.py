"""The doors to clusters: one seam, an implementation for each way to get there."""

import importlib
import shutil
from pathlib import Path

from cjledger.cluster.local import Local
from cjledger.cluster.node import ensure_ready, init_request, node_zip
from cjledger.cluster.outbox import outbox
from cjledger.cluster.transport import Contact, Frame, Transport
from cjledger.model import Cluster

__all__ = [
    "Contact",
    "Frame",
    "Local",
    "Transport",
    "ensure_ready",
    "init_request",
    "node_zip",
    "outbox",
    "transport",
]


def transport(where: Cluster, cj_dir: Path, contact: Contact | None = None) -> Transport:
    """The way to a cluster; what it has to remember lies below ``cj_dir``. Connects to nothing yet.

    Without a ``contact`` it asks nobody for anything, and is silent.
    """
    if where.host is None:
        return Local(where)
    kind = where.transport or ("openssh" if shutil.which("ssh") else "paramiko")
    # Loaded when a cluster needs it: paramiko alone takes a fifth of a second.
    way: Transport = importlib.import_module(f"cjledger.cluster.{_MODULES[kind]}").way(
        where, cj_dir, contact or Contact()
    )
    return way


_MODULES = {"openssh": "openssh", "paramiko": "paramiko_ssh"}
