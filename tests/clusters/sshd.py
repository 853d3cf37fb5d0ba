"""Real ssh servers on loopback, with throwaway keys, for the person who runs the tests.

Every session passes through ``session.sh``: it gives the login a home of its own and the cluster's variables,
and can be told to be noisy, slow or broken. Two-factor is real PAM: a program that knows the codes.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.clusters.keeper import Keeper
from tests.clusters.packages import MissingError, sshd_program
from tests.clusters.ports import free, wait_until

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_ed25519
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
UseDNS no
MaxStartups {max_startups}
MaxSessions {max_sessions}
Subsystem sftp {sftp}
AcceptEnv LANG LC_*
LogLevel VERBOSE
ForceCommand {folder}/session.sh
SetEnv HOME={folder}/home
{factors}
{extra}
"""
PLAIN = "UsePAM no\nKbdInteractiveAuthentication no"
TWO_FACTOR = """\
UsePAM yes
KbdInteractiveAuthentication yes
AuthenticationMethods publickey,keyboard-interactive:pam"""

# What a login does before its command. The command is run by the login's shell, as sshd does.
SESSION = """\
#!/bin/sh
cd "$HOME" || exit 1
{variables}
if [ -e {folder}/login.sh ]; then . {folder}/login.sh; fi
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND
if [ -n "$command" ]; then exec {shell} -c "$command"; fi
exec {shell} -l
"""

# PAM hands over the answer on standard input, ended by a NUL. A code is good once, as a token's is.
CHECK = """\
#!/bin/sh
code=$(tr -d '\\0')
case "$code" in *[!0-9]*|'') exit 1;; esac
mkdir {folder}/codes/"$code".used 2>/dev/null && [ -e {folder}/codes/"$code" ]
"""
STACK = """\
auth required pam_exec.so expose_authtok quiet {folder}/check.sh
auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
"""

ALIAS = """\
Host {name}
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/user_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class Site:
    """What a test wants its ssh server to be like; ``extra`` are further lines of sshd_config."""

    alias: str = "loop"
    two_factor: bool = False
    max_sessions: int = 100
    max_startups: str = "100"
    shell: str = "/bin/bash"
    extra: tuple[str, ...] = ()


@dataclass
class Sshd:
    """A running ssh server, and what a client needs to log in."""

    folder: Path
    keeper: Keeper
    site: Site
    port: int
    home: Path
    program: Path
    pid: int = 0
    codes: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The client's configuration: ``ssh -F`` it, or include it from ``~/.ssh/config``."""
        return self.folder / "ssh_config"

    @property
    def environment(self) -> dict[str, str]:
        """For a client: PATH that begins with an ``ssh`` and ``scp`` that read ``config``."""
        return {"PATH": os.pathsep.join((str(self.folder / "bin"), os.environ["PATH"]))}

    def start(self) -> None:
        """Start the server, again at the same port after ``stop``."""
        argv = (str(self.program), "-D", "-e", "-f", str(self.folder / "sshd_config"))
        self.pid = self.keeper.start(argv, self.folder / "log")
        wait_until(self._answers, "sshd")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server; sessions that are open stay."""
        self.keeper.stop(self.pid, number)

    def run(self, *words: str, check: bool = True, stdin: str = "") -> str:
        """Standard output of a command there, by the system's ssh without any prompt."""
        argv = ("ssh", "-F", str(self.config), "-o", "BatchMode=yes", self.site.alias, *words)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, f"{words}: {done}"
        return done.stdout

    def at_login(self, lines: str) -> None:
        """Have shell lines run at each login before its command; none when empty."""
        (self.folder / "login.sh").write_text(lines)

    def code(self, code: str) -> str:
        """Make a second factor good, once."""
        (self.folder / "codes" / code).touch()
        return code

    def askpass(self, code: str) -> dict[str, str]:
        """The environment in which ssh answers its prompts with a code, without a terminal."""
        program = self.folder / f"askpass-{code}"
        asked = shlex.quote(str(self.folder / "asked"))
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>{asked}\necho {code}\n')
        program.chmod(0o700)
        return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}

    def _answers(self) -> bool:
        if not self.keeper.alive(self.pid):
            raise RuntimeError(f"sshd ended: {(self.folder / 'log').read_text()[-2000:]}")
        probe = ("ssh-keyscan", "-T", "5", "-p", str(self.port), "127.0.0.1")
        return bool(subprocess.run(probe, capture_output=True, timeout=30).stdout)


