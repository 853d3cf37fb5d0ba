"""Writes docs/git-cj.1 (``python -m cjledger.cli.manpage``) and docs/commands.md (``… --markdown``)."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from cjledger import __version__
from cjledger.cli.app import command
from cjledger.cli.manual import INTRODUCTION, Page, page
from cjledger.cli.verbs import GROUPS, VERBS

_LEAD = (
    "git cj launches computational experiments. A launch makes one git commit of the working copy exactly as "
    "it stands, with all that is needed to run it again: the package. Its hash is the experiment's name on "
    "this machine, on the cluster, in the results and in the paper. Launching changes no file of yours, not "
    "HEAD, not the index, not the stash.",
    INTRODUCTION,
    "Results go to standard output, everything else to standard error. With --json each result is one JSON "
    "object a line; keys keep their names and meaning, and further keys may be added at the end.",
)

_LAUNCHED = '{"package":…,"ref":…,"tasks":N,"cluster":…,"jobs":[…],"waiting":"for what, or nothing"}'
_HERE = '{"path":…,"written":true} for each new file; false where one with other content was kept'

# What --json prints, a line each.
JSON: dict[str, tuple[str, ...]] = {
    "run": (
        _LAUNCHED,
        'with --dry-run {"tasks":N,"changed_files":N,"new_files":N}, then {"task":k,"params":{…}} for each',
    ),
    "extend": (_LAUNCHED,),
    "submit": (_LAUNCHED,),
    "state": (
        '{"package":…,"cluster":…,"program":…,"tasks":N,"counts":{"COMPLETED":…},"final":true,'
        '"reasons":{"why tasks wait":N},"problems":[…]}, where a script runs after them "then":{…} of the '
        'same form; with --watch also "workers":N that run',
        'with --tasks or --state, instead, for each task {"task":…,"attempt":…,"state":…,"job":…,'
        '"exit_code":…,"started":…,"ended":…,"host":…,"max_rss_mb":…,"params":{…},"error":…,"note":…,'
        '"earlier":[{"attempt":1,"state":…,…},…]}',
    ),
    "log": (
        '{"package":…,"date":…,"author":…,"agent":…,"cluster":…,"program":…,"tasks":N,"counts":{…} or null,'
        '"message":…,"forgotten":false,"submitted":true,"then":… or null,"after":["package:ok",…]}',
    ),
    "show": ("the manifest; for a task its package, task, seed, last record, earlier attempts and params",),
    "errors": (
        '{"package":…,"state":…,"error":…,"tasks":"3,5-9","count":N,"example":k,"attempt":a,"params":{…},'
        '"said":"traceback","variables":…,"recorded":bool} for each group',
    ),
    "ls": ('{"package":…,"task":…,"attempt":…,"path":…,"bytes":…,"sha256":…} for each file',),
    "get": (_HERE,),
    "gather": (_HERE,),
    "harvest": ('{"package":…,"attempts":N,"rows":N,"tasks_in":N,"tasks":N,"broken":["what and why",…]}',),
    "reduce": ("the table's rows",),
    "query": ("the answer's rows",),
    "plot": ('{"points":N,"path":… or null}',),
    "sanity": ('{"task":…,"state":…,"lines":N or null,"why":…} for each task that is odd',),
    "cancel": ('{"package":…,"cancelled":N}',),
    "retry": ('{"package":…,"submission":n,"attempt":a,"tasks":"3,5-9","count":N,"job":…}',),
    "rerun": ('{"package":…,"submission":n,"attempt":a,"tasks":"3,5-9","count":N,"job":…}',),
    "hold": ('{"package":…,"jobs":[…]}',),
    "release": ('{"package":…,"jobs":[…]}',),
    "pause": ('{"package":…,"paused":true,"jobs":[…]}',),
    "resume": ('{"package":…,"paused":false,"jobs":[…]}',),
    "init": (
        '{"cluster":…,"was":"set up", "upgraded" or "checked","host":…,"root":…,"scheduler":…,'
        '"versions":{…},"limits":{"array":…,"queued":…,"present":N},"path":[…],"environment":{…},'
        '"modules":bool}',
    ),
    "doctor": (
        '{"where":"here" or the cluster,"check":…,"state":"ok", "warning" or "failure","found":…,'
        '"advice":…} for each point',
    ),
    "avail": ('{"cluster":…,"command":… or null,"modules":[…]}',),
    "summary": (
        '{"package":…,"jobs":[…],"counts":{"PENDING":…},"reasons":{…}} for each package',
        'last {"other":N or null,"backlog":N,"limits":{…}}',
    ),
    "sync": ('{"remote":…,"brought":{"packages":N,"results":N,"ledgers":N},"sent":{…},"refused":["why",…]}',),
    "workers": (
        '{"package":…,"worker":n,"state":…,"job":…,"host":…,"block":…,"task":…,"done":N,'
        '"silent_s":…} for each',
        'last, with +N or -N, {"package":…,"jobs":[…],"stopped":"3,5-9"}',
    ),
    "recover": ('{"package":…,"blocks":N,"doubtful":N,"workers":N}',),
    "clean": ('{"package":…,"freed":bytes,"lost":[…]}',),
    "checkout": ('{"package":…,"path":…}',),
    "diff": ('{"section":…,"name":…,"before":…,"after":…} for each difference',),
    "fsck": ('{"kind":…,"where":…,"what":…} for each problem',),
    "config": ("the configuration in one object", 'with import {"file":…,"clusters":[…],"notes":[…]}'),
    "connect": ('{"cluster":…,"state":…,"host":…}',),
    "who": ('{"author":…,"agent":…,"version":…,"python":…,"git":…,"repository":…}',),
}
for _same in ("parrun", "deploy", "pardeploy"):
    JSON[_same] = JSON["run"]

_CODES = (
    ("0", "Done."),
    ("1", "Refused: standard error says what happened (error:) and the next command to type (hint:)."),
    ("2", "The words on the command line do not fit together."),
    ("3", "A bug in git cj: the traceback is in the file that is named."),
    ("4", "--wait: a task did not complete; git cj errors groups what went wrong."),
    ("130", "Interrupted with Ctrl-C."),
    ("141", "Whoever read the output stopped reading."),
)
_ENVIRONMENT = (
    ("XDG_CONFIG_HOME", "Where cjledger/config.toml is looked for; ~/.config where it is unset."),
    ("NO_COLOR", "Set to anything: no colours. TERM=dumb means the same, and no redrawing."),
    ("COLUMNS", "How wide output may be; a terminal's width, or 80, where it is unset."),
    ("VIRTUAL_ENV", "The Python environment that local tasks run in."),
)
_FILES = (
    (".cjledger.toml", "The repository's configuration."),
    ("~/.config/cjledger/config.toml", "The person's configuration, which goes over it."),
    ("<git dir>/cj", "What the tool keeps beside the repository; packages and results are git objects."),
)


def roff() -> str:
    """The man page."""
    lines = [
        f'.TH GIT\\-CJ 1 "" "git\\-cj {__version__}" "cjledger manual"',
        ".SH NAME",
        "git\\-cj \\- launch, watch, harvest and reproduce computational experiments",
        ".SH SYNOPSIS",
        ".B git cj\n.I VERB\n[\\fIWORDS\\fR]",
        ".SH DESCRIPTION",
    ]
    for paragraph in _LEAD:
        lines += [".PP", _roff(paragraph)]
    for title, group in _pages():
        lines.append(f".SH {title.upper()}")
        for each in group:
            lines += _roff_page(each)
    for title, pairs in (("EXIT STATUS", _CODES), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for term, text in pairs:
            lines += [".TP", f".B {_roff(term)}", _roff(text)]
    lines += [".SH SEE ALSO", ".BR git (1),", ".BR git\\-log (1),", ".BR git\\-worktree (1)"]
    return "\n".join(lines) + "\n"


def _roff_page(page: Page) -> list[str]:
    lines = [f".SS {_roff(f'git cj {page.verb.name} {page.verb.usage}'.rstrip())}"]
    for paragraph in page.paragraphs:
        if paragraph.startswith("  "):
            lines += [".PP", ".nf", *[_roff(line) for line in paragraph.splitlines()], ".fi"]
        else:
            lines += [".PP", _roff(" ".join(paragraph.split()))]
    for word in (*page.arguments, *page.options):
        lines += [".TP", f".B {_roff(word.label)}", _roff(word.text)]
    if page.verb.name in JSON:
        # \\: lets a line break where JSON has no blank; ragged, since such lines cannot be justified.
        broken = [_roff(line).replace(",", ",\\:") for line in JSON[page.verb.name]]
        lines += [".PP", ".na", "JSON:", *[f".br\n{line}" for line in broken], ".ad"]
    return lines


def _roff(text: str) -> str:
    """Text that roff takes as it is: no control lines, no escapes, ASCII."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found.group()):04X}]", escaped)
    return "\\&" + escaped if escaped.startswith((".", "'", '"', " ")) else escaped


