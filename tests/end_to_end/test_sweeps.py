"""Programs of every kind over sweeps of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.shells import Shell

FUNCTION = "def fit(a, b=2):\n    return {'sum': a + b, 'half': a / 2}\n"


def table(shell: Shell, *words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in shell.cj("reduce", *words, "--json").splitlines()]


def without_keys(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k not in ("cj_package", "cj_attempt")} for row in rows]


def test_a_function_gets_a_point_as_keywords_and_returns_rows(shell: Shell) -> None:
    shell.write("model.py", FUNCTION)
    shell.launch("run", "model.py:fit", "local", "--sweep", "a=1:3", "--sweep", "b=10,20")
    assert without_keys(table(shell)) == [
        {"cj_task": 2 * i + j + 1, "a": a, "b": b, "sum": a + b, "half": a / 2}
        for i, a in enumerate((1, 2, 3))
        for j, b in enumerate((10, 20))
    ]


def test_a_script_gets_a_point_as_arguments_and_variables(shell: Shell) -> None:
    shell.write(
        "s.py",
        "import os, sys\n"
        "row = (' '.join(sys.argv[1:]), os.environ['CJ_PARAM_x'])\n"
        "open('o.csv', 'w').write('given,variable\\n%s,%s\\n' % row)\n",
    )
    shell.launch("run", "s.py", "local", "--sweep", "x=0.1:0.1:0.3", "--", "--mine")
    assert [row["given"] for row in table(shell)] == ["--mine --x 0.1", "--mine --x 0.2", "--mine --x 0.3"]
    assert [row["variable"] for row in table(shell)] == [0.1, 0.2, 0.3]


def test_a_template_gets_a_point_quoted_safely(shell: Shell) -> None:
    shell.write("points.csv", "name,n\nit's; rm -rf *,1\n$(id) `id`,2\n")
    shell.launch("run", "-c", "printf '%s\\n' {name} {n} > said.txt", "local", "--points", "points.csv")
    assert shell.cj("show", "@/1/said.txt") == "it's; rm -rf *\n1\n"
    assert shell.cj("show", "@/2/said.txt") == "$(id) `id`\n2\n"
    assert (shell.folder / "points.csv").exists()


def test_replicates_have_their_own_seeds(shell: Shell) -> None:
    shell.write("r.py", "import random\ndef draw():\n    return random.random()\n")
    shell.launch("run", "r.py:draw", "local", "--repeat", "5", "--seed", "3")
    values = {row["value"] for row in table(shell)}
    assert len(values) == 5
    assert [row["cj_repeat"] for row in table(shell)] == [1, 2, 3, 4, 5]


def test_blocks_are_a_union_without_the_stop_list(shell: Shell) -> None:
    shell.write("model.py", FUNCTION)
    blocks = {"blocks": [{"a": [1, 2], "b": [1, 2]}, {"a": [9], "b": [9]}], "stop_list": [{"a": 1, "b": 2}]}
    shell.write("blocks.json", json.dumps(blocks))
    shell.launch("run", "model.py:fit", "local", "--blocks", "blocks.json")
    assert [(row["a"], row["b"]) for row in table(shell)] == [(1, 1), (2, 1), (2, 2), (9, 9)]


def test_a_dry_run_shows_all_and_writes_nothing(shell: Shell) -> None:
    shell.write("model.py", FUNCTION)
    before = shell.git("count-objects")
    lines = shell.lines("run", "model.py:fit", "local", "--sweep", "a=1:3", "--dry-run")
    assert lines[0] == {"tasks": 3, "changed_files": 0, "new_files": 1}
    assert lines[1:] == [{"task": k, "params": {"a": k}} for k in (1, 2, 3)]
    assert "reproduce" in shell.cj("run", "model.py:fit", "local", "--sweep", "a=1:3", "--dry-run")
    words = ("run", "model.py:fit", "local", "--sweep", "a=1:3", "--dry-run")
    done = shell.run("git", "cj", *words, "--reuse")
    assert "found at the launch" in done.stderr
    assert "1234abcd" in shell.refused(*words, "--after", "1234abcd")
    shell.write(".env", "TOKEN=1\n")
    assert ".env" in shell.refused(*words)
    done = shell.run("git", "cj", *words, "--allow-secret", ".env")
    assert "2 new" in done.stdout
    (shell.folder / "out").symlink_to("/etc/passwd")
    assert "leads out of the package" in shell.refused(*words, "--allow-secret", ".env")
    (shell.folder / "out").unlink()
    shell.run("git", "init", "-q", "nested")
    shell.write("nested/file", "x")
    assert "nested" in shell.refused(*words, "--allow-secret", ".env")
    assert shell.git("count-objects") == before
    assert shell.git("for-each-ref", "refs/cj") == ""
    assert [path for path in (shell.folder / ".git/cj").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("configured", "words"), [(2, ("--gpus", "0")), (0, ())])
def test_no_graphics_processor_can_be_asked_for(
    shell: Shell, configured: int, words: tuple[str, ...]
) -> None:
    shell.write("model.py", FUNCTION)
    shell.write(".cjledger.toml", f"[cluster.local.resources]\ngpus = {configured}\ncpus = 2\n")
    shell.launch("run", "model.py:fit", "local", "--sweep", "a=1", *words)
    found = shell.lines("show")[0]["resources"]
    assert (found["gpus"], found["cpus"]) == (None, 2)


def test_a_deployed_package_is_sent_later(shell: Shell) -> None:
    shell.write("model.py", FUNCTION)
    deployed = shell.lines("deploy", "model.py:fit", "local", "--sweep", "a=1:3")[0]
    assert deployed["jobs"] == []
    assert "3 tasks: not submitted\n" in shell.cj("log")
    assert shell.lines("log")[0]["submitted"] is False
    assert shell.lines("state")[0]["counts"] == {"PENDING": 3}
    assert shell.lines("state", "--all", "--watch")[0]["final"] is False  # what was not sent does not end
    shell.cj("submit", deployed["package"][:8])
    assert "not asked yet" in shell.cj("log")
    assert shell.lines("log")[0]["submitted"] is True
    shell.cj("state", "@", "--watch")
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 3}


def test_modules_beside_the_program_and_ignored_ones_by_dep_are_importable(
    shell: Shell, tmp_path: Path
) -> None:
    shell.write(".gitignore", "generated/\n")
    shell.write("beside.py", "x = 1\n")
    shell.write("generated/gen.py", "y = 2\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/out.py").write_text("z = 3\n")
    shell.write("sub/m.py", "def f():\n    import gen, out, near\n    return gen.y + out.z + near.w\n")
    shell.write("sub/near.py", "w = 4\n")
    shell.launch("run", "sub/m.py:f", "local", "--dep", "generated", "--dep", str(tmp_path / "outside"))
    assert table(shell)[0]["value"] == 9


def test_a_script_and_a_command_import_from_dep_folders_inside_and_outside_the_repository(
    shell: Shell, tmp_path: Path
) -> None:
    shell.write(".gitignore", "generated/\n")
    shell.write("generated/gen.py", "y = 2\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/out.py").write_text("z = 3\n")
    shell.write("p.py", "import gen, out, sys\nassert '' not in sys.path\nprint(gen.y + out.z)\n")
    deps = ("--dep", "generated", "--dep", str(tmp_path / "outside"))
    shell.launch("run", "p.py", "local", *deps)
    assert shell.cj("show", "@/1", "--out") == "5\n"
    shell.launch("run", "-c", "python3 -c 'import gen, out; print(gen.y + out.z)'", "local", *deps)
    assert shell.cj("show", "@/1", "--out") == "5\n"


def test_loops_over_what_a_dep_folder_outside_the_repository_says_are_found(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/out.py").write_text("values = [3, 4]\n")
    shell.write("p.py", "import out\nfor k in out.values:\n    print(k)\n")
    shell.launch("parrun", "p.py", "local", "--dep", str(tmp_path / "outside"))
    assert shell.cj("show", "@/2", "--out") == "4\n"


def test_relative_inputs_resolve_and_relative_outputs_do_not_collide(shell: Shell) -> None:
    shell.write("data/in.txt", "41\n")
    shell.write(
        "p.py",
        "import sys\nx = int(open('data/in.txt').read()) + int(sys.argv[-1])\n"
        "open('data/out.csv', 'w').write(f'y\\n{x}\\n')\n",
    )
    shell.launch("run", "p.py", "local", "--sweep", "x=1:4")
    assert [row["y"] for row in table(shell, "data/out.csv")] == [42, 43, 44, 45]


def test_results_of_an_earlier_run_in_the_folder_do_not_leak_into_tasks(shell: Shell) -> None:
    shell.write("p.py", "import sys\nopen('results.txt', 'a').write(sys.argv[-1] + '\\n')\n")
    shell.write("results.txt", "99\n")
    shell.launch("run", "p.py", "local", "--sweep", "x=1:3")
    assert shell.cj("show", "@/2/results.txt") == "2\n"


def test_a_table_too_large_to_keep_gives_its_rows_all_the_same(shell: Shell) -> None:
    rows = "''.join(f'{i},{i:060d}\\n' for i in range(80_000))"
    shell.write("big.py", f"open('o.csv', 'w').write('n,text\\n' + {rows})\n")
    shell.launch("run", "big.py", "local")
    answer = shell.lines("query", "SELECT COUNT(*) AS rows, MAX(n) AS last FROM results")
    assert answer == [{"rows": 80_000, "last": 79_999}]
    assert shell.cj("show", "@/1/o.csv").count("\n") == 80_001
