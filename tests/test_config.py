"""The configuration: merged, strict, every fault at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cjledger import config
from cjledger.config import Config, Limits
from cjledger.errors import CjError
from cjledger.model import Cluster, Data, Resources
from cjledger.schema import SCHEMA, Schema, flatten

EXAMPLE = Path(__file__).parent.parent / ".cjledger.toml.example"


def _load(folder: Path, repository: str = "", person: str = "") -> Config:
    (folder / ".cjledger.toml").write_text(repository)
    (folder / "config.toml").write_text(person)
    return config.load(folder, folder / "config.toml")


def _refusal(folder: Path, repository: str = "", person: str = "") -> str:
    with pytest.raises(CjError) as caught:
        _load(folder, repository, person)
    return caught.value.message


def test_without_files_the_defaults_are_in_force(tmp_path: Path) -> None:
    assert config.load(tmp_path, tmp_path / "none.toml") == Config()
    assert Config().limits == Limits(1_000_000, 10, 200)


def test_the_person_s_keys_go_over_the_repository_s_one_by_one(tmp_path: Path) -> None:
    repository = """
        default_cluster = "mine"
        [limits]
        max_tasks = 10
        file_mb = 1
        [cluster.mine]
        root = "/a"
        python = "python3.9"
        [cluster.mine.resources]
        cpus = 2
        memory = "1G"
    """
    person = """
        [limits]
        file_mb = 2
        [cluster.mine]
        root = "/b"
        alloc = ["-p short"]
        resources.memory = "2G"
        [cluster.other]
    """
    found = _load(tmp_path, repository, person)
    assert found == Config(
        clusters={
            "mine": Cluster(
                "mine",
                root="/b",
                python="python3.9",
                resources=Resources(cpus=2, memory_mb=2048, alloc=("-p short",)),
            ),
            "other": Cluster("other"),
        },
        limits=Limits(10, 2, 200),
        default_cluster="mine",
        sources=(str(tmp_path / ".cjledger.toml"), str(tmp_path / "config.toml")),
    )


def test_every_unknown_key_of_both_files_is_named_with_the_nearest(tmp_path: Path) -> None:
    message = _refusal(
        tmp_path,
        'default_clutser = "local"\n[limits]\nmax_task = 3\n[cluster.a.resources]\nmemmory = "1G"\nzzz = 1',
        '[cluster.a]\nshceduler = "slurm"\n',
    )
    repository, person = tmp_path / ".cjledger.toml", tmp_path / "config.toml"
    assert message.splitlines() == [
        "the configuration has 5 faults:",
        f"  {repository}: unknown key default_clutser (did you mean default_cluster?)",
        f"  {repository}: unknown key limits.max_task (did you mean max_tasks?)",
        f"  {repository}: unknown key cluster.a.resources.memmory (did you mean memory?)",
        f"  {repository}: unknown key cluster.a.resources.zzz",
        f"  {person}: unknown key cluster.a.shceduler (did you mean scheduler?)",
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[cluster.a]\ndefault_cluster = 'a'", "default_cluster"),
        ("[cluster.a]\nwalltime = '1h'", "cluster.a.resources.walltime"),
        ("[cluster.a.resources]\nmax_job = 2", "cluster.a.max_jobs"),
        ("host = 'x'", "cluster.NAME.host"),
    ],
)
def test_a_key_in_another_table_is_told_where_it_belongs(tmp_path: Path, text: str, meant: str) -> None:
    assert f"(did you mean {meant}?)" in _refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits.max_tasks = 0", "limits.max_tasks must be a whole number, 1 or more"),
        ("limits.max_tasks = true", "limits.max_tasks must be a whole number"),
        ("limits.max_tasks = '3'", "limits.max_tasks must be a whole number"),
        ("limits = 3", "limits must be a table: [limits]"),
        ("cluster = []", "cluster must be a table"),
        ("a = " + "[" * 5000, "is nested too deep"),
        ("a = " + "9" * 5000, "Exceeds the limit"),
        ("cluster.a = 1", "cluster.a must be a table: [cluster.a]"),
        ("cluster.'../x' = {}", "is not a name"),
        ("cluster.'*' = {}", "is not a name"),
        ("'*' = 1", "unknown key *"),
        ("default_cluster = 3", "default_cluster must be a text"),
        ("program.outputs = 'a'", "program.outputs must be a list of texts"),
        ("program.outputs = ['a', 1]", "program.outputs must be a list of texts"),
        ("cluster.a.scheduler = 'slrum'", "must be one of local, slurm"),
        ("cluster.a.scheduler = 'slrum'", "did you mean slurm?"),
        ("cluster.a.scheduler = ['slurm']", "must be one of local, slurm"),
        ("cluster.a.root = 'here'", "cluster.a.root must be an absolute path"),
        ("cluster.a.host = '-oProxyCommand=x'", "cluster.a.host must be a host's name"),
        ("cluster.a.host = 'a b'", "cluster.a.host must be a host's name"),
        ("cluster.a.host = 'a;id'", "cluster.a.host must be a host's name"),
        ("cluster.a.host = 'a$(id)'", "cluster.a.host must be a host's name"),
        ("cluster.a.user = '-oProxyCommand=x'", "cluster.a.user must be a login name"),
        ('cluster.a.user = "a\\nb"', "cluster.a.user must be a login name"),
        ('cluster.a.setup = ["a\\u001bb"]', "must be a text without control characters"),
        ("cluster.a.resources.memory = 'lots'", "memory 'lots' is not an amount of memory"),
        ("cluster.a.resources.walltime = 'x'", "walltime 'x' is not a length of time"),
        ("cluster.a.resources.memory = 1.5", "memory must be a text or a whole number"),
        ("cluster.a.resources.gpus = -1", "gpus must be a whole number"),
        ("default_cluster = 'locla'", "there is no cluster locla (did you mean local?)"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(tmp_path: Path, text: str, words: str) -> None:
    assert words in _refusal(tmp_path, text)


def test_a_syntax_error_names_file_and_line_beside_the_other_file_s_faults(tmp_path: Path) -> None:
    message = _refusal(tmp_path, 'default_cluster = "local"\n[limits]\nmax_tasks = = 3\n', "nope = 1")
    assert f"{tmp_path / '.cjledger.toml'}: " in message
    assert "line 3" in message
    assert "unknown key nope" in message


def test_a_file_that_is_not_text_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".cjledger.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(CjError) as caught:
        config.load(tmp_path, tmp_path / "config.toml")
    assert "is not UTF-8 text" in caught.value.message
    assert "Is a directory" in caught.value.message


def test_local_is_there_without_being_configured(tmp_path: Path) -> None:
    assert config.cluster(Config(), "local", tmp_path) == Cluster("local", root=str(tmp_path / "local"))


def test_local_keeps_what_its_table_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/mia")
    found = _load(tmp_path, '[cluster.local]\nroot = "~/cj"\nresources.jobs = 3')
    expected = Cluster("local", root="/home/mia/cj", resources=Resources(jobs=3))
    assert config.cluster(found, "local", tmp_path) == expected


def test_an_unknown_cluster_lists_the_known_ones(tmp_path: Path) -> None:
    found = _load(tmp_path, "[cluster.sherlock]\nhost = 'sherlock'\n[cluster.here]")
    with pytest.raises(CjError) as caught:
        config.cluster(found, "sherlok", tmp_path)
    assert caught.value.message == "there is no cluster sherlok (did you mean sherlock?)"
    assert caught.value.hint.startswith("one of: local, here, sherlock;")


def test_a_cluster_reached_by_ssh_has_a_root_below_the_home_there(tmp_path: Path) -> None:
    found = config.cluster(
        _load(tmp_path, "[cluster.far]\nhost = 'login'\nscheduler = 'sge'\n"), "far", tmp_path
    )
    assert (found.host, found.scheduler, found.root) == ("login", "sge", ".cjledger")


def test_a_root_that_a_shell_there_would_read_is_refused(tmp_path: Path) -> None:
    written = _load(tmp_path, "[cluster.far]\nhost = 'login'\nroot = '/x;id'\n")
    with pytest.raises(CjError, match="characters other than"):
        config.cluster(written, "far", tmp_path)


def test_data_is_merged_path_by_path_and_a_cluster_has_its_own(tmp_path: Path) -> None:
    written = _load(
        tmp_path,
        '[data]\n"in/a" = "/a"\n"in/b" = { path = "~/b", hash = true }\n'
        '[cluster.far]\nhost = "far"\n[cluster.far.data]\n"in/a" = "/far/a"\n',
    )
    assert written.data == (Data("in/a", "/a"), Data("in/b", "~/b", True))
    assert config.cluster(written, "far", tmp_path).data == (Data("in/a", "/far/a"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"../x" = "/x"', "'data.../x' is not a path inside the repository"),
        ('"/x" = "/x"', "is not a path inside the repository"),
        ('"a//b" = "/x"', "is not a path inside the repository"),
        ('".git/x" = "/x"', "is not a path inside the repository"),
        ('"a\\nb" = "/x"', "is not a path inside the repository"),
        ('x = "relative"', "data.x must be an absolute path"),
        ("x = 3", "data.x must be a path on the cluster, or"),
        ('x = { path = "/x", hsh = true }', "data.x must be a path on the cluster, or"),
        ('x = { path = "/x", hash = "yes" }', "data.x must be a path on the cluster, or"),
        ("x = { hash = true }", "data.x must be a text"),
    ],
)
def test_data_that_could_escape_is_a_fault(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CjError) as refused:
        _load(tmp_path, f"[data]\n{text}\n")
    assert words in refused.value.message


def _keys(schema: Schema, at: str = "") -> set[str]:
    names: set[str] = set()
    for key, reader in schema.items():
        names |= _keys(reader, f"{at}{key}.") if isinstance(reader, dict) else {at + key}
    return names


def test_the_example_loads_and_shows_every_key(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    found = _load(tmp_path, text)
    assert set(found.clusters) == {"local", "sherlock"}
    values = flatten(tomllib.loads(text), "example", [])
    found_at = [("cluster", "*", *path[2:]) if path[0] == "cluster" else path for path in values]
    shown = {".".join((*path[:-1], "**") if "data" in path[:-1] else path) for path in found_at}
    assert shown - {"cluster.*"} == _keys(SCHEMA)


def test_the_manual_explains_every_key() -> None:
    manual = (EXAMPLE.parent / "docs" / "configuration.md").read_text()
    for key in _keys(SCHEMA):
        assert f"`{key.removesuffix('.**').rpartition('.')[2]}`" in manual or key == "data.**", key


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/cjledger/config.toml"),
        ({"HOME": "/h"}, "/h/.config/cjledger/config.toml"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/cjledger/config.toml"),
        ({"XDG_CONFIG_HOME": "", "HOME": "/h"}, "/h/.config/cjledger/config.toml"),
    ],
)
def test_the_person_s_file_follows_xdg(environment: dict[str, str], path: str) -> None:
    assert config.person_file(environment) == Path(path)
