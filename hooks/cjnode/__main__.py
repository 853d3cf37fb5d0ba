"""The verbs: ``python3 cjnode.pyz VERB --root ROOT --nonce N``, one JSON object in, JSON lines out."""

import argparse
import importlib
import json
import os
import sys
from typing import Any, BinaryIO, Dict, List

from cjnode import VERSION
from cjnode.errors import NodeError
from cjnode.files import canonical, wait_for
from cjnode.records import layout

# Each is ``function(root, request, out)``; loaded when asked for, because a launch waits for its verb.
VERBS = {
    "init": "cjnode.host.setup",
    "site": "cjnode.host.site",
    "doctor": "cjnode.verbs.doctor",
    "avail": "cjnode.host.avail",
    "summary": "cjnode.verbs.summary",
    "prepare": "cjnode.verbs.prepare",
    "submit": "cjnode.verbs.request",
    "state": "cjnode.verbs.state",
    "pull": "cjnode.verbs.pull",
    "fetch": "cjnode.verbs.pull",
    "cancel": "cjnode.verbs.cancel",
    "clean": "cjnode.verbs.clean",
    "hold": "cjnode.verbs.hold",
    "release": "cjnode.verbs.hold",
    "pause": "cjnode.verbs.pause",
    "resume": "cjnode.verbs.pause",
    "workers": "cjnode.verbs.workers",
    "recover": "cjnode.verbs.recover",
}


def main(arguments: List[str]) -> int:
    """Run a verb and return the exit code."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="cjnode.pyz", description=__doc__)
    parser.add_argument("verb", choices=sorted(VERBS) + ["drain", "receive", "work"])
    parser.add_argument("--root", required=True)
    parser.add_argument("--nonce", default="")
    parser.add_argument("--package", default="")
    parser.add_argument("--submission", type=int, default=1)
    options = parser.parse_args(arguments)
    root = os.path.realpath(options.root)
    if options.verb == "receive":
        from cjnode.receive import hook

        return hook(root)
    if options.verb == "drain":
        return _drain(root, True)
    if options.verb == "work":
        return _work(root, options.package, options.submission)
    return _answer(options.verb, root, options.nonce)


def _work(root: str, package: str, submission: int) -> int:
    element, job = int(os.environ.get("CJ_ELEMENT", "1")), os.environ.get("CJ_JOB_ID", "")
    folder = layout.submission_path(root, package, submission)
    # What the login node wrote before it submitted this may not be in this node's sight yet.
    wait_for(os.path.join(folder, "intent.json"))
    from cjnode.worker.element import incarnation
    from cjnode.worker.work import work

    return work(root, package, submission, element, incarnation(folder, element, job, os.environ), job)


def _drain(root: str, patient: bool) -> int:
    if layout.has_backlog(root):
        from cjnode.submission.drain import drain

        drain(root, (), patient)
    return 0


def _answer(verb: str, root: str, nonce: str) -> int:
    out = sys.stdout.buffer
    if nonce:
        out.write(b"\ncj %s begin %s\n" % (nonce.encode("ascii"), canonical(_greeting(root))))
    try:
        getattr(importlib.import_module(VERBS[verb]), verb)(root, _request(sys.stdin.buffer), out)
        code = 0
    except NodeError as problem:
        out.write(canonical({"error": problem.error, "hint": problem.hint}) + b"\n")
        code = 1
    except OSError as problem:
        from cjnode import space

        told = space.refusal(problem, root)
        if told is None:
            raise
        out.write(canonical({"error": told.error, "hint": told.hint}) + b"\n")
        code = 1
    if nonce:
        out.write(b"cj %s end\n" % nonce.encode("ascii"))
    out.flush()
    _drain(root, False)  # after the answer: what waits for the scheduler is none of this request's
    return code


def _greeting(root: str) -> Dict[str, Any]:
    """What the laptop compares with what it brought: the node half that is installed, and its version."""
    try:
        with open(os.path.join(root, "cluster.json"), "rb") as file:
            installed = json.loads(file.read().decode("utf-8")).get("cjnode")
    except (OSError, ValueError, AttributeError):
        installed = None  # not set up, or damaged: `init` says what is wrong
    return {"cjnode": installed, "version": VERSION}


def _request(source: BinaryIO) -> Dict[str, Any]:
    text = source.read()
    try:
        request = json.loads(text.decode("utf-8") or "{}")
    except ValueError as problem:
        raise NodeError("the request is not JSON: %s" % problem)
    if not isinstance(request, dict):
        raise NodeError("the request is no JSON object")
    return request


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
