"""docs/clusters.md: its tables are read as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cjledger import config
from cjledger.model import Cluster
from cjnode.schedulers import JobSpec, batch_script
from cjnode.vocabulary import SCHEDULERS

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"


def tables() -> list[str]:
    """The indented blocks that begin with a table."""
    blocks = re.findall(r"(?:^ {4,}.*\n|^\n)+", PAGE.read_text(), re.M)
    texts = [re.sub(r"^ +", "", block, flags=re.M).strip() + "\n" for block in blocks]
    return [text for text in texts if text.startswith("[cluster")]


def read(tmp_path: Path, text: str) -> Cluster:
    (tmp_path / ".cjledger.toml").write_text(text)
    found = config.load(tmp_path, tmp_path / "none")
    (name,) = found.clusters
    return config.cluster(found, name, tmp_path)


@pytest.mark.parametrize("text", tables())
def test_each_table_is_a_cluster_whose_flags_make_a_script(tmp_path: Path, text: str) -> None:
    cluster = read(tmp_path, text)
    assert cluster.host
    asked = {"alloc": list(cluster.resources.alloc)}
    assert batch_script(cluster.scheduler, JobSpec("python3", [], asked)).startswith("#!/bin/sh\n")


def test_every_scheduler_is_described(tmp_path: Path) -> None:
    shown = {read(tmp_path, text).scheduler for text in tables()}
    assert shown == set(SCHEDULERS) - {"local", "torque"}


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([a-z/.]+\.md)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
