"""A program's environment: where it lies on the cluster, how it is built, how a job enters it. Pure text."""

import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from cjnode.errors import NodeError
from cjnode.package.modules import load_lines
from cjnode.shell import quoted

# Those that are built; ``modules`` loads what is there, ``none`` takes the Python that is there.
BUILT = ("venv", "uv", "conda", "container")
KINDS = ("none", "modules") + BUILT

NOTE = "cj-environment.json"  # in a folder that is whole

_ID = re.compile(r"[0-9a-f]{16}\Z")
_PLATFORM = "$(uname -s)-$(uname -m)"

# What the laptop asks for.
Wanted = NamedTuple(
    "Wanted",
    [
        ("kind", str),
        ("id", str),  # the first 16 digits of the SHA-256 of all below
        ("lock", str),  # the lock file, one of ``files``; empty for a container
        ("modules", Tuple[str, ...]),  # loaded before anything else
        ("python", str),  # the program that makes it; empty leaves it to uv
        ("image", str),  # of a container
        ("files", Mapping[str, str]),  # texts by name, relative
    ],
)


def wanted_from_json(fields: Dict[str, Any]) -> Wanted:
    """Read a request's environment. Raises NodeError for what is none, or could escape its folder."""
    try:
        files = {str(name): str(text) for name, text in dict(fields.get("files") or {}).items()}
        modules = tuple(str(name) for name in fields.get("modules") or ())
        words = [str(fields.get(name) or "") for name in ("kind", "id", "lock", "python", "image")]
    except (TypeError, ValueError, AttributeError) as problem:
        raise NodeError("prepare: no environment: %s" % problem)
    kind, name, lock, python, image = words
    if kind not in BUILT or not _ID.match(name):
        raise NodeError("prepare: no environment that can be built: %r %r" % (kind, name))
    for path in list(files) + ([lock] if lock else []):
        if not path or path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise NodeError("prepare: not a lock file's name: %r" % path)
    if lock and lock not in files:
        raise NodeError("prepare: the text of %s is missing" % lock)
    return Wanted(kind, name, lock, modules, python, image, files)


def folder(root: str, name: str) -> str:
    """Where an environment lies for machines of this kind."""
    if not _ID.match(name):
        raise NodeError("not an environment: %r" % name)
    system = os.uname()
    return os.path.join(root, "environments", name, "%s-%s" % (system.sysname, system.machine))


def is_ready(root: str, name: str) -> bool:
    """Whether an environment is there whole."""
    return os.path.exists(os.path.join(folder(root, name), "ready", NOTE))


def setup_lines(
    environment: Mapping[str, Any], setup: Sequence[str], binds: Sequence[str] = (), gpus: bool = False
) -> List[str]:
    """The shell lines of ``.cj/job.sh`` that make a job's environment: modules, activation, the person's own.

    They know the root as ``$ROOT`` and set ``PYTHON`` when the environment has its own. ``binds`` are paths
    that a container must see.
    """
    lines = load_lines(environment.get("modules") or ())
    if environment["kind"] in BUILT:
        lines += _activation(environment, binds, gpus)
    return lines + list(setup)


def _activation(environment: Mapping[str, Any], binds: Sequence[str], gpus: bool) -> List[str]:
    name, kind = environment["id"], environment["kind"]
    missing = "cj: error: environment %s (%s) is not in $ROOT for %s: git cj submit" % (name, kind, _PLATFORM)
    lines = [
        "# Environment %s: %s of %s" % (name, kind, _printable(environment["lock"] or environment["image"])),
        'ENVIRONMENT="$ROOT/environments/%s/%s/ready"' % (name, _PLATFORM),
        '[ -e "$ENVIRONMENT/%s" ] ||' % NOTE,
        '  { echo "%s $PACKAGE" >&2; exit 1; }' % missing,
        # The link may be moved to a new build while jobs run in the old one.
        'ENVIRONMENT=$(cd "$ENVIRONMENT" && pwd -P)',
        "PYTHON=$ENVIRONMENT/bin/python",
        "export CJ_ENVIRONMENT=%s" % name,
    ]
    if kind == "container":
        return lines + _container(binds, gpus)
    variable = "CONDA_PREFIX" if kind == "conda" else "VIRTUAL_ENV"
    lines += ["unset PYTHONHOME", 'export %s="$ENVIRONMENT" PATH="$ENVIRONMENT/bin:$PATH"' % variable]
    if kind == "conda":
        lines += [
            'for cj_file in "$ENVIRONMENT"/etc/conda/activate.d/*.sh; do',
            '  [ ! -r "$cj_file" ] || . "$cj_file"',
            "done",
        ]
    return lines


def _container(binds: Sequence[str], gpus: bool) -> List[str]:
    lines = ["export CJ_CONTAINER_OPTIONS=--nv"] if gpus else []
    if binds:
        both = ",".join(_home(path) for path in binds)
        lines += [
            'APPTAINER_BIND="%s${APPTAINER_BIND:+,$APPTAINER_BIND}"' % both,
            'export APPTAINER_BIND SINGULARITY_BIND="$APPTAINER_BIND"',
        ]
    return lines


