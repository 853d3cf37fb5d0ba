"""Where the test clusters' programs come from: Debian packages, unpacked beside the project, not installed.

``.clusters/`` at the repository's top holds them; nothing of the machine changes, no service starts, and the
programs of Grid Engine and of Torque, which both own ``/usr/bin/qsub``, live side by side. Only an ssh server
of root's needs a real installation, for its account, and other login shells do.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HOME = TOP / ".clusters"
_POLICY = Path("/usr/sbin/policy-rc.d")

SLURM = (
    "slurmctld slurmd slurm-client slurm-wlm-basic-plugins libmunge2 libhwloc15 libjson-c5 libhttp-parser2.9"
)
SGE = (
    "gridengine-master gridengine-exec gridengine-client gridengine-common"
    " libjemalloc2 libmunge2 libhwloc15 libtirpc3 libdb5.3"
)
# Lmod, Environment Modules, and the interpreters of both: the packages exclude one another when installed.
MODULES = (
    "lmod lua5.3 lua-filesystem lua-posix lua-json lua-lpeg lua-term environment-modules tcl8.6 libtcl8.6"
    " libtommath1 libreadline8"
)
SHELLS = ("tcsh", "zsh", "fish")  # that people have as their login shells on clusters
TORQUE = "slurm-wlm-torque libslurm-perl libslurmdb-perl libslurm38"


class MissingError(Exception):
    """A component that is not here, and why."""


def component(name: str) -> Path:
    """The folder of an unpacked component. Raises MissingError when there is none."""
    if name == "sshd":
        return _sshd().parent
    if name == "cc":
        return compiler().parent
    if name == "shells":
        return _shells()
    folder = HOME / name
    if not (folder / "ready").exists():
        raise MissingError(f"{name} is not installed: python -m tests.clusters install")
    return folder


def sshd_program() -> Path:
    """The ssh server's program. Raises MissingError when there is none."""
    return _sshd()


