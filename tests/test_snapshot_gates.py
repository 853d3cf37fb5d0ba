"""Secrets, big files and unreadable ones stop a snapshot before any object is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cjledger import gitrepo, snapshot
from cjledger.errors import CjError
from cjledger.snapshot.gates import secret_content, secret_name
from tests.snapshots import commit, files_of, git, new_repo, write

# Built from parts so that no scanner takes this file for a leak.
AWS = "AKIA" + "IOSFODNN7EXAMPL3"
GITHUB = "ghp_" + "a1B2" * 9
SLACK = "xoxb-" + "123456789012-abcdefABCDEF"
OPENAI = "sk-" + "proj-" + "Ab3_" * 10
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3Bl\n"
URL = "postgres://mia:" + "hunter2@db.example.org/x"
NOTEBOOK = json.dumps({"cells": [{"outputs": [{"text": ["key = '" + AWS + "'\n"]}], "source": []}]})

PLANTED = {
    ".env": "DEBUG=1\n",
    "sub/.env.local": "X=1\n",
    "id_ed25519": "x\n",
    "certs/site.pem": "x\n",
    "store.p12": "x\n",
    ".netrc": "x\n",
    "credentials.json": "{}\n",
    ".aws/credentials": "x\n",
    "vault.kdbx": "x\n",
    "notes.txt": f"the key is {AWS}.\n",
    "deploy.py": f'TOKEN = "{GITHUB}"\n',
    "bot.py": f'TOKEN = "{SLACK}"\n',
    "ask.py": f'client(api_key="{OPENAI}")\n',
    "key.txt": KEY,
    "db.py": f'connect("{URL}")\n',
    "analysis.ipynb": NOTEBOOK,
    "utf16.txt": KEY,
}


def planted(name: str) -> bytes:
    return PLANTED[name].encode("utf-16" if name == "utf16.txt" else "utf-8")


def clean_repo(tmp_path: Path) -> Path:
    top = new_repo(tmp_path / "repo")
    write(top, "a.py", "1\n")
    commit(top)
    return top


def take(top: Path, **options: object) -> str:
    return snapshot.take(gitrepo.discover(top), snapshot.Wanted(**options)).tree  # type: ignore[arg-type]


def objects(top: Path) -> set[str]:
    return set(git(top, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split())


@pytest.mark.parametrize("name", PLANTED)
def test_an_untracked_secret_is_named_and_never_becomes_an_object(name: str, tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, name, planted(name))
    write(top, "innocent.txt", "also new\n")
    before = objects(top)
    with pytest.raises(CjError) as refused:
        take(top)
    assert name in refused.value.message
    assert f"--allow-secret {name}" in refused.value.hint
    assert ".gitignore" in refused.value.hint
    assert objects(top) == before


@pytest.mark.parametrize("name", ["notes.txt", "analysis.ipynb", ".env"])
def test_a_secret_in_a_tracked_file_that_was_edited_is_found(name: str, tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, name, "harmless\n")
    commit(top)
    write(top, name, planted(name))
    before = objects(top)
    with pytest.raises(CjError, match=name):
        take(top)
    assert objects(top) == before


def test_a_staged_secret_is_found(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, "notes.txt", planted("notes.txt"))
    git(top, "add", "notes.txt")
    with pytest.raises(CjError, match=r"notes\.txt"):
        take(top)


def test_a_secret_in_an_unborn_repository_is_found(tmp_path: Path) -> None:
    top = new_repo(tmp_path / "repo")
    write(top, ".env")
    with pytest.raises(CjError, match=r"\.env"):
        take(top)
    assert objects(top) == set()


def test_a_secret_in_a_forced_folder_or_a_graft_is_found(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, ".gitignore", "lib/\n")
    write(top, "lib/notes.txt", planted("notes.txt"))
    write(tmp_path, "outside/key.txt", KEY)
    take(top)
    before = objects(top)
    with pytest.raises(CjError, match=r"lib/notes\.txt"):
        take(top, force=["lib"])
    with pytest.raises(CjError, match=r"outside/key\.txt"):
        take(top, grafts=[(tmp_path / "outside", ".cj/deps/outside")])
    assert objects(top) == before


def test_a_committed_secret_that_was_only_touched_does_not_stop_the_launch(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, ".env", "1\n")
    commit(top)
    os.utime(top / ".env", (1, 1))
    take(top)


def test_allowed_and_ignored_secrets_pass(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, ".env", "1\n")
    write(top, "keys/a.pem", "1\n")
    write(top, "notes.txt", planted("notes.txt"))
    write(top, ".gitignore", "notes.txt\n")
    with pytest.raises(CjError, match="keys/a"):
        take(top, allow_secrets=[".env"])
    assert {".env", "keys/a.pem"} <= set(files_of(top, take(top, allow_secrets=["./.env", "keys"])))


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org:8080/a@b",
        "postgres://user:$PASSWORD@host",
        "postgres://user:{password}@host",
        "http://<user>:<password>@host",
        "sk-learn sk-image task-0123456789abcdefghijklmnop",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "xAKIAIOSFODNN7EXAMPL3x",
        "ssh://git@github.com:22/x",
        "git@github.com:user/repo",
    ],
)
def test_harmless_text_is_no_secret(text: str) -> None:
    assert secret_content(text.encode()) is None


@pytest.mark.parametrize(
    "name", [".env.example", "environment.yml", "key.py", "id_rsa.pub", "keys.csv", "env.py"]
)
def test_harmless_names_are_no_secrets(name: str) -> None:
    assert not secret_name(name)


def test_a_large_untracked_file_is_named_with_its_size_and_never_becomes_an_object(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    with (top / "big.bin").open("wb") as file:
        file.truncate((10 << 20) + 1)
    before = objects(top)
    with pytest.raises(CjError) as refused:
        take(top)
    assert refused.value.message == "untracked and larger than 10 MB: big.bin (10.0 MB)"
    assert refused.value.hint == "add it to .gitignore, or launch with --allow-large"
    assert objects(top) == before
    assert "big.bin" in files_of(top, take(top, allow_large=True))


def test_many_untracked_files_are_refused_by_their_total(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    for number in range(3):
        with (top / f"part{number}").open("wb") as file:
            file.truncate(1 << 20)
    with pytest.raises(CjError, match=r"3 untracked files hold 3\.0 MB, over 2 MB together"):
        take(top, limits=snapshot.Limits(file_mb=1, total_mb=2))


def test_a_large_tracked_file_passes(tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, "data.csv", b"1\n" * (1 << 20))
    commit(top)
    write(top, "data.csv", b"2\n" * (1 << 20))
    take(top, limits=snapshot.Limits(file_mb=1, total_mb=1))


AS_NOBODY = """
import os, sys
from pathlib import Path
from cjledger import gitrepo, snapshot
from cjledger.errors import CjError
os.environ.update(GIT_CONFIG_GLOBAL="/dev/null", HOME="/nowhere")
if os.geteuid() == 0:  # to whom nothing is unreadable
    os.setgid(65534)
    os.setuid(65534)
try:
    snapshot.take(gitrepo.discover(Path(sys.argv[1])))
except CjError as refusal:
    print(refusal.message)
"""


@pytest.mark.parametrize("name", ["new.txt", "a.py", "folder"])
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    top = clean_repo(tmp_path)
    write(top, "folder/inner.txt")
    write(top, "new.txt")
    if os.geteuid() == 0:
        own = [folder for folder in tmp_path.parents if folder.name.startswith(("pytest-", "popen-"))]
        for folder in (tmp_path, *own):
            folder.chmod(0o755)
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534)
    (top / name).chmod(0)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(top)], capture_output=True, text=True)
    (top / name).chmod(0o755)
    assert done.stdout.rstrip("\n") == f"{name} cannot be read: permission denied", done.stderr