def _home(path: str) -> str:
    """A path for double quotes, in which ``~/`` means nothing."""
    prefix, rest = ("$HOME/", path[2:]) if path.startswith("~/") else ("", path)
    return prefix + re.sub(r'([\\"$`])', r"\\\1", rest)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def build_script(wanted: Wanted, root: str, target: str) -> str:
    """The shell script that builds an environment in ``target``, run where its lock files lie. Pure."""
    lines = ["#!/bin/sh", "# Made by git cj: builds environment %s" % wanted.id]
    lines += load_lines(wanted.modules)
    lines += ["set -eu", "ROOT=%s TARGET=%s" % (quoted(root), quoted(target))]
    # Programs that people install for themselves, and a shell that is no login shell does not find.
    lines.append('PATH="$PATH:%s"' % ":".join("${HOME:-/}/" + place for place in _PLACES))
    lines += _BUILDERS[wanted.kind](wanted)
    return "\n".join(lines) + "\n"


_PLACES = (
    ".local/bin",
    ".cargo/bin",
    "miniforge3/bin",
    "mambaforge/bin",
    "miniconda3/bin",
    "anaconda3/bin",
    "micromamba/bin",
)


def _first_of(programs: Sequence[str], hint: str) -> List[str]:
    """Lines that set TOOL to the first program that is there."""
    return [
        "TOOL=$(%s) ||" % " || ".join("command -v %s" % program for program in programs),
        "  { echo 'cj: error: there is no %s here: %s' >&2; exit 127; }" % (" or ".join(programs), hint),
    ]


def _venv(wanted: Wanted) -> List[str]:
    return [
        '%s -m venv "$TARGET"' % quoted(wanted.python or "python3"),
        '"$TARGET/bin/python" -m pip --disable-pip-version-check --no-input install --progress-bar off'
        " -r %s" % quoted(wanted.lock),
    ]


def _uv(wanted: Wanted) -> List[str]:
    python = " --python %s" % quoted(wanted.python) if wanted.python else ""
    place = os.path.dirname(wanted.lock)
    lines = _first_of(["uv"], "load a module that has it, or python3 -m pip install --user uv")
    if place:
        lines.append("cd %s" % quoted(place))
    return lines + [
        "unset VIRTUAL_ENV CONDA_PREFIX",
        'UV_PROJECT_ENVIRONMENT="$TARGET" "$TOOL" sync --frozen --no-install-project --no-install-workspace'
        " --no-progress" + python,
    ]


def _conda(wanted: Wanted) -> List[str]:
    lock, text = quoted(wanted.lock), wanted.files[wanted.lock]
    lines = ["export CONDA_ALWAYS_YES=true MAMBA_ALWAYS_YES=true"]
    hint = "load a module that has it, or name it on PATH there"
    if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
        return (
            lines
            + _first_of(["micromamba", "mamba", "conda"], hint)
            + ['"$TOOL" create --yes --prefix "$TARGET" --file %s' % lock]
        )
    if os.path.basename(wanted.lock).endswith(("conda-lock.yml", "conda-lock.yaml")):
        lines += _first_of(["micromamba", "conda-lock"], hint)
        how = [
            '  micromamba) "$TOOL" create --yes --prefix "$TARGET" --file %s ;;' % lock,
            '  *) "$TOOL" install --prefix "$TARGET" %s ;;' % lock,
        ]
    else:
        lines += _first_of(["micromamba", "mamba", "conda"], hint)
        how = [
            '  micromamba) "$TOOL" create --yes --prefix "$TARGET" --file %s ;;' % lock,
            '  *) "$TOOL" env create --prefix "$TARGET" --file %s ;;' % lock,
        ]
    return lines + ['case "${TOOL##*/}" in'] + how + ["esac"]


def _container_image(wanted: Wanted) -> List[str]:
    lines = _first_of(["apptainer", "singularity"], "load a module that has it")
    lines.append('mkdir -p "$TARGET/bin"')
    if "://" in wanted.image:
        lines.append('"$TOOL" pull "$TARGET/image.sif" %s' % quoted(wanted.image))
    else:
        image = '"%s"' % _home(wanted.image)
        lines += [
            "[ -r %s ] || { echo cj: error: there is no image %s >&2; exit 1; }" % (image, image),
            'ln -s %s "$TARGET/image.sif"' % image,
        ]
    # All that follows calls it as it would call the Python of a virtual environment.
    wrapper = (
        "printf '%s\\n' '#!/bin/sh'"
        " \"exec '$TOOL' exec \\${CJ_CONTAINER_OPTIONS:-} --bind '$ROOT' '$TARGET/image.sif'"
        ' python3 \\"\\$@\\"" >"$TARGET/bin/python"'
    )
    return lines + [wrapper, 'chmod 700 "$TARGET/bin/python"']


_BUILDERS = {"venv": _venv, "uv": _uv, "conda": _conda, "container": _container_image}
