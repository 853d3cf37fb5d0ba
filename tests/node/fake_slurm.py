"""Slurm as scripts that misbehave when told to: what a real controller cannot be made to do on cue.

``FOLDER/script`` has a word for each call of sbatch to come; ``FOLDER/queue`` what squeue does and
``FOLDER/rows`` what it lists instead of the jobs that were made; ``FOLDER/calls`` all that was run.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = r"""
import fcntl, json, os, signal, sys, time

FOLDER = @FOLDER@
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]


def path(name):
    return os.path.join(FOLDER, name)


def read(name):
    return open(path(name)).read() if os.path.exists(path(name)) else ""


def option(start):
    return next((word[len(start):] for word in words if word.startswith(start)), "")


def fail(text):
    sys.stderr.write(text + "\n")
    sys.exit(1)


def next_word():
    waiting = read("script").split()
    open(path("script"), "w").write(" ".join(waiting[1:]))
    return waiting[0] if waiting else "ok"


def make():
    jobs = read("jobs").splitlines()
    number = str(len(jobs) + 7)
    elements = option("--array=1-").split("%")[0] or "1"
    with open(path("jobs"), "a") as file:
        file.write(json.dumps([number, option("--job-name="), int(elements), words[-1]]) + "\n")
    return number


def sbatch():
    if not os.path.exists(words[-1]):
        fail("sbatch: error: Unable to open file " + words[-1])
    lock = open(path("lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    word = next_word()
    with open(path("did"), "a") as file:
        file.write(word + "\n")
    before, after = word.endswith("-before"), word.endswith("-after")
    kind = word.partition("-")[0]
    number = "0" if before or kind in ("refuse", "full", "garbage") and not after else make()
    lock.close()
    if kind == "kill":  # of the one who started it
        os.kill(os.getppid(), signal.SIGKILL)
    if kind == "linger":  # its starter dies while it has not spoken to the controller yet
        os.kill(os.getppid(), signal.SIGKILL)
        open(path("lingers"), "w").write(str(os.getpid()))
        while not os.path.exists(path("go")):
            time.sleep(0.01)
        if before:
            make()
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "wait":
        while not os.path.exists(path("go")):
            time.sleep(0.01)
    if kind == "timeout":
        fail("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    if kind == "refuse":
        fail("sbatch: error: invalid partition specified: nosuch")
    if kind == "full":
        fail("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    if kind == "garbage":
        print("\0 1;2;3 what?")
    elif kind == "cluster":
        print(number + ";cluster")
    elif kind != "silent" and not before:
        print(number)


def squeue():
    if read("queue") == "down":
        fail("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    if os.path.exists(path("rows")) and option("--name=") == "":
        sys.stdout.write(read("rows"))
        return
    cancelled = read("cancelled").split()
    for line in read("jobs").splitlines():
        number, called, elements, _ = json.loads(line)
        state = "CANCELLED" if number in cancelled else "PENDING"
        if option("--name="):
            if option("--name=") == called:
                print("%s|2026-01-31T12:00:%s|%s" % (number, number.zfill(2), called))
        elif state == "PENDING":
            ident = number if elements == 1 else "%s_[1-%d]" % (number, elements)
            print("%s|%s|Resources|%s" % (ident, state, called))


if words == ["--version"]:
    print("slurm 22.05.8")
    sys.exit(0)
with open(path("calls"), "a") as file:
    file.write(json.dumps([name] + words) + "\n")
if name == "sbatch":
    sbatch()
elif name == "squeue":
    squeue()
elif name == "scancel":
    with open(path("cancelled"), "a") as file:
        file.write(words[-1] + "\n")
elif name == "scontrol" and words[:2] == ["show", "config"]:
    print("MaxArraySize = " + (read("array") or "1001"))
    print("MaxJobCount = " + (read("most") or "10000"))
elif name == "scontrol" and words[-1] == "partition":
    sys.stdout.write(read("partitions"))
elif name == "sacct":
    if not os.path.exists(path("accounts")):
        fail("Slurm accounting storage is disabled")
    if not option("--name="):
        sys.stdout.write(read("accounts"))
"""


@dataclass(frozen=True)
class FakeSlurm:
    """The scripts in ``bin`` and what they know, beside it."""

    folder: Path

    @property
    def bin(self) -> str:
        return str(self.folder / "bin")

    def will(self, *words: str) -> None:
        """What the next calls of sbatch do; after them all goes well."""
        self.say("script", " ".join(words))

    def say(self, name: str, text: str) -> None:
        aside = self.folder / f"{name}.aside"
        aside.write_text(text)
        aside.rename(self.folder / name)

    def calls(self, program: str) -> list[list[str]]:
        """The arguments of each call of a program."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words[1:] for words in map(json.loads, lines) if words[0] == program]

    def jobs(self) -> list[tuple[str, str, int]]:
        """ID, name and elements of the jobs that there are, without those that were cancelled."""
        path, cancelled = self.folder / "jobs", self.folder / "cancelled"
        gone = cancelled.read_text().split() if cancelled.exists() else []
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [(number, name, elements) for number, name, elements, _ in found if number not in gone]


def new_slurm(folder: Path) -> FakeSlurm:
    """Make the scripts; the caller puts ``bin`` in front of PATH."""
    (folder / "bin").mkdir(parents=True)
    text = f"#!{sys.executable} -IS\n" + PROGRAM.replace("@FOLDER@", repr(str(folder)))
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sacct", "sacctmgr"):
        program = folder / "bin" / name
        program.write_text(text)
        os.chmod(program, 0o700)
    return FakeSlurm(folder)
