"""Which modules a site has: Lmod's or Environment Modules' own list, from a login shell."""

import re
from typing import Any, BinaryIO, Dict, List

from cjnode.errors import NodeError
from cjnode.files import canonical
from cjnode.host import site

# Both print the list on standard error; Lmod does so unless LMOD_REDIRECT is set.
_LIST = """\
printf '\\ncj %s begin\\n' "$1"
if type module >/dev/null 2>&1; then
  printf 'command %s\\n' "${LMOD_VERSION:+Lmod $LMOD_VERSION}"
  module -t avail 2>&1
fi
printf '\\ncj %s end\\n' "$1"
"""
# Marks after a name: (default), (D), and Lmod's aliases (@2).
_MARK = re.compile(r"\s*[(<][^()<>]*[)>]$")


def avail(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"name":…}``; a line ``{"module":…}`` for each, last ``{"command":…,"count":n}``.

    ``command`` is null where the site has no ``module`` command.
    """
    word = site.nonce()
    told = site.run_login(_LIST, word)
    if told is None:
        raise NodeError(
            "bash -l gave no answer there in %g s" % site.LOGIN_S, "look at ~/.bash_profile on the cluster"
        )
    lines = site.between(told, word).splitlines()
    command = None
    found: List[str] = []
    if lines and lines[0].startswith("command "):
        command = lines[0][len("command ") :].strip() or "Environment Modules"
        found = [name for name in names(lines[1:]) if _fits(name, str(request.get("name") or ""))]
    for name in found:
        out.write(canonical({"module": name}) + b"\n")
    out.write(canonical({"command": command, "count": len(found)}) + b"\n")


def names(lines: List[str]) -> List[str]:
    """The modules of a terse list: no headings of folders, no marks; each once, sorted. Pure."""
    found = set()
    for line in lines:
        text = line.strip()
        while _MARK.search(text):
            text = _MARK.sub("", text)
        # A heading ends in a colon; `python/` is the family of `python/3.12`.
        if text and not text.endswith((":", "/")) and not re.search(r"\s", text):
            found.add(text)
    return sorted(found)


def _fits(name: str, wanted: str) -> bool:
    return wanted.lower() in name.lower()
