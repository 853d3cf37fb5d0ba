"""The reader of ssh's configuration answers as ``ssh -G`` does; where it cannot, it says so."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest

from cjledger.cluster.paramiko_ssh.ssh_config import Settings, settings
from cjledger.errors import CjError

NONE = Path("/nonexistent")

COMPARED = (
    *("hostname", "user", "port", "identityfile", "proxyjump", "proxycommand", "hostkeyalias"),
    *("identitiesonly", "connecttimeout", "serveraliveinterval", "stricthostkeychecking"),
    *("preferredauthentications", "userknownhostsfile", "pubkeyauthentication"),
)

CONFIGS = {
    "the first value counts": """
        Host n1
          Port 2201
        Host n*
          Port 2202
          User mia
        Host *
          User other
          ServerAliveInterval 30""",
    "a negated pattern leaves a host out": """
        Host * !n1
          Port 2201
        Host n? !n2
          User mia""",
    "identity files add up": """
        Host n1
          IdentityFile ~/.ssh/first
        Host *
          IdentityFile ~/.ssh/second""",
    "equals signs, quotes, comments and letters of either case": """
        # a comment
        HOST "n1"
          HostName="10.0.0.1"
          port = 2201
          User   "mia"   # who
          UserKnownHostsFile "/a b/known" /c""",
    "tokens in names": """
        Host n*
          HostName %h.cluster.example.org
          HostKeyAlias shared""",
    "a match of the host sees its name, one of the original sees the alias": """
        Host n1
          HostName login.example.org
        Match host login.example.org
          User mia
        Match originalhost n1
          Port 2201
        Match host n1
          ConnectTimeout 7""",
    "a match of user and host needs both": """
        Host n1
          User mia
        Match host n1 user mia,ben
          Port 2201
        Match host n1 user !mia,*
          IdentitiesOnly yes
        Match all
          ConnectTimeout 9""",
    "final matches see what all lines gave": """
        Match final host login.example.org
          User mia
        Match final all
          ConnectTimeout 8
        Host n1
          HostName login.example.org
          Port 2201""",
    "a final pass compares Host with the name found": """
        Host login.example.org
          Port 2205
        Match final all
          User mia
        Host n1
          HostName login.example.org""",
    "a negated criterion": """
        Match !host n1
          Port 2201
        Match !user nobody_at_all host n1
          Port 2202""",
    "of jump and command the first counts": """
        Host n1
          ProxyJump gate,mia@inner:2222
        Host *
          ProxyCommand nc %h %p""",
    "of command and jump the first counts": """
        Host n1
          ProxyCommand nc -X 5 %h %p # kept
        Host *
          ProxyJump gate""",
    "no jump": """
        Host n1
          ProxyJump none
        Host *
          ProxyJump gate""",
}


def texts(value: str) -> str:
    return "\n".join(line.removeprefix("        ") for line in value.splitlines())


def at_home(text: str) -> Path:
    folder = Path.home() / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config").write_text(texts(text))
    return folder


def by_ssh(alias: str) -> dict[str, list[str]]:
    config = Path.home() / ".ssh" / "config"
    done = subprocess.run(("ssh", "-G", "-F", config, alias), capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


def told(found: Settings, keyword: str) -> list[str]:
    if keyword in ("hostname", "user", "port"):
        return [str(getattr(found, keyword))]
    return [" ".join(found.values[keyword])] if keyword != "identityfile" else list(found.values[keyword])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("alias", ["n1", "n2", "login.example.org"])
def test_settings_are_those_that_ssh_finds(name: str, alias: str) -> None:
    at_home(CONFIGS[name])
    ours, theirs = settings(alias, system=NONE), by_ssh(alias)
    given = [key for key in COMPARED if key in ("hostname", "user", "port") or key in ours.values]
    expected = {key: theirs.get(key, ["none"]) for key in given}
    expected = {key: [_spelled(key, word) for word in words] for key, words in expected.items()}
    assert {key: [_spelled(key, word) for word in told(ours, key)] for key in given} == expected
    assert ours.notes == ()


def _spelled(keyword: str, word: str) -> str:
    switches = {"yes": "true", "no": "false"}
    # Newer versions of ssh end a ProxyCommand at a comment, older ones do not.
    return switches.get(word, word.split(" #")[0] if keyword == "proxycommand" else word)


def test_included_files_are_read_where_they_are_named() -> None:
    folder = at_home("Include config.d/*.conf\nHost n1\n  Include only\nHost *\n  User last\n")
    (folder / "config.d").mkdir()
    (folder / "config.d" / "2.conf").write_text("Host n1\n  Port 2202\n  ConnectTimeout 5\n")
    (folder / "config.d" / "1.conf").write_text("Host n1\n  Port 2201\n")
    (folder / "config.d" / "3.txt").write_text("User nobody\n")
    (folder / "only").write_text("User mia\nHost n2\n  Port 9\nHost *\n  IdentityFile x\n")
    first, second = settings("n1", system=NONE), settings("n2", system=NONE)
    assert dict(first.values) == {
        "port": ("2201",),
        "connecttimeout": ("5",),
        "user": ("mia",),
        "identityfile": ("x",),
    }
    assert dict(second.values) == {"user": ("last",)}


def test_a_file_that_includes_itself_is_refused() -> None:
    at_home("Include config\n")
    with pytest.raises(CjError, match="include each other too deeply"):
        settings("n1", system=NONE)


def test_a_match_that_cannot_be_asked_does_not_match_and_is_told(tmp_path: Path) -> None:
    at_home(f"Match exec 'touch {tmp_path}/ran'\n  User mia\nMatch host n1\n  Port 2201\n")
    found = settings("n1", system=NONE)
    assert dict(found.values) == {"port": ("2201",)}
    source = Path.home() / ".ssh" / "config"
    assert found.notes == (f"{source} line 1: Match exec is not asked here; its settings are left out",)
    assert not (tmp_path / "ran").exists()


def test_settings_that_are_not_done_are_told() -> None:
    at_home("Host n1\n  Ciphers aes256-ctr\n  PKCS11Provider none\nHost n2\n  KexAlgorithms +x\n")
    source = Path.home() / ".ssh" / "config"
    assert settings("n1", system=NONE).notes == (f"{source} line 2: ciphers is not known to this transport",)


def test_the_system_s_file_comes_after_the_person_s(tmp_path: Path) -> None:
    at_home("Host n1\n  Port 2201\n")
    system = tmp_path / "ssh_config"
    (tmp_path / "more").write_text("Host *\n  ConnectTimeout 3\n")
    system.write_text("Include more\nHost *\n  Port 2202\n  HashKnownHosts yes\n")
    found = settings("n1", "mia", system)
    assert (found.port, found.user, found.number("connecttimeout", 1)) == (2201, "mia", 3)
    assert found.says_yes("hashknownhosts")


def test_tokens_homes_and_variables_are_replaced_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    at_home("Host n1\n  HostName a.b\n  User mia\n  IdentityFile ${KEYS}/%r@%h-%n-%p\n  IdentityFile ~/k%%\n")
    found = settings("n1", system=NONE)
    assert found.paths("identityfile") == [Path("/keys/mia@a.b-n1-22"), Path.home() / "k%"]


def test_without_a_file_the_name_and_the_person_remain() -> None:
    found = settings("n1", system=NONE)
    assert (found.hostname, found.user, found.port) == ("n1", getpass.getuser(), 22)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("HostName", "cannot be read: HostName"),
        ('User "mia', "cannot be read: No closing quotation"),
        ("Match host", "host has no pattern"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, words: str) -> None:
    at_home(f"Host n1\n{line}\n")
    with pytest.raises(CjError, match="line 2") as refused:
        settings("n1", system=NONE)
    assert words in refused.value.message


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400)])
def test_times_are_read_as_ssh_writes_them(text: str, seconds: int) -> None:
    at_home(f"ConnectTimeout {text}\n")
    assert settings("n1", system=NONE).number("connecttimeout", 1) == seconds
