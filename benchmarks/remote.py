"""A cluster at the other end of ssh, on loopback, with a real Slurm: launch, state, harvest, a large array.

Each is compared with what the plain programs do over a connection that is kept alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from tests.clusters.far import Far, far  # noqa: E402
from tests.clusters.laptops import laptop  # noqa: E402
from tests.clusters.slurm import Site  # noqa: E402
from tests.clusters.sshd import alias  # noqa: E402
from tests.shells import Shell  # noqa: E402

ROUNDS = 9
FILES = 100
PACKAGES, TASKS = 10, 1000
ELEMENTS = 10_000
DELAY_S = 0.010
SLOW_LINE = TOP / "benchmarks" / "support" / "slow_line.py"

SITE = Site(max_array=20_001, max_jobs=60_000)
# Counts how often the scheduler is asked.
COUNTED = '#!/bin/sh\necho x >>{calls}\nexec {real} "$@"\n'
WRITER = "import os\nopen('value.csv', 'w').write('value\\n%s\\n' % os.environ['CJ_TASK'])\n"


@dataclass(frozen=True)
class Line:
    """A way to the machine: the cluster's name, the host's, and plain ssh with a live connection."""

    cluster: str
    host: str
    ssh: tuple[str, ...]
    words: str = ""  # how it differs, for the figures' names


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def quietly(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def figure(name: str, value: float, limit: float, detail: str, **more: str) -> None:
    fields = {"name": name, "value": value, "limit": limit, "detail": detail, **more}
    print(json.dumps(fields), flush=True)


def plain_ssh(machine: Far, host: str, folder: Path) -> tuple[str, ...]:
    """The system's ssh over a connection of its own that is open already."""
    ssh = ("ssh", "-F", str(machine.sshd.config), "-o", f"ControlPath={folder}/plain-%n")
    subprocess.run((*ssh, "-o", "ControlPersist=600", "-MNf", host), check=True)
    return ssh


def close(there: Shell, line: Line) -> None:
    there.cj("connect", line.cluster, "--close")
    subprocess.run((*line.ssh, "-O", "exit", line.host), check=True, capture_output=True)


def slow_line(machine: Far, there: Shell, folder: Path) -> Line:
    """A line whose answers come 10 ms later, as from a cluster elsewhere in the country."""
    proxy = f"  ProxyCommand {sys.executable} -I -S {SLOW_LINE} %h %p {DELAY_S / 2}\n"
    with open(machine.sshd.config, "a") as file:
        file.write(alias(machine.sshd, "slow") + proxy)
    table = machine.table.replace(f"[cluster.{machine.name}]", "[cluster.slow]")
    with open(there.folder / ".cjledger.toml", "a") as file:
        file.write(table.replace(f'"{machine.sshd.site.alias}"', '"slow"').replace(
            f'"{machine.root}"', f'"{folder}/slow"'
        ))  # fmt: skip
    ssh = plain_ssh(machine, "slow", folder)
    return Line("slow", "slow", ssh, f", answers {DELAY_S * 1000:.0f} ms later")


def repository(there: Shell) -> None:
    for number in range(FILES):
        there.write(f"d{number % 10}/f{number}.txt", f"content of {number}\n")
    there.write("hello.py", "print('hello')\n")
    there.write("write.py", WRITER)


def launches(machine: Far, there: Shell, line: Line, folder: Path) -> None:
    bare = folder / f"{line.cluster}.git"
    there.run("git", "init", "-q", "--bare", str(bare))
    push_by = {**os.environ, "GIT_SSH_COMMAND": " ".join(line.ssh)}
    url = f"{line.host}:{bare}"

    def push() -> None:
        subprocess.run(
            ("git", "push", "-q", url, "HEAD"), cwd=there.folder, env=push_by, check=True, capture_output=True
        )

    pairs = []
    for number in range(ROUNDS + 2):
        there.write("d0/f0.txt", f"edited {number} for {line.cluster}\n")
        ours = timed(lambda: there.cj("run", "hello.py", line.cluster))
        there.git("add", "-A")
        there.git("commit", "-qm", f"{number}")
        pairs.append((ours, timed(push)))
        machine.wait_until_empty()  # its job does not run beside the next round
    ours, floor = (statistics.median(side) for side in zip(*pairs[2:], strict=True))
    figure(
        f"launch over ssh with a live connection, to Slurm{line.words}",
        statistics.median(a / b for a, b in pairs[2:]),
        3.0,
        f"{ours * 1000:.0f} ms against {floor * 1000:.0f} ms for git push alone over one",
    )


