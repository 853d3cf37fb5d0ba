"""The way to a cluster without an ssh program: paramiko carries commands, dulwich speaks for git."""

from __future__ import annotations

from pathlib import Path

from cjledger.cluster.paramiko_ssh.line import ParamikoLine
from cjledger.cluster.remote import remote
from cjledger.cluster.transport import Contact, Transport
from cjledger.model import Cluster

__all__ = ["ParamikoLine", "way"]


def way(where: Cluster, cj_dir: Path, contact: Contact) -> Transport:
    """The cluster at the other end of a session of paramiko's. Connects to nothing yet."""
    return remote(where, ParamikoLine(where, contact), cj_dir, contact)
