"""What the cluster's Python runs first: it puts the node half into the root and starts its ``init``."""

PROGRAM = """
import errno, json, os, shutil, subprocess, sys

root, nonce = sys.argv[1:]
header = json.loads(sys.stdin.buffer.readline().decode())


def refuse(error, hint):
    reply = json.dumps({"error": error, "hint": hint})
    sys.stdout.write("\\ncj %s begin\\n%s\\ncj %s end\\n" % (nonce, reply, nonce))
    sys.exit(1)


def arrive():
    path = os.path.join(root, "cjnode.%s.tmp" % nonce)
    size = header["bytes"]
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        with open(path, "wb") as file:
            while size:
                part = sys.stdin.buffer.read(min(size, 1 << 20))
                if not part:
                    sys.exit(3)
                file.write(part)
                size -= len(part)
            file.flush()
            os.fsync(file.fileno())
        argv = [sys.executable, "-I", "-S", path, "init", "--root", root, "--nonce", nonce]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE)
        child.communicate(json.dumps(header["request"]).encode())
        return child.returncode
    finally:
        if os.path.exists(path):
            os.unlink(path)


for program in ("git", "git-receive-pack"):
    if shutil.which(program) is None:
        refuse(
            "there is no %s on the cluster" % program,
            "make git available to logins without a terminal there, for instance on PATH in ~/.bashrc",
        )
try:
    code = arrive()
except OSError as problem:
    where = "%s: %s" % (os.path.abspath(problem.filename or root), problem.strerror)
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        found = os.statvfs(os.path.dirname(os.path.abspath(root)))
        left = "%.1f MB and %d inodes are free" % (found.f_bavail * found.f_frsize / 1e6, found.f_favail)
        refuse("the cluster has no space left: %s (%s)" % (where, left), "free some there, then try again")
    refuse(where, "choose another root for this cluster in .cjledger.toml, or mend that one")
sys.exit(code)
"""