def states(machine: Far, there: Shell, line: Line, folder: Path) -> None:
    calls, programs = folder / f"calls-{line.cluster}", folder / f"programs-{line.cluster}"
    programs.mkdir()
    for name in ("squeue", "scontrol", "sacct", "sacctmgr"):
        program = programs / name
        program.write_text(COUNTED.format(calls=calls, real=f"{machine.slurm.path[0]}/{name}"))
        program.chmod(0o755)
    for number in range(PACKAGES):
        words = ("--sweep", f"x=1:{TASKS}", "--alloc=--hold", "-m", f"{number}")
        there.cj("run", "hello.py", line.cluster, *words)
    machine.sshd.at_login(f'PATH={programs}:"$PATH"\n')
    sessions = machine.sshd.folder / "log"

    def ours() -> float:
        for known in folder.rglob("asked.json"):  # else the scheduler is asked once in 30 s
            known.unlink()
        return timed(lambda: there.cj("state", "--all"))

    def plain() -> float:
        return timed(
            lambda: [
                subprocess.run((*line.ssh, line.host, c), capture_output=True) for c in ("true", "squeue")
            ]
        )

    ours(), plain()
    calls.unlink()
    before = sessions.read_text().count("Starting session")
    first = ours()
    commands = sessions.read_text().count("Starting session") - before
    queries = calls.read_text().count("x")
    pairs = [(first, plain())] + [(ours(), plain()) for _ in range(ROUNDS - 1)]
    machine.sshd.at_login("")
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    detail = f"{mine * 1000:.0f} ms against {theirs * 1000:.0f} ms for ssh true and ssh squeue"
    figure(f"state of {PACKAGES} packages of {TASKS:,} pending tasks{line.words}", ratio, 3.0, detail)
    if not line.words:
        detail = f"{commands} over ssh, {queries} of the scheduler's"
        most = max(commands, queries)
        figure("commands for that state, over ssh and to the scheduler", most, 1, detail, unit="")
    for package in {each["package"] for each in there.lines("state", "--all")}:
        there.cj("cancel", package)


def harvests(machine: Far, there: Shell, line: Line, folder: Path, rounds: int) -> None:
    outputs = folder / "outputs"
    for number in range(1, TASKS + 1):
        path = outputs / str(number) / "value.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value\n{number}\n")
    pairs = []
    for number in range(rounds):
        launched = there.lines("run", "write.py", line.cluster, "--sweep", f"x=1:{TASKS}", "-m", f"{number}")
        there.cj("state", launched[0]["package"], "--watch")
        ours = timed(partial(there.cj, "harvest", launched[0]["package"]))
        words = ("scp", *line.ssh[1:], "-qr", f"{line.host}:{outputs}", f"{folder}/{line.cluster}-{number}")
        pairs.append((timed(partial(quietly, *words)), ours))
    theirs, mine = (statistics.median(side) for side in zip(*pairs, strict=True))
    figure(
        f"harvest of {TASKS:,} small outputs against scp -r{line.words}",
        statistics.median(a / b for a, b in pairs),
        10.0,
        f"{mine:.2f} s with parsing and shards against {theirs:.2f} s for the files alone",
        sense="at least",
    )


def array(machine: Far, there: Shell, root: Path, elements: int) -> None:
    words = ("run", "write.py", machine.name, "--sweep", f"x=1:{elements}", "--json")
    start = time.perf_counter()
    package = json.loads(there.cj(*words).splitlines()[0])["package"]
    submitted = time.perf_counter() - start
    start, polls, final = time.perf_counter(), [], False
    while not final:
        time.sleep(5)
        polls.append(timed(lambda: there.cj("state", package)))
        final = bool(there.lines("state", package)[0]["final"])
    ran = time.perf_counter() - start
    harvested = timed(lambda: there.cj("harvest", package))
    blocks = root / "packages" / package / "submissions/1/blocks"
    names = [path.name.partition(".")[0] for path in blocks.iterdir()]
    most = max(names.count(name) for name in set(names[:1000]))
    assert there.lines("state", package)[0]["counts"] == {"COMPLETED": elements}
    figure(
        f"files a block of a {elements:,}-element array on the cluster",
        max(most, len(names) / len(set(names))),
        3,
        f"submitted in {submitted:.2f} s, ran in {ran:.0f} s, asked in {statistics.median(polls):.2f} s,"
        f" harvested in {harvested:.2f} s",
        unit="files",
    )


def main(elements: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cj-bench-", dir="/tmp"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its compiled modules
    try:
        with far("slurm", folder / "c", slurm_site=SITE) as machine:
            root = folder / "root"
            there = laptop(folder / "work", machine, root=root)
            there.timeout_s = 3600
            repository(there)
            host = machine.sshd.site.alias
            near = Line(machine.name, host, plain_ssh(machine, host, folder))
            far_away = slow_line(machine, there, folder)
            for line, rounds in ((near, 3), (far_away, 1)):
                launches(machine, there, line, folder)
                states(machine, there, line, folder)
                harvests(machine, there, line, folder, rounds)
            array(machine, there, root, elements)
            close(there, near)
            close(there, far_away)
    finally:
        subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ELEMENTS)
