"""`perennial demo`: the story told, and a folder that is nobody else's."""

import re
from pathlib import Path

import pytest

from tests.workers.test_cli import perennial, said
from workers.process import DirectoryLock

pytestmark = pytest.mark.slow


def test_tells_the_story_in_names_and_labelled_times_over_what_a_killed_demo_left(tmp_path: Path):
    (tmp_path / "demo.txt").write_text("Made by `perennial demo`.\n")
    (tmp_path / "stack.json").write_text('{"pid": 1}')
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "cluster").write_text("half a cluster")
    done = perennial("demo", "--data-dir", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "times are UTC" in done.stdout
    assert "issued_at (UTC)" in done.stdout
    assert re.search(r"payment\.failed  invoice IW-\d+-000002, amount 73\.19", done.stdout)
    assert "inv_" not in done.stdout
    assert "The books balance." in done.stdout
    assert not (tmp_path / "stack.json").exists()


def test_refuses_the_folder_of_one_that_runs_and_leaves_it_alone(tmp_path: Path):
    (tmp_path / "demo.txt").write_text("Made by `perennial demo`.\n")
    (tmp_path / "stack.json").write_text('{"pid": 1}')
    running = DirectoryLock(tmp_path)
    running.acquire()
    try:
        assert "is in use by another process" in said(perennial("demo", "--data-dir", str(tmp_path)), 1)
    finally:
        running.release()
    assert (tmp_path / "stack.json").read_text() == '{"pid": 1}'
