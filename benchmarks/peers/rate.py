"""Tasks a second of another tool: `python rate.py TOOL script|function TASKS`, in the folder with task.py.

The tool's own start is not counted: the clock runs from the first submission to the last result, two at a
time. Prints {"rate": …, "peak_mb": …, "files": …}; the peak is that of the largest process.
"""

import json
import os
import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path

WORKERS = 2


def script(number):
    """One task of the kind script: a program of its own, its output in a file."""
    import subprocess
    import sys

    with open(f"out/{number}.txt", "wb") as out:
        subprocess.run([sys.executable, "task.py", "--x", str(number)], stdout=out, check=True)


def square(number):
    """One task of the kind function."""
    return {"y": number * number}


def subprocesses(function, tasks, stack):
    from concurrent.futures import ThreadPoolExecutor

    pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
    yield
    yield list(pool.map(function, tasks))


def joblib(function, tasks, stack):
    from joblib import Parallel, delayed

    pool = stack.enter_context(Parallel(n_jobs=WORKERS))
    pool(delayed(abs)(number) for number in range(100))
    yield
    yield pool(delayed(function)(number) for number in tasks)


def dask(function, tasks, stack):
    from distributed import Client, LocalCluster

    cluster = stack.enter_context(
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    )
    client = stack.enter_context(Client(cluster))
    client.gather(client.map(abs, range(100)))
    yield
    yield client.gather(client.map(function, tasks))


def parsl(function, tasks, stack):
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(
        max_workers_per_node=WORKERS, provider=provider, encrypted=False, address="127.0.0.1"
    )
    stack.enter_context(parsl.load(Config(executors=[executor], usage_tracking=0)))
    app = parsl.python_app(function)
    parsl.python_app(abs)(-1).result()
    yield
    yield [future.result() for future in [app(number) for number in tasks]]


def submitit(function, tasks, stack):
    from submitit import LocalExecutor

    executor = LocalExecutor(folder="submitit")
    yield
    results = []
    tasks = list(tasks)
    for first in range(0, len(tasks), WORKERS):  # it starts all at once, however many
        jobs = [executor.submit(function, number) for number in tasks[first : first + WORKERS]]
        results += [job.result() for job in jobs]
    yield results


def hyperqueue(function, tasks, stack):
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    cluster = stack.enter_context(
        LocalCluster(str(Path("hq").absolute()), worker_config=WorkerConfig(cores=WORKERS))
    )
    client = cluster.client()
    yield
    job = Job(max_fails=0)
    for number in tasks:
        if function is script:
            job.program(
                [sys.executable, "task.py", "--x", str(number)], stdout=f"out/{number}.txt", stderr=None
            )
        else:
            job.function(function, args=(number,), stdout=None, stderr=None)
    client.wait_for_jobs([client.submit(job)])
    yield list(tasks)


TOOLS = (subprocesses, joblib, dask, parsl, submitit, hyperqueue)


def main(name, kind, count):
    tool = next(tool for tool in TOOLS if tool.__name__ == name)
    os.makedirs("out", exist_ok=True)
    with ExitStack() as stack:
        steps = tool(script if kind == "script" else square, range(1, count + 1), stack)
        next(steps)
        start = time.perf_counter()
        assert len(next(steps)) == count
        seconds = time.perf_counter() - start
        files = sum(1 for path in Path().rglob("*") if path.is_file())
        usage = [
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        print(json.dumps({"rate": count / seconds, "peak_mb": max(usage) / 1024, "files": files}), flush=True)
        if name == "hyperqueue":
            os._exit(0)  # its server may not end


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
