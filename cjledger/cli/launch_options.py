"""Arguments and options of the verbs that launch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cjledger.cli.options import Jobs, Json, Wait

Program = Annotated[
    str | None,
    typer.Argument(metavar="PROGRAM", help="script.py or module.py:function; left out with -c."),
]
Script = Annotated[str | None, typer.Argument(metavar="PROGRAM", help="script.py: a script with loops.")]
Cluster = Annotated[
    str | None,
    typer.Argument(metavar="CLUSTER", help="Where to run: local; left out, the configured default_cluster."),
]
Command = Annotated[
    str | None,
    typer.Option("-c", "--command", metavar="COMMAND", help="A command with {name} for each parameter."),
]
Message = Annotated[str, typer.Option("-m", "--message", metavar="MSG", help="Why: kept in the package.")]
SweepOption = Annotated[
    list[str],
    typer.Option(
        "--sweep",
        metavar="NAME=SPEC",
        help="An axis: 0.1,0.2,a or start:step:stop or linspace(a,b,n) or logspace(a,b,n) or "
        "range(start,stop,step); or, with --samples, uniform(a,b), loguniform(a,b), normal(mean,sd), "
        "randint(a,b), choice(p,q,r).",
    ),
]
Samples = Annotated[
    int | None, typer.Option("--samples", metavar="N", help="How many draws from the distributions.")
]
Design = Annotated[
    str,
    typer.Option(
        "--design", metavar="DESIGN", help="How the draws are spread: random, or lhs and sobol, by scipy."
    ),
]
Commands = Annotated[
    str | None,
    typer.Option("--commands", metavar="FILE", help="One task a line: each line is a shell command."),
]
Points = Annotated[
    str | None,
    typer.Option(
        "--points",
        metavar="FILE",
        help="One task a row: CSV, JSON lines, JSON or Parquet; - is standard input.",
    ),
]
Blocks = Annotated[
    str | None,
    typer.Option("--blocks", metavar="FILE", help="A union of products in JSON or TOML, with a stop_list."),
]
Repeat = Annotated[
    int, typer.Option("--repeat", metavar="N", help="Replicates of each point, with their own seeds.")
]
Dep = Annotated[
    list[str],
    typer.Option("--dep", metavar="DIR", help="A folder of modules: packed even if ignored, and importable."),
]
Out = Annotated[
    list[str], typer.Option("--out", metavar="GLOB", help="Which files are outputs; left out, every new one.")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="The root seed; left out, drawn and recorded.")
]
Mem = Annotated[str | None, typer.Option("--mem", metavar="SIZE", help="Memory a task: 4G, 500M.")]
Time = Annotated[
    str | None, typer.Option("--time", metavar="TIME", help="Time a task: 30 (minutes), 48:00:00, 90m, 2d.")
]
Cpus = Annotated[
    int | None,
    typer.Option(
        "--cpus",
        metavar="N",
        help="Processors and threads a task; with --workers, how many tasks each runs at a time.",
    ),
]
Gpus = Annotated[int | None, typer.Option("--gpus", metavar="N", help="Graphics processors a task.")]
Nodes = Annotated[int | None, typer.Option("--nodes", metavar="N", help="Nodes a job.")]
Ntasks = Annotated[int | None, typer.Option("--ntasks-per-node", metavar="N", help="Processes on each node.")]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority",
        metavar="N",
        help="Which of your packages go first: -1000 to 1000, the higher the earlier. Slurm and Grid Engine "
        "let users go down from 0 only.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="How many elements share the tasks; left out, by what earlier ones took, or one a task.",
    ),
]
After = Annotated[
    list[str],
    typer.Option(
        "--after",
        metavar="PID[:ok|:any]",
        help="Wait for a package: until all its tasks completed (ok, left out), or have ended (any).",
    ),
]
ThenOption = Annotated[
    str | None,
    typer.Option(
        "--then",
        metavar="SCRIPT[:FILE]",
        help="Run a Python script on the cluster when all tasks have ended. CJ_TABLE names their table: the "
        "rows of functions, or of each task's FILE.",
    ),
]
Alloc = Annotated[
    list[str], typer.Option("--alloc", metavar="FLAGS", help="Flags passed to the scheduler unread.")
]
Retries = Annotated[
    int | None,
    typer.Option("--retries", metavar="N", help="Run a task that failed again by itself, up to N times."),
]
RetryOn = Annotated[
    str | None,
    typer.Option(
        "--retry-on",
        metavar="CAUSES",
        help="After what: FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, LOST, exit codes such as 137 "
        "(128 + the signal); left out, all states.",
    ),
]
GrowMem = Annotated[
    str | None,
    typer.Option("--grow-mem", metavar="GROWTH", help="Memory after OUT_OF_MEMORY: 2x or +4G."),
]
GrowTime = Annotated[
    str | None, typer.Option("--grow-time", metavar="GROWTH", help="Time after TIMEOUT: 1.5x or +1h.")
]
UntilDone = Annotated[
    bool,
    typer.Option("--until-done", help="Workers that come to their walltime have successors submitted."),
]
Shuffle = Annotated[
    bool | None,
    typer.Option(
        "--shuffle/--no-shuffle",
        help="Run tasks in an even mix of all; left out, for products of 1000 to 100000 tasks.",
    ),
]
Preload = Annotated[
    str | None,
    typer.Option(
        "--preload",
        metavar="MODULES",
        help="What workers import once, before tasks are forked from them (numpy,scipy.linalg); left out, "
        "what the script imports.",
    ),
]
NoPreload = Annotated[
    bool, typer.Option("--no-preload", help="Have each task of a Python script import its modules itself.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show tasks, values and the script; write nothing.")]
NoSubmit = Annotated[
    bool, typer.Option("--no-submit", help="Make the package only; git cj submit sends it later.")
]
AllowLarge = Annotated[bool, typer.Option("--allow-large", help="Pack untracked files over the size limit.")]
AllowSecret = Annotated[
    list[str],
    typer.Option("--allow-secret", metavar="PATH", help="Pack this file although it looks like a secret."),
]
Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse",
        help="Link tasks that ran already with this code, which is all files, and run only the others.",
    ),
]
SkipDone = Annotated[
    bool, typer.Option("--skip-done", help="As --reuse by the parameters alone, whatever the code was.")
]
Line = Annotated[
    int | None, typer.Option("--line", metavar="L", help="Which loop nest of several, by its first line.")
]
Depth = Annotated[int | None, typer.Option("--depth", metavar="D", help="How many of the nest's loops.")]
NoEval = Annotated[
    bool, typer.Option("--no-eval", help="Never run the script's head to learn its loops' values.")
]


# Every parameter of a launch: its annotation and default, in the order of the help.
PARAMETERS: dict[str, tuple[Any, Any]] = {
    "program": (Program, None),
    "cluster": (Cluster, None),
    "command": (Command, None),
    "message": (Message, ""),
    "commands": (Commands, None),
    "sweep": (SweepOption, []),
    "samples": (Samples, None),
    "design": (Design, "random"),
    "points": (Points, None),
    "blocks": (Blocks, None),
    "line": (Line, None),
    "depth": (Depth, None),
    "no_eval": (NoEval, False),
    "repeat": (Repeat, 1),
    "dep": (Dep, []),
    "out": (Out, []),
    "seed": (Seed, None),
    "mem": (Mem, None),
    "time": (Time, None),
    "cpus": (Cpus, None),
    "gpus": (Gpus, None),
    "nodes": (Nodes, None),
    "ntasks_per_node": (Ntasks, None),
    "alloc": (Alloc, []),
    "workers": (Workers, None),
    "until_done": (UntilDone, False),
    "shuffle": (Shuffle, None),
    "preload": (Preload, None),
    "no_preload": (NoPreload, False),
    "jobs": (Jobs, None),
    "priority": (Priority, None),
    "after": (After, []),
    "retries": (Retries, None),
    "retry_on": (RetryOn, None),
    "grow_mem": (GrowMem, None),
    "grow_time": (GrowTime, None),
    "then": (ThenOption, None),
    "dry_run": (DryRun, False),
    "no_submit": (NoSubmit, False),
    "wait": (Wait, False),
    "allow_large": (AllowLarge, False),
    "allow_secret": (AllowSecret, []),
    "reuse": (Reuse, False),
    "skip_done": (SkipDone, False),
    "json": (Json, False),
}