def markdown() -> str:
    """docs/commands.md."""
    lines = ["# Commands", "", *[text for paragraph in _LEAD for text in (paragraph, "")]]
    lines += [
        "This page and the man page are generated from the program by `python -m cjledger.cli.manpage`.",
        "",
    ]
    for title, group in _pages():
        lines += [f"## {title}", ""]
        for each in group:
            lines += _markdown_page(each)
    for title, pairs in (("Exit status", _CODES), ("Environment", _ENVIRONMENT), ("Files", _FILES)):
        lines += [f"## {title}", "", *_table([(f"`{term}`", text) for term, text in pairs]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_page(page: Page) -> list[str]:
    usage = f"git cj {page.verb.name} {page.verb.usage}".rstrip()
    lines = [f"### `git cj {page.verb.name}`", "", "```text", usage, "```", ""]
    for paragraph in page.paragraphs:
        if paragraph.startswith("  "):
            lines += ["```text", *[line[2:] for line in paragraph.splitlines()], "```", ""]
        else:
            lines += [_cell(" ".join(paragraph.split())), ""]
    words = [(f"`{word.label}`", word.text) for word in (*page.arguments, *page.options)]
    lines += [*_table(words), ""]
    if page.verb.name in JSON:
        lines += ["JSON:", "", "```text", *JSON[page.verb.name], "```", ""]
    return lines


def _table(pairs: Sequence[tuple[str, str]]) -> list[str]:
    rows = [f"| {term.replace('|', chr(92) + '|')} | {_cell(text)} |" for term, text in pairs]
    return ["| | |", "|---|---|", *rows]


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)


def _pages() -> list[tuple[str, list[Page]]]:
    """All verbs' pages, by group."""
    return [
        (title, [page(command(verb.name), VERBS[verb.name]) for verb in verbs]) for title, verbs in GROUPS
    ]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(markdown() if sys.argv[1:] == ["--markdown"] else roff())
