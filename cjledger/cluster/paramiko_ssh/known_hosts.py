"""The host keys a person knows, read from the files that ssh reads.

paramiko's own reader takes no patterns, and a revoked key for one that is not there.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cjledger.errors import CjError


@dataclass(frozen=True)
class KnownKey:
    """A key that a file gives for a host, and where it stands."""

    kind: str
    blob: bytes
    source: str
    revoked: bool = False

    @property
    def file(self) -> str:
        """The file that it stands in."""
        return self.source.rpartition(":")[0]

    @property
    def fingerprint(self) -> str:
        """The key's digest as ssh shows it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """``SHA256:…`` of a public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def entry_name(host: str, port: int) -> str:
    """How a known_hosts file names a host: with the port where it is not 22."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def known_keys(files: Iterable[Path], name: str) -> list[KnownKey]:
    """The keys that the files give for a name; lines that cannot be read are no keys."""
    found = []
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as problem:
            raise CjError(f"{file} cannot be read: {problem.strerror}", f"ls -l {file}") from problem
        for number, line in enumerate(text.splitlines(), 1):
            key = _key(line, name, f"{file}:{number}")
            if key:
                found.append(key)
    return found


def _key(line: str, name: str, source: str) -> KnownKey | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    # A certificate authority vouches for certificates, which paramiko does not ask hosts for.
    if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    hosts, kind, encoded = words[:3]
    if not _names(hosts, name):
        return None
    try:
        return KnownKey(kind, base64.b64decode(encoded, validate=True), source, marker == "@revoked")
    except binascii.Error:
        return None


def _names(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        return _is_hash_of(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        # Brackets are part of a name with a port, no set of characters.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def remember(file: Path, name: str, kind: str, blob: bytes, hashed: bool) -> None:
    """Append a key to a known_hosts file, made with its folder when it is not there."""
    if hashed:
        salt = os.urandom(20)
        digest = hmac.digest(salt, name.encode(), "sha1")
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "r+b", buffering=0) as out:
        size = out.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(out.fileno(), 1, size - 1) != b"\n"
        line = f"{name} {kind} {base64.b64encode(blob).decode()}\n".encode()
        out.write(b"\n" * torn + line)