@contextmanager
def sshd(
    folder: Path,
    variables: Mapping[str, str] | None = None,
    path: Sequence[str] = (),
    site: Site = Site(),
    keeper: Keeper | None = None,
) -> Iterator[Sshd]:
    """An ssh server in a folder, which ends with the block, or with the keeper that is given.

    ``variables`` and ``path`` are what a login there has, as the site's profile would give it.
    """
    program = sshd_program()
    own = keeper or Keeper(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        home = folder / "home"
        home.mkdir(mode=0o700)
        (folder / "codes").mkdir()
        found = Sshd(folder, own, site, free(1)[0], home, program)
        _make_keys(found)
        if site.two_factor:
            found.program = _own_service(found)
        _write(found, dict(variables or {}), path)
        found.start()
        yield found
    finally:
        if keeper is None:
            own.close()


def alias(found: Sshd, name: str) -> str:
    """One more name for the server in the client's configuration, for tests of several clusters."""
    return ALIAS.format(name=name, port=found.port, user=getpass.getuser(), folder=found.folder)


def _make_keys(found: Sshd) -> None:
    for name in ("host", "user"):
        key = str(found.folder / f"{name}_ed25519")
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key), check=True)
    shutil.copy(found.folder / "user_ed25519.pub", found.folder / "authorized_keys")
    kind, key = (found.folder / "host_ed25519.pub").read_text().split()[:2]
    (found.folder / "known_hosts").write_text(f"[127.0.0.1]:{found.port} {kind} {key}\n")


def _own_service(found: Sshd) -> Path:
    # PAM's service is named after the program: a copy has its own, and the machine's stays as it is.
    if os.getuid() or not Path("/etc/pam.d").is_dir():
        raise MissingError("two-factor needs a file in /etc/pam.d, which only root can write")
    name = f"cjsshd-{found.port}"
    program = found.folder / name
    shutil.copy(found.program, program)
    service = Path("/etc/pam.d", name)
    found.keeper.remove_at_end(service)
    check = found.folder / "check.sh"
    check.write_text(CHECK.format(folder=found.folder))
    check.chmod(0o755)
    service.write_text(STACK.format(folder=found.folder))
    return program


def _write(found: Sshd, variables: dict[str, str], path: Sequence[str]) -> None:
    folder, site = found.folder, found.site
    if not os.getuid():
        Path("/run/sshd").mkdir(exist_ok=True)  # where root's server confines its children
    sftp = next(
        (p for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server") if Path(p).exists()), ""
    )
    text = CONFIG.format(
        port=found.port,
        folder=folder,
        max_startups=site.max_startups,
        max_sessions=site.max_sessions,
        sftp=sftp or "internal-sftp",
        factors=TWO_FACTOR if site.two_factor else PLAIN,
        extra="\n".join(site.extra),
    )
    (folder / "sshd_config").write_text(text)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if path:
        exports.append(f'export PATH={shlex.quote(os.pathsep.join(path))}:"$PATH"')
    session = folder / "session.sh"
    session.write_text(SESSION.format(variables="\n".join(exports), folder=folder, shell=site.shell))
    session.chmod(0o755)
    found.config.write_text(alias(found, site.alias))
    (folder / "bin").mkdir()
    for name in ("ssh", "scp"):
        program = folder / "bin" / name
        real = shutil.which(name) or f"/usr/bin/{name}"
        program.write_text(f'#!/bin/sh\nexec {real} -F {found.config} "$@"\n')
        program.chmod(0o755)
