"""One local job's pool: a detached process that starts the elements and outlives whoever asked for it."""

import os
import signal
import sys
from typing import Dict, List, Set

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import create_json, now, read_json
from cjnode.records import layout
from cjnode.records.blocks import element_log_path
from cjnode.repository.expand import ensure_expanded
from cjnode.schedulers import localjobs, ranks

STARTS = 4  # of one element in one pool: the first, and three more after deaths by a signal
GRACE_S = 30  # how long an element may take to end; its worker gives up on a task much sooner
TAKEN = 75  # another process runs as this element

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM}


def launch(root: str, job: str) -> bool:
    """Start a pool that this process is no parent of. True once it, or another, has the job."""
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        os._exit(_detach(root, job, writer))
    os.close(writer)
    os.waitpid(first, 0)
    with os.fdopen(reader, "rb") as answer:
        return answer.read() == b"1"


def _detach(root: str, job: str, writer: int) -> int:
    """In the first child: become the leader of a new session and fork the pool."""
    try:
        os.setsid()
        if os.fork():
            return 0
        folder = localjobs.job_folder(root, job)
        own_files(os.path.join(folder, "log"), writer)
        os.chdir(root)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        mine = take(folder)
        os.write(writer, b"1")
        os.close(writer)
        if mine:
            run(os.getcwd(), job)
    except BaseException:  # nobody above could tell
        _print_problem()
        return 1
    return 0


def _print_problem() -> None:
    sys.excepthook(*sys.exc_info())
    sys.stderr.flush()


def own_files(log: str, keep: int) -> None:
    """Close every inherited file but one: an open one would keep the caller's connection open."""
    for descriptor in _open_files():
        if descriptor != keep and descriptor > 2:
            try:
                os.close(descriptor)
            except OSError:
                pass
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)


def _open_files() -> List[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return [int(name) for name in os.listdir(folder)]
        except OSError:
            pass
    return list(range(3, 1024))


def take(folder: str) -> bool:
    """Own a job that no living pool owns. False when another does."""
    while not localjobs.is_done(folder):
        # The next number after the owner that was looked at: after a later look it could be one that follows
        # another's who lives.
        last = max(localjobs.numbers(localjobs.OWNER, folder) or [0])
        before = localjobs.identity(os.path.join(folder, "owner-%d.json" % last)) if last else None
        if before is not None and processes.alive(before):
            return False
        path = os.path.join(folder, "owner-%d.json" % (last + 1))
        if create_json(path, processes.identity(os.getpid())._asdict()):
            return True
    return False


def run(root: str, job: str) -> None:
    """Run the job to its end and say so. Whatever happens, the log has it."""
    folder = localjobs.job_folder(root, job)
    fields = read_json(os.path.join(folder, "job.json"))
    assert fields is not None
    print("%s pool %d starts" % (now(), os.getpid()), flush=True)
    log = element_log_path(layout.submission_path(root, fields["package"], fields["submission"]), 1)
    try:
        ensure_expanded(root, fields["package"])
        own = _Pool(root, folder, job, fields["package"], fields["submission"])
        codes = own.run(fields.get("first") or 1, fields["elements"])
    except (NodeError, OSError) as problem:
        with open(log, "a") as file:
            file.write("the job could not start: %s\n" % problem)
        codes = {}
    create_json(os.path.join(folder, "done.json"), {"exit_codes": codes, "ended": now()})
    ranks.leave(root, job)
    print("%s pool %d ends: %s" % (now(), os.getpid(), codes), flush=True)
    if layout.has_backlog(root):
        _drain(root)


def _drain(root: str) -> None:
    """End as the command that submits what waits: nobody else may come by who would."""
    call = processes.call("cjnode.__main__", "main", (["drain", "--root", root],), "-I", "-S")
    for program in (call[0], "/proc/self/exe"):  # the first is gone where an environment was made anew
        try:
            os.execv(program, call)
        except OSError as problem:
            print("%s: %s" % (program, problem), flush=True)


class _Pool:
    """The elements of one job, from their start to the last one's end."""

    def __init__(self, root: str, folder: str, job: str, package: str, submission: int) -> None:
        self._root = root
        self._folder = folder
        self._job = job
        self._package = package
        self._submission = submission
        self._running: Dict[int, int] = {}  # process to element
        self._starts: Dict[int, int] = {}
        self._codes: Dict[str, int] = {}
        self._ending = False

    def run(self, first: int, count: int) -> Dict[str, int]:
        """Run so many elements from the first on and return their exit codes by number."""
        if self._released():
            for element in range(first, first + count):
                self._start(element)
        while self._running:
            self._wait()
        return self._codes

    def _released(self) -> bool:
        """Wait while the job is held or others go before it. False when it is to end."""
        held = os.path.join(self._folder, "held")
        while os.path.exists(held) or ranks.is_behind(self._root, self._job):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            if signal.sigwait(_SIGNALS) in (signal.SIGTERM, signal.SIGINT):
                return False
        return not signal.sigpending() & {signal.SIGTERM, signal.SIGINT}

    def _wait(self) -> None:
        came = signal.sigwait(_SIGNALS)
        if came in (signal.SIGTERM, signal.SIGINT) and not self._ending:
            self._ending = True
            for process in self._running:
                os.kill(process, signal.SIGTERM)
            signal.alarm(GRACE_S)
        elif came == signal.SIGALRM:
            for process in self._running:
                processes.kill_group(process)
        # Several deaths may be one signal.
        while self._running:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                break
            self._ended(self._running.pop(process), process, status)

    def _ended(self, element: int, process: int, status: int) -> None:
        killed = os.WIFSIGNALED(status)
        code = 128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
        print("%s element %d ended: %d" % (now(), element, code), flush=True)
        processes.kill_group(process)  # what it left behind would write beside its successor
        if not self._ending and (killed or code == TAKEN) and self._starts[element] < STARTS:
            self._start(element)
        else:
            self._codes["%d" % element] = code

    def _start(self, element: int) -> None:
        """Start an element, when every earlier start of it is dead."""
        self._starts[element] = self._starts.get(element, 0) + 1
        incarnation = self._bury(element) + 1
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            try:
                self._become(element, incarnation)
            except BaseException:
                _print_problem()
            finally:
                os._exit(127)
        self._running[process] = element

    def _bury(self, element: int) -> int:
        """End what earlier pools left of an element; return its last incarnation."""
        seen: Set[int] = {0}
        for name in localjobs.names(self._folder):
            match = localjobs.ELEMENT.match(name)
            if match and int(match.group(1)) == element:
                seen.add(int(match.group(2)))
                who = localjobs.identity(os.path.join(self._folder, name))
                if who is not None:
                    processes.end(who, GRACE_S)
        return max(seen)

    def _become(self, element: int, incarnation: int) -> None:
        """In the child: take the element's place, then turn into the batch script."""
        os.setsid()
        name = "element-%d-%d.json" % (element, incarnation)
        # Written by the element itself: a pool killed after its fork leaves no element unknown.
        who = processes.identity(os.getpid())
        if not create_json(os.path.join(self._folder, name), who._asdict()):
            os._exit(TAKEN)
        log = element_log_path(layout.submission_path(self._root, self._package, self._submission), element)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.close(out)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        environment = processes.environment()
        environment.update(CJ_ELEMENT="%d" % element, CJ_INCARNATION="%d" % incarnation, CJ_JOB_ID=self._job)
        script = os.path.join(layout.code_path(self._root, self._package), ".cj", "job.sh")
        arguments = ["sh", script, self._root, self._package, "%d" % self._submission]
        os.execvpe("sh", arguments, environment)
