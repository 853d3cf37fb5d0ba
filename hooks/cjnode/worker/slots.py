"""An element that runs several tasks at a time: as many workers side by side, and who looks after them."""

import os
import sys
import traceback
from typing import Callable, Dict, FrozenSet, List

from cjnode.worker import prison
from cjnode.worker.children import Signals

STARTS = 4  # of one slot: the first, and three more after deaths by a signal
LOOK_S = 1.0

# Runs one slot to its end and returns its exit code; the processes are those of slots that died.
Body = Callable[[int, FrozenSet[int]], int]


def run(count: int, body: Body, signals: Signals) -> int:
    """Run so many slots in processes of their own; the largest of their exit codes.

    One that is killed is started again, as a scheduler does with an element, and takes up what it held.
    """
    running: Dict[int, int] = {}  # process to slot
    starts: Dict[int, int] = {}
    dead: List[int] = []
    codes = [0]
    told = False
    for slot in range(count):
        running[_start(slot, body, frozenset(dead))] = slot
        starts[slot] = 1
    while running:
        if signals.stopping and not told:
            told = True
            for process in running:
                os.kill(process, signals.number)
        process, status = os.waitpid(-1, os.WNOHANG)
        if process not in running:
            signals.wait(LOOK_S)
            continue
        slot = running.pop(process)
        if not os.WIFSIGNALED(status):
            codes.append(os.WEXITSTATUS(status))
            continue
        dead.append(process)
        if signals.stopping or starts[slot] == STARTS:
            codes.append(128 + os.WTERMSIG(status))
        else:
            starts[slot] += 1
            running[_start(slot, body, frozenset(dead))] = slot
    return max(codes)


def _start(slot: int, body: Body, dead: FrozenSet[int]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        prison.die_with(parent)
        code = body(slot, dead)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
