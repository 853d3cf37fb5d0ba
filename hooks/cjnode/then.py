"""A package that runs when another one's tasks have ended, and again whenever these got further results.

It names the other as ``then_of``; ``packages/<that>/then.json`` leads from there to it. It waits as one with
``--after`` does, for all packages of the experiment: what extends the other one counts as its tasks.
"""

import hashlib
import os
from typing import Any, Dict, List, Optional

from cjnode import blocks, layout, waiting
from cjnode.blocks import is_package_id
from cjnode.errors import NodeError
from cjnode.files import create_json, create_once, read_json
from cjnode.submit import Request, submit_package


def register(root: str, package: str, fields: Dict[str, Any]) -> None:
    """Let a package be found from the one after which it runs."""
    folder = layout.checked_package(root, fields["then_of"]["package"])
    if not os.path.isdir(folder):
        first = fields["then_of"]["package"][:12]
        raise NodeError("package %s, after which it runs, is not on this cluster" % first)
    create_json(os.path.join(folder, "then.json"), {"package": package})


def join(root: str, package: str, fields: Dict[str, Any]) -> None:
    """Let a package that extends another one be found from the first of them."""
    first = _first(root, fields["extends"])
    if os.path.isdir(layout.checked_package(root, first)):
        os.makedirs(_joined(root, first), 0o700, exist_ok=True)
        create_once(os.path.join(_joined(root, first), package), b"")


def family(root: str, package: str) -> List[str]:
    """A package and those that extend it, on this cluster."""
    try:
        names = sorted(os.listdir(_joined(root, package)))
    except FileNotFoundError:
        names = []
    return [package] + [name for name in names if is_package_id(name)]


def _joined(root: str, package: str) -> str:
    return os.path.join(layout.checked_package(root, package), "extended")


def _first(root: str, package: str) -> str:
    """The package that a chain of extensions began with."""
    seen = {package}
    while True:
        fields = layout.read_manifest(root, package)
        before = (fields or {}).get("extends")
        if not before or before in seen or not is_package_id(before):
            return package
        seen.add(before)
        package = before


def again(root: str, package: str) -> None:
    """Have what runs after a package run once more: the package is about to get further results.

    Called before these are submitted, and for as long as they are: what is done already is not done again.
    """
    first = _first(root, package)
    child = _child(root, first)
    if child is None:
        return
    folder = layout.checked_package(root, child)
    done = os.path.join(folder, "settled-" + _digest(root, first))
    known = waiting.intents(root, child)
    if os.path.exists(done) or not known:
        return
    number, intent = max(known.items())
    path = blocks.submission_folder(folder, number)
    if intent.get("after") and waiting.close(path):
        # It has not begun: it is submitted anew when everything has ended.
        waiting.take_up(root, path, intent)
    else:
        words = [{"package": first, "when": "any"}]
        token = "then-" + _digest(root, first)
        request = Request(child, number + 1, token, "", intent["attempt"] + 1, None, None, words, {})
        submit_package(root, request)
    create_once(done, b"")


def bring(root: str, package: str) -> None:
    """After a package was submitted, submit what runs after it behind its jobs, where that can be done."""
    child = _child(root, _first(root, package))
    if child is not None:
        waiting.bring_all(root, child)


def _child(root: str, package: str) -> Optional[str]:
    found = read_json(os.path.join(layout.checked_package(root, package), "then.json"))
    return str(found["package"]) if found else None


def _digest(root: str, package: str) -> str:
    """Which submissions an experiment consists of now."""
    words = []
    for member in family(root, package):
        numbers = blocks.list_submissions(layout.checked_package(root, member))
        words.append("%s:%s" % (member, ",".join("%d" % number for number in numbers)))
    return hashlib.sha256(" ".join(words).encode("ascii")).hexdigest()[:16]
