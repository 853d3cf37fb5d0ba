"""What TAB offers after git cj, asked of the module and through the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cjledger.cli import main
from cjledger.cli.app import command
from cjledger.cli.completion import SHELLS, offers, script
from cjledger.cli.manual import page
from cjledger.cli.verbs import VERBS

GIT_COMPLETION = Path("/usr/share/bash-completion/completions/git")


def _shown(*words: str) -> str:
    return subprocess.run(("git-cj", "_complete", *words), capture_output=True, text=True).stdout


def _words(*before: str) -> list[str]:
    return [word for word, _ in offers(before)]


def test_completion_offers_verbs() -> None:
    assert _words("st") == ["state"]
    assert _words("") == list(VERBS)
    assert _words() == list(VERBS)
    assert _words("--v") == ["--version"]
    assert _words("nonsense", "") == []


def test_completion_offers_options_and_their_values(repository: Path) -> None:
    assert _words("state", "--w") == ["--watch"]
    assert _words("log", "--cluster", "") == ["local"]
    assert _words("state", "--state", "F") == ["FAILED"]
    assert _words("run", "--points", "") == []
    assert _words("run", "a.py", "local", "--", "--se") == []


def test_completion_offers_clusters_where_they_stand(repository: Path) -> None:
    (repository / ".cjledger.toml").write_text("[cluster.sherlock]\nhost = 'login'\n")
    assert _words("run", "a.py", "") == ["local", "sherlock"]
    assert _words("run", "-m", "why", "a.py", "s") == ["sherlock"]
    assert _words("run", "-c", "echo {x}", "") == ["local", "sherlock"]
    assert _words("run", "a") == []
    assert _words("run", "a.py", "local", "") == []


def _git(*words: str) -> str:
    done = subprocess.run(("git", *words), input="", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_completion_offers_packages_by_their_first_digits(repository: Path) -> None:
    tree = _git("mktree")
    found = {subject: _git("commit-tree", tree, "-m", subject) for subject in ("first", "second \x1b[31m")}
    for name in found.values():
        _git("update-ref", f"refs/cj/packages/{name}", name)
    short = {name[:12] for name in found.values()}
    for verb in ("state", "show", "diff", "checkout", "reduce"):
        before = ("results.txt",) if verb == "reduce" else ()
        assert set(_words(verb, *before, "")) == short
    assert _words("state", found["first"][:6]) == [found["first"][:12]]
    assert _words("gather", "a", "b", found["first"][:6]) == [found["first"][:12]]
    assert _words("state", "zz") == []
    assert "second" in _shown("state", "")
    assert "\x1b" not in _shown("state", "")


def test_completion_offers_packages_wherever_one_is_named(repository: Path) -> None:
    name = _git("commit-tree", _git("mktree"), "-m", "first")
    _git("update-ref", f"refs/cj/packages/{name}", name)
    places = [
        (verb, at)
        for verb in VERBS
        for at, word in enumerate(page(command(verb), VERBS[verb]).arguments)
        if word.spelling[0].startswith(("PID", "[FILE] [PID"))
    ]
    assert [place for place in places if _words(place[0], *["x"] * place[1], "") != [name[:12]]] == [
        ("reduce", 0)
    ]
    assert _words("run", "--after", "") == [name[:12]]


def test_completion_outside_a_repository_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _words("state", "") == []
    assert _words("run", "a.py", "") == ["local"]


def _bash(code: str) -> list[str]:
    done = subprocess.run(("bash", "--norc", "-c", code), capture_output=True, text=True)
    assert done.stderr == ""
    return [line.rstrip() for line in done.stdout.splitlines()]


@pytest.mark.skipif(not GIT_COMPLETION.exists(), reason="git's bash completion is not installed")
def test_bash_completes_after_git_cj_by_git_s_own_completion(repository: Path) -> None:
    ask = f"""
        source {GIT_COMPLETION}
        eval "$(git-cj completion bash)"
        ask () {{
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}
            COMPREPLY=()
            __git_wrap__git_main
            printf "%s\\n" "${{COMPREPLY[@]}}"
        }}
    """
    assert _bash(f"{ask}ask git cj st") == ["state"]
    assert _bash(f"{ask}ask git cj state --wa") == ["--watch"]
    assert _bash(f"{ask}ask git cj run a.py ''") == ["local"]
    assert _bash(f"{ask}ask git -C . cj wh") == ["who"]
    assert "cj" in _bash(f"{ask}ask git c")


def test_bash_completes_git_cj_by_itself(repository: Path) -> None:
    ask = (
        'eval "$(git-cj completion bash)"; COMP_WORDS=(git-cj sanity e); COMP_CWORD=2\n'
        '_git_cj_alone; printf "%s\\n" "${COMPREPLY[@]}"; complete -p git-cj'
    )
    assert _bash(ask)[0] == "exists"
    assert "_git_cj_alone git-cj" in _bash(ask)[1]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(repository: Path) -> None:
    code = "git-cj completion fish | source; complete -C 'git cj st'; complete -C 'git-cj run a.py '"
    done = subprocess.run(("fish", "-c", code), capture_output=True, text=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["state", "local"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_reads_its_script(repository: Path) -> None:
    path = repository / "_git-cj"
    path.write_text(script("zsh"))
    done = subprocess.run(("zsh", "-f", "-n", str(path)), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "git-cj _complete" in capsys.readouterr().out
