"""What belongs to an experiment on this cluster: packages that extend one another, and what runs after them.

``packages/<first>/extended/<id>`` names those that extend the first one, ``packages/<first>/then.json``
the one that runs when their tasks have ended.
"""

import os
from typing import Any, Dict, List, Optional

from cjnode.errors import NodeError
from cjnode.files import create_json, create_once, read_json
from cjnode.records import layout
from cjnode.vocabulary import is_package_id


def register(root: str, package: str, fields: Dict[str, Any]) -> None:
    """Let a package be found from the one after which it runs."""
    folder = layout.checked_package(root, fields["then_of"]["package"])
    if not os.path.isdir(folder):
        short = fields["then_of"]["package"][:12]
        raise NodeError("package %s, after which it runs, is not on this cluster" % short)
    create_json(os.path.join(folder, "then.json"), {"package": package})


def join(root: str, package: str, fields: Dict[str, Any]) -> None:
    """Let a package that extends another one be found from the first of them."""
    oldest = first(root, fields["extends"])
    if os.path.isdir(layout.checked_package(root, oldest)):
        os.makedirs(_joined(root, oldest), 0o700, exist_ok=True)
        create_once(os.path.join(_joined(root, oldest), package), b"")


def members(root: str, package: str) -> List[str]:
    """A package and those that extend it, on this cluster."""
    try:
        names = sorted(os.listdir(_joined(root, package)))
    except FileNotFoundError:
        names = []
    return [package] + [name for name in names if is_package_id(name)]


def _joined(root: str, package: str) -> str:
    return os.path.join(layout.checked_package(root, package), "extended")


def first(root: str, package: str) -> str:
    """The package that a chain of extensions began with."""
    seen = {package}
    while True:
        fields = layout.read_manifest(root, package)
        before = (fields or {}).get("extends")
        if not before or before in seen or not is_package_id(before):
            return package
        seen.add(before)
        package = before


def follower(root: str, package: str) -> Optional[str]:
    """The package that runs after an experiment that began with this one."""
    found = read_json(os.path.join(layout.checked_package(root, package), "then.json"))
    return str(found["package"]) if found else None
