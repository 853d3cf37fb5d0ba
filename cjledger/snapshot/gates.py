"""What must not enter a package unasked: secrets, big files, files that cannot be read."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from cjledger.errors import CjError
from cjledger.snapshot.workshop import unreadable


class Limits(NamedTuple):
    """How large untracked files may be, each and together."""

    file_mb: int = 10
    total_mb: int = 200


class Candidate(NamedTuple):
    """A file that would enter the package new or changed."""

    path: str  # as the person would type it
    source: bytes  # where its bytes are
    is_new: bool  # untracked: the size limits apply


_HEAD_BYTES = 1 << 20
_NOTEBOOK_BYTES = 16 << 20  # a notebook's outputs come after its pictures

_SECRET_NAMES = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pgpass", ".htpasswd", ".git-credentials"),
    *(
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_ecdsa_sk",
        "id_ed25519_sk",
        "*.pem",
        "*.p12",
        "*.pfx",
    ),
    *("*.ppk", "*.jks", "*.keystore", "*.kdbx", "*.kdb", "*.key", ".pypirc", ".vault_pass", "secring.*"),
    *("credentials.json", "client_secret*.json", "service-account*.json", "service_account*.json"),
    *("secrets.json", "secrets.y*ml", "secrets.toml", "kaggle.json", "auth.json", "terraform.tfstate"),
)
_SECRET_PATHS = (
    "*.aws/credentials",
    "*.docker/config.json",
    "*.kube/config",
    "*.config/gcloud/*",
    "*.ssh/id_*",
)
_HARMLESS_NAMES = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", "*.pub")


class _Pattern(NamedTuple):
    what: str
    marks: tuple[bytes, ...]  # one of them occurs in every match: bytes search is 20 times faster than re
    pattern: bytes  # compiled when a mark occurs: all of them would take 5 ms of every launch


_PATTERNS = (
    _Pattern(
        "private key",
        (b"PRIVATE KEY", b"PuTTY-User-Key"),
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d:",
    ),
    _Pattern(
        "AWS access key",
        (b"AKIA", b"ASIA"),
        rb"(?<![A-Za-z0-9/+])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9/+])",
    ),
    _Pattern(
        "AWS secret key",
        (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY"),
        rb"(?i:aws_secret_access_key)\\?[\"']?\s*[:=]\s*\\?[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    _Pattern(
        "GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    _Pattern("GitLab token", (b"glpat-",), rb"(?<![A-Za-z0-9_])glpat-[A-Za-z0-9_-]{20,}"),
    _Pattern(
        "Slack token",
        (b"xox", b"hooks.slack.com"),
        rb"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w{16,}",
    ),
    _Pattern(
        "API key",
        (b"sk-", b"sk_live_", b"rk_live_"),
        (
            rb"(?<![A-Za-z0-9_-])(?:sk-(?:proj|svcacct|admin|ant)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{20,}"
            rb"|[sr]k_live_[A-Za-z0-9]{20,})"
        ),
    ),
    _Pattern(
        "access token",
        (b"AIza", b"hf_", b"npm_", b"pypi-AgE"),
        (
            rb"(?<![A-Za-z0-9_/+-])(?:AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}"
            rb"|pypi-AgE[A-Za-z0-9_-]{50,})(?![A-Za-z0-9/+])"
        ),
    ),
    _Pattern(
        "password in an address",
        (b"://",),
        # A placeholder ($PASSWORD, {password}, <password>, ***) is no password.
        rb"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'<>{}\\]{0,100}:(?![$<{%*])[^\s/@\"'<>{}\\]{3,100}@[A-Za-z0-9\[]",
    ),
)


def secret_name(path: str) -> bool:
    """Whether a file of this name usually holds a secret."""
    name = path.rpartition("/")[2].lower()
    if any(fnmatchcase(name, harmless) for harmless in _HARMLESS_NAMES):
        return False
    whole = path.lower()
    return any(fnmatchcase(name, secret) for secret in _SECRET_NAMES) or any(
        fnmatchcase(whole, secret) for secret in _SECRET_PATHS
    )


def secret_content(data: bytes) -> str | None:
    """What kind of secret these bytes hold, or None."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        data = data.replace(b"\0", b"")
    for what, literals, pattern in _PATTERNS:
        if any(literal in data for literal in literals) and re.search(pattern, data):
            return what
    return None


def check(
    candidates: Iterable[Candidate], allow_large: bool, allow_secrets: Sequence[str], limits: Limits
) -> None:
    """Raise CjError when a candidate is a secret, too large or unreadable. Writes nothing."""
    sizes: list[tuple[int, str]] = []
    leaks: list[tuple[str, str]] = []
    allowed = _permission(allow_secrets)
    for candidate in candidates:
        try:
            found = os.lstat(candidate.source)
            if not stat.S_ISREG(found.st_mode):
                continue
            if candidate.is_new:
                sizes.append((found.st_size, candidate.path))
            why = _leak(candidate)
        except PermissionError as problem:
            raise unreadable(candidate.path) from problem
        except (FileNotFoundError, NotADirectoryError):
            continue  # it vanished: the next look will say so
        if why and not allowed(candidate.path):
            leaks.append((candidate.path, why))
    if leaks:
        _refuse_secrets(sorted(leaks))
    if not allow_large:
        _refuse_large(sizes, limits)


def _leak(candidate: Candidate) -> str | None:
    is_notebook = candidate.path.endswith(".ipynb")
    with open(candidate.source, "rb", buffering=0) as file:
        data = file.read(_NOTEBOOK_BYTES if is_notebook else _HEAD_BYTES)
    if secret_name(candidate.path):
        return "by its name"
    return secret_content(data)


def _permission(paths: Sequence[str]) -> Callable[[str], bool]:
    allowed = [os.path.normpath(path) for path in paths]

    def is_allowed(path: str) -> bool:
        return any(path == own or path.startswith(own + "/") or fnmatchcase(path, own) for own in allowed)

    return is_allowed


def _refuse_secrets(leaks: list[tuple[str, str]]) -> None:
    noun = "file looks" if len(leaks) == 1 else "files look"
    raise CjError(
        f"{len(leaks)} {noun} like a secret: " + ", ".join(f"{_shown(path)} ({why})" for path, why in leaks),
        f"add it to .gitignore, or allow it: --allow-secret {shlex.quote(leaks[0][0])}",
    )


def _refuse_large(sizes: list[tuple[int, str]], limits: Limits) -> None:
    hint = "add it to .gitignore, or launch with --allow-large"
    large = sorted(((size, path) for size, path in sizes if size > limits.file_mb << 20), reverse=True)
    if large:
        names = ", ".join(f"{_shown(path)} ({_megabytes(size)} MB)" for size, path in large)
        raise CjError(f"untracked and larger than {limits.file_mb} MB: {names}", hint)
    total = sum(size for size, _ in sizes)
    if total > limits.total_mb << 20:
        largest = ", ".join(
            f"{_shown(path)} ({_megabytes(size)} MB)" for size, path in sorted(sizes, reverse=True)[:5]
        )
        raise CjError(
            f"{len(sizes)} untracked files hold {_megabytes(total)} MB, over {limits.total_mb} MB together;"
            f" largest: {largest}",
            hint,
        )


def _shown(path: str) -> str:
    """The path on one line."""
    return path if path.isprintable() else repr(path)[1:-1]


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
