"""Host keys are found where ssh finds them, and kept as ssh keeps them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from cjledger.cluster.paramiko_ssh.known_hosts import entry_name, fingerprint, known_keys, remember

A, B = b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"a" * 32, b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"b" * 32


def line(names: str, blob: bytes = A) -> str:
    return f"{names} ssh-ed25519 {base64.b64encode(blob).decode()} a comment\n"


@pytest.mark.parametrize(
    ("names", "name", "found"),
    [
        ("login.example.org", "login.example.org", True),
        ("Login.Example.org,10.0.0.1", "login.example.org", True),
        ("*.example.org", "login.example.org", True),
        ("login?.example.org", "login.example.org", False),
        ("*.example.org,!login.example.org", "login.example.org", False),
        ("[login.example.org]:2222", "login.example.org", False),
        ("[login.example.org]:2222", entry_name("Login.example.org", 2222), True),
        ("[*.example.org]:2222", entry_name("login.example.org", 2222), True),
        ("@cert-authority login.example.org", "login.example.org", False),
        ("# login.example.org", "login.example.org", False),
        ("|1|not|base64", "login.example.org", False),
    ],
)
def test_a_line_is_for_the_hosts_that_its_patterns_name(
    tmp_path: Path, names: str, name: str, found: bool
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"\nnonsense\n{line(names)}")
    assert [key.blob for key in known_keys([tmp_path / "none", file], name)] == ([A] if found else [])


def test_a_revoked_key_is_told_from_a_known_one(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("n1") + line("@revoked *", B))
    found = known_keys([file], "n1")
    assert [(key.blob, key.revoked, key.source) for key in found] == [
        (A, False, f"{file}:1"),
        (B, True, f"{file}:2"),
    ]


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("before", ["", "n2 ssh-ed25519 AAAA", "n2 ssh-ed25519 AAAA\n"])
def test_a_remembered_key_is_found_by_us_and_by_ssh_keygen(tmp_path: Path, hashed: bool, before: str) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    if before:
        file.parent.mkdir()
        file.write_text(before)
    remember(file, "[n1]:2222", "ssh-ed25519", A, hashed)
    assert [key.blob for key in known_keys([file], "[n1]:2222")] == [A]
    asked = ("ssh-keygen", "-F", "[n1]:2222", "-f", file)
    assert base64.b64encode(A).decode() in subprocess.run(asked, capture_output=True, text=True).stdout
    assert file.read_text().splitlines()[-1].startswith("|1|" if hashed else "[n1]:2222 ")
    assert file.read_text().startswith(before)


def test_a_fingerprint_is_what_ssh_keygen_shows(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    shown = subprocess.run(("ssh-keygen", "-l", "-f", key), capture_output=True, text=True, check=True)
    blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
    assert fingerprint(blob) == shown.stdout.split()[1]
