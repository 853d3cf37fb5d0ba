"""Environment modules: shell lines that find the ``module`` command and load what a job needs."""

from typing import List, Sequence

# Where sites say how it is found, in the order in which a login shell would read them.
_FILES = (
    "/etc/profile.d/00-modulepath.sh",
    "/etc/profile.d/z00_lmod.sh",
    "/etc/profile.d/lmod.sh",
    "/etc/profile.d/modules.sh",
    '"${LMOD_PKG:-/usr/share/lmod/lmod}/init/sh"',
    '"${MODULESHOME:-/usr/share/modules}/init/sh"',
    "/usr/share/Modules/init/sh",
    "/etc/profile",
)

FIND = (
    "# A shell that is no login shell often lacks the module command.",
    "for cj_file in %s; do" % " ".join(_FILES),
    "  command -v module >/dev/null 2>&1 && break",
    '  [ ! -r "$cj_file" ] || . "$cj_file"',
    "done",
    "command -v module >/dev/null 2>&1 ||",
    '  { echo "cj: error: there is no module command on $(uname -n)" >&2; exit 1; }',
)

# Environment Modules 3.2 exits with 0 whatever happened; its errors read "ModuleCmd_Load.c(213):ERROR:105:".
_LOAD = (
    "cj_load() {",
    "  cj_said=$(mktemp) || exit 1",
    '  module load "$1" 2>"$cj_said"',
    "  cj_code=$?",
    '  cat "$cj_said" >&2',
    '  ! grep -q ":ERROR:" "$cj_said" || cj_code=1',
    '  rm -f "$cj_said"',
    '  [ "$cj_code" = 0 ] || { echo "cj: error: module load $1 failed" >&2; exit 1; }',
    "}",
)


def load_lines(modules: Sequence[str]) -> List[str]:
    """Shell lines that load modules; one that fails ends the shell, with the words of ``module``. Pure."""
    if not modules:
        return []
    return list(FIND) + list(_LOAD) + ["cj_load %s" % _quoted(name) for name in modules]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"