def compiler() -> Path:
    """The C compiler's program. Raises MissingError when there is none."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        raise MissingError("there is no C compiler: python -m tests.clusters install")
    return Path(found)


def install() -> list[str]:
    """Bring every component that is not here; return what could not be had, with the reason."""
    HOME.mkdir(exist_ok=True)
    problems = []
    with _locked():
        for name, bring in _BRING.items():
            try:
                component(name)
            except MissingError:
                try:
                    bring()
                except (OSError, subprocess.SubprocessError, MissingError) as problem:
                    told = getattr(problem, "stderr", "") or str(problem)
                    problems.append(f"{name}: {told.strip().splitlines()[-1] if told.strip() else 'failed'}")
    return problems


@contextmanager
def _locked() -> Iterator[None]:
    with open(HOME / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpacked(name: str, packages: str) -> Path:
    """Download packages and unpack them into an empty folder."""
    folder = HOME / f"{name}.new"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(HOME / name, ignore_errors=True)
    (folder / "debs").mkdir(parents=True)
    download = ("apt-get", "download", "-q", *packages.split())
    try:
        _run(download, folder / "debs")
    except subprocess.CalledProcessError:
        if os.getuid():
            raise
        _run(("apt-get", "update", "-q"), folder)
        _run(download, folder / "debs")
    for package in sorted((folder / "debs").glob("*.deb")):
        _run(("dpkg", "-x", str(package), str(folder / "root")), folder)
    shutil.rmtree(folder / "debs")
    return folder


def _libraries(folder: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for library in (folder / "root/usr/lib").glob("*-linux-gnu/lib*.so*"):
        shutil.copy2(library, to / library.name, follow_symlinks=False)


def _patched(path: Path, old: bytes, new: bytes) -> None:
    # Paths that Debian fixed at build time, replaced by ones of at most their length.
    content = path.read_bytes()
    if old in content:
        mode = path.stat().st_mode
        path.write_bytes(content.replace(old, new.ljust(len(old), b"\0")))
        path.chmod(mode)


def _slurm() -> None:
    folder = _unpacked("slurm", SLURM)
    usr = folder / "root/usr"
    for name in ("bin", "sbin"):
        (usr / name).rename(folder / name)
    plugins = next((usr / "lib").glob("*-linux-gnu/slurm-wlm"))
    built_in = b"/" + str(plugins.relative_to(folder / "root")).encode()
    shutil.move(plugins, folder / "lib" / "slurm-wlm")
    _libraries(folder, folder / "lib" / "slurm-wlm")
    for name in ("slurmctld", "slurmd", "slurmstepd"):
        (folder / "sbin" / f"{name}-wlm").rename(folder / "sbin" / name)
    for path in (*(folder / "bin").iterdir(), *(folder / "sbin").iterdir(), *(folder / "lib").rglob("*.so*")):
        if not path.is_symlink():
            _patched(path, built_in + b"\0", b"$ORIGIN/../lib/slurm-wlm\0")
    _finished("slurm", folder)


def _sge() -> None:
    folder = _unpacked("sge", SGE)
    usr = folder / "root/usr"
    programs = folder / "bin" / "lx-amd64"
    programs.parent.mkdir()
    (usr / "lib/gridengine").rename(programs)
    (usr / "share/gridengine").rename(folder / "share")
    _libraries(folder, folder / "lib" / "lx-amd64")
    for library in programs.glob("lib*.so"):
        (folder / "lib/lx-amd64" / library.name).symlink_to(f"../../bin/lx-amd64/{library.name}")
    for path in programs.iterdir():
        if path.is_file() and not path.is_symlink():
            _patched(path, b"/usr/lib/gridengine/%s%s\0", b"%s%s\0")
    _finished("sge", folder)


def _torque() -> None:
    folder = _unpacked("torque", TORQUE)
    (folder / "root/usr/bin").rename(folder / "bin")
    for program in (component("slurm") / "bin").iterdir():
        # Its programs call those of Slurm beside them.
        (folder / "bin" / program.name).symlink_to(f"../../slurm/bin/{program.name}")
    perl = next((folder / "root/usr/lib").glob("*-linux-gnu/perl5"))
    shutil.move(perl, folder / "perl5")
    _libraries(folder, folder / "lib")
    _finished("torque", folder)


def _modules() -> None:
    folder = _unpacked("modules", MODULES)
    for name in ("usr", "etc"):
        (folder / "root" / name).rename(folder / name)
    home = str(HOME / "modules")
    library = str(next((folder / "usr/lib").glob("*-linux-gnu")).relative_to(folder))
    ours = rf"/usr/(?:share/(?:lmod|lua|modules)|bin/(?:lua|tclsh))|/etc/(?:lmod|environment-m)|/{library}/"
    for path in (path for top in ("usr/share", "usr/lib", "etc") for path in (folder / top).rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content:
                path.write_bytes(re.sub(ours.encode(), home.encode() + rb"\g<0>", content))
    for name in ("lua5.3", "tclsh8.6"):
        program = folder / "usr/bin" / name
        program.rename(program.with_name(f"{name}.real"))
        environment = f"TCL_LIBRARY={home}/usr/share/tcltk/tcl8.6 LD_LIBRARY_PATH={home}/{library}"
        program.write_text(f'#!/bin/sh\n{environment} exec {home}/usr/bin/{name}.real "$@"\n')
        program.chmod(0o755)
    _finished("modules", folder)


def _finished(name: str, folder: Path) -> None:
    shutil.rmtree(folder / "root")
    (folder / "ready").touch()
    folder.rename(HOME / name)


def _sshd() -> Path:
    for path in (Path("/usr/sbin/sshd"), HOME / "sshd" / "sshd"):
        if path.exists():
            return path
    raise MissingError("sshd is not installed: python -m tests.clusters install")


def _install_sshd() -> None:
    if os.getuid():
        # An ordinary user's server, for that user alone, needs no account of its own.
        folder = _unpacked("sshd", "openssh-server")
        (folder / "root/usr/sbin/sshd").rename(folder / "sshd")
        _finished("sshd", folder)
        return
    if not _POLICY.exists():
        _POLICY.write_text("#!/bin/sh\nexit 101\n")  # a package must not start its service
        _POLICY.chmod(0o755)
    _install("openssh-server")


def _install_cc() -> None:
    if os.getuid():
        raise MissingError("only root can install gcc")
    _install("gcc", "libc6-dev")


def _shells() -> Path:
    for shell in SHELLS:
        if shutil.which(shell) is None:
            raise MissingError(f"{shell} is not installed: python -m tests.clusters install")
    return Path("/bin")


def _install_shells() -> None:
    if os.getuid():
        raise MissingError("only root can install shells")
    _install(*SHELLS)


def _install(*packages: str) -> None:
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        _run(install, HOME, environment)
    except subprocess.CalledProcessError:
        _run(("apt-get", "update", "-q"), HOME)
        _run(install, HOME, environment)


def _run(argv: tuple[str, ...], folder: Path, environment: dict[str, str] | None = None) -> None:
    env = {**os.environ, **(environment or {}), "LC_ALL": "C"}
    subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True, text=True, timeout=300)


_BRING: dict[str, Callable[[], None]] = {
    "slurm": _slurm,
    "sge": _sge,
    "torque": _torque,
    "sshd": _install_sshd,
    "modules": _modules,
    "cc": _install_cc,
    "shells": _install_shells,
}
