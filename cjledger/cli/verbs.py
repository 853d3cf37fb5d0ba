"""Every verb of the command line, known without importing what runs it."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """A verb: the module that has it, its words, and what it does in one line."""

    name: str
    module: str
    usage: str
    summary: str
    function: str = ""

    @property
    def code(self) -> str:
        """The function's name in the module."""
        return self.function or self.name


_NEST = "PROGRAM CLUSTER [OPTIONS] [-- ARGS…]"
_PROGRAM = "{PROGRAM | -c COMMAND} CLUSTER [OPTIONS] [-- ARGS…]"

GROUPS: tuple[tuple[str, tuple[Verb, ...]], ...] = (
    (
        "Launch",
        (
            Verb("run", "launch", _PROGRAM, "Launch a program as one task, or as a sweep."),
            Verb("parrun", "launch", _NEST, "Launch one task for each iteration of a script's loop nest."),
            Verb("deploy", "launch", _PROGRAM, "Make a package as run does, without submitting it."),
            Verb("pardeploy", "launch", _NEST, "Make a package as parrun does, without submitting it."),
            Verb("extend", "launch", "[PID] [OPTIONS]", "Add points to an experiment, also while it runs."),
            Verb("submit", "sending", "[PID]", "Send a package that was deployed, or whose sending failed."),
        ),
    ),
    (
        "Watch",
        (
            Verb("state", "watch", "[PID[/TASKS]]", "Show how many tasks are in which state."),
            Verb("log", "watch", "[PID]", "List the launches of this repository, newest first."),
            Verb("show", "files", "[PID[/TASK[/FILE]]]", "Show a package's manifest, a task, or a file."),
            Verb("errors", "files", "[PID[/TASKS]]", "Group the tasks that failed by what they said."),
            Verb("ls", "files", "[PID[/TASKS]] [GLOB]", "List the files that tasks left."),
            Verb("get", "files", "[PID[/TASKS]] [GLOB]", "Bring files of tasks home."),
            Verb("gather", "files", "GLOB DIR [PID]", "Bring every task's file into one folder."),
        ),
    ),
    (
        "Results",
        (
            Verb("harvest", "results", "[PID]", "Bring new outputs home as one more Parquet shard."),
            Verb("reduce", "results", "[FILE] [PID…]", "Join all tasks' rows into one table."),
            Verb("query", "results", "SQL [PID]", "Ask a package's rows, or all packages', in SQL."),
            Verb("plot", "results", "[PID] --x NAME --y NAME", "Draw a package's rows."),
            Verb(
                "sanity", "results", "{exists | lines} FILE [PID]", "Find tasks whose file is missing or odd."
            ),
        ),
    ),
    (
        "Control",
        (
            Verb("cancel", "control", "[PID[/TASKS]]", "End a package's tasks."),
            Verb("retry", "control", "[PID[/TASKS]]", "Run again the tasks that did not complete."),
            Verb("rerun", "control", "[PID[/TASKS]]", "Run tasks again, whatever became of them."),
            Verb("hold", "control", "[PID]", "Keep what has not started from starting."),
            Verb("release", "control", "[PID]", "Let what is held start."),
            Verb("pause", "control", "[PID]", "Let what runs finish its task, and start nothing more."),
            Verb("resume", "control", "[PID]", "Go on with a package that was paused."),
            Verb("workers", "workers", "[PID] [+N|-N]", "Show a package's workers, add some, or end some."),
            Verb("recover", "workers", "[PID]", "Free the tasks of workers that are dead."),
            Verb("clean", "control", "[PID]", "End a package and free its files on the cluster."),
        ),
    ),
    (
        "Clusters",
        (
            Verb("init", "clusters", "CLUSTER", "Set a cluster up, or bring it up to date."),
            Verb("connect", "connect", "CLUSTER", "Log in to a cluster once, and get a shell there."),
            Verb("doctor", "clusters", "[CLUSTER]", "Check this machine, and a cluster, point by point."),
            Verb("avail", "clusters", "CLUSTER [NAME]", "List the modules of a cluster."),
            Verb("summary", "clusters", "CLUSTER", "Show your jobs on a cluster, by package and state."),
            Verb("sync", "sharing", "[REMOTE]", "Share packages, results and ledgers by a git remote."),
        ),
    ),
    (
        "Audit",
        (
            Verb("checkout", "inspect", "PID DIR", "Check a package's exact files out as a linked worktree."),
            Verb("diff", "inspect", "PID PID", "Compare two packages."),
            Verb("fsck", "inspect", "[PID]", "Check packages, ledgers and shards against their hashes."),
            Verb(
                "config",
                "inspect",
                "[import FILE]",
                "Show the configuration in force, or import clusters into it.",
            ),
            Verb("who", "inspect", "", "Show who launches from here, and with what."),
            Verb(
                "completion",
                "inspect",
                "{bash | zsh | fish}",
                "Print the script that completes git cj in a shell.",
            ),
        ),
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for _, verbs in GROUPS for verb in verbs}
LAUNCHES = ("run", "parrun", "deploy", "pardeploy")
