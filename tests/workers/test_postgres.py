import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.workers.processes import AS_NOBODY, ROOT_USER, Script, all_gone
from workers.postgres import EmbeddedPostgres
from workers.process import DirectoryInUse, StartFailed, free_port

pytestmark = pytest.mark.slow

HOLDS_A_SERVER = """
import asyncio, sys
from pathlib import Path
from workers.postgres import EmbeddedPostgres
import asyncpg

async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    await postgres.start()
    await postgres.create_database("books")
    connection = await asyncpg.connect(postgres.url("books").replace("+asyncpg", ""))
    await connection.execute("create table lines (text text)")
    await connection.execute("insert into lines values ('kept')")
    print(postgres.pid, flush=True)
    if "stay" in sys.argv:
        await asyncio.Event().wait()
    await postgres.stop()
    print("stopped", flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def running(data_dir: Path, *, port: int | None = None, durable: bool = False) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir, port=port, durable=durable)
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()


async def ask(postgres: EmbeddedPostgres, query: str, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(postgres.url(database).replace("+asyncpg", ""))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def write_a_line(postgres: EmbeddedPostgres, text: str) -> None:
    await postgres.create_database("books")
    await ask(postgres, "create table if not exists lines (text text)", "books")
    await ask(postgres, f"insert into lines values ('{text}')", "books")


async def the_lines(postgres: EmbeddedPostgres) -> list[str]:
    return await ask(postgres, "select array_agg(text order by text) from lines", "books")


async def test_it_starts_and_stops_and_leaves_no_process(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        assert await ask(postgres, "select 1") == 1
        pids = await ask(postgres, "select array_agg(pid) from pg_stat_activity")
        assert postgres.pid is not None
        pids.append(postgres.pid)
        assert len(pids) > 3
    assert postgres.pid is None
    await all_gone(pids)


async def test_it_stores_text_sorts_by_code_point_and_thinks_in_utc(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        assert await ask(postgres, "show server_encoding") == "UTF8"
        assert await ask(postgres, "select upper('grüße') || ('Z' < 'a')::text") == "GRÜßEtrue"
        assert await ask(postgres, "show timezone") == "UTC"


@pytest.mark.parametrize("durable", [True, False])
async def test_a_stopped_server_starts_again_with_its_data_on_the_same_port(tmp_path: Path, durable: bool):
    async with running(tmp_path / "pg", durable=durable) as postgres:
        port = postgres.port
        await write_a_line(postgres, "first")
        await ask(postgres, "checkpoint")
        await postgres.stop()
        await postgres.start()
        await write_a_line(postgres, "second")
        assert await the_lines(postgres) == ["first", "second"]
        assert postgres.port == port


async def test_killed_it_says_so_and_starts_again_with_all_that_was_committed(tmp_path: Path):
    async with running(tmp_path / "pg", durable=True) as postgres:
        await write_a_line(postgres, "kept")
        first = postgres.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await postgres.wait() == -signal.SIGKILL
        assert postgres.pid is None
        await postgres.start()
        assert postgres.pid != first
        assert await the_lines(postgres) == ["kept"]


async def test_killed_in_the_middle_of_a_statement_it_comes_back_when_that_has_ended(tmp_path: Path):
    async with running(tmp_path / "pg", durable=True) as postgres:
        busy = await asyncpg.connect(postgres.url("postgres").replace("+asyncpg", ""))
        await busy.execute("set client_min_messages = 'notice'")
        heard = asyncio.Event()
        busy.add_log_listener(lambda *_: heard.set())
        # A loop that looks at nothing: its backend does not notice that the postmaster is gone.
        loop = "raise notice 'begun'; for i in 1..20000000 loop x := x + i; end loop"
        statement = asyncio.create_task(busy.execute(f"do $$ declare x bigint := 0; begin {loop}; end $$"))
        await asyncio.wait_for(heard.wait(), 10)
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
        await postgres.wait()
        await postgres.start()
        assert await ask(postgres, "select 1") == 1
        await asyncio.gather(statement, return_exceptions=True)
        busy.terminate()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell children; the next start does")
async def test_it_dies_with_its_killed_parent_and_the_next_one_finds_the_data(tmp_path: Path):
    with Script(HOLDS_A_SERVER, str(tmp_path / "pg"), "stay") as parent:
        pid = int(await parent.line())
        await parent.ended_by(signal.SIGKILL)
        await all_gone([pid])
    async with running(tmp_path / "pg", durable=True) as postgres:
        assert await the_lines(postgres) == ["kept"]


async def test_a_server_that_outlived_its_parent_is_ended_by_the_next_start(tmp_path: Path):
    async with running(tmp_path / "pg", durable=True) as postgres:
        await write_a_line(postgres, "kept")
        orphan = postgres.pid
        assert orphan is not None
        # As after a kill where the kernel tells no child: nobody holds the lock, the server runs.
        postgres._lock.release()
        async with running(tmp_path / "pg", durable=True) as successor:
            await all_gone([orphan])
            assert await the_lines(successor) == ["kept"]


async def test_a_stale_pid_file_whose_number_now_belongs_to_another_does_not_stop_it(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        await postgres.stop()
        pid_file = tmp_path / "pg" / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{tmp_path}/pg/cluster\n1\n{postgres.port}\n\n127.0.0.1\n 1 1\nready   \n")
        await postgres.start()
        assert await ask(postgres, "select 1") == 1


async def test_an_unfinished_cluster_is_made_again(tmp_path: Path):
    (tmp_path / "pg" / "cluster.new" / "base").mkdir(parents=True)
    async with running(tmp_path / "pg") as postgres:
        assert await ask(postgres, "select 1") == 1
    assert not (tmp_path / "pg" / "cluster.new").exists()


async def test_two_instances_run_side_by_side(tmp_path: Path):
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        assert one.port != two.port
        await write_a_line(one, "one")
        await write_a_line(two, "two")
        assert await the_lines(one) == ["one"]
        assert await the_lines(two) == ["two"]


async def test_one_folder_has_one_owner(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        with pytest.raises(DirectoryInUse, match="in use by another process"):
            await EmbeddedPostgres(tmp_path / "pg").start()
        assert await ask(postgres, "select 1") == 1


async def test_it_listens_where_it_is_told_and_refuses_a_taken_port(tmp_path: Path):
    port = free_port()
    async with running(tmp_path / "one", port=port) as one:
        assert one.port == port
        assert await ask(one, "select 1") == 1
        with pytest.raises(StartFailed, match=f"port {port} .*already in use"):
            await EmbeddedPostgres(tmp_path / "two", port=port, durable=False).start()


async def test_it_runs_below_a_folder_that_nobody_else_may_enter_and_leaves_it_closed(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with running(closed / "deeper" / "pg") as postgres:
        assert await ask(postgres, "select 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE((closed / "deeper" / "pg").stat().st_mode) == 0o700
    assert stat.S_IMODE((closed / "deeper" / "pg" / "cluster").stat().st_mode) == 0o700
    assert closed.stat().st_uid == os.geteuid()


async def test_the_password_is_needed_and_only_we_can_read_it(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        password = tmp_path / "pg" / "password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert password.stat().st_uid == os.geteuid()
        guessed = postgres.url("postgres").replace("+asyncpg", "").replace(password.read_text(), "guessed")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(guessed)
        assert await ask(postgres, "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolcanlogin")


@pytest.mark.skipif(not ROOT_USER, reason="this user is not root: every other test is this one")
async def test_it_runs_as_an_ordinary_user_too():
    folder = Path(tempfile.mkdtemp(prefix="perennial-"))
    try:
        os.chown(folder, 65534, 65534)
        with Script(HOLDS_A_SERVER, str(folder / "pg"), prefix=AS_NOBODY) as script:
            pid = int(await script.line())
            assert await script.line() == "stopped"
            await all_gone([pid])
        assert (folder / "pg" / "cluster").stat().st_uid == 65534
    finally:
        shutil.rmtree(folder)


async def test_databases_are_made_once_copied_from_a_template_and_dropped_in_use(tmp_path: Path):
    async with running(tmp_path / "pg") as postgres:
        await write_a_line(postgres, "kept")
        assert await postgres.create_database('a "copy"', template="books")
        assert not await postgres.create_database('a "copy"', template="books")
        assert await ask(postgres, "select text from lines", "a%20%22copy%22") == "kept"
        held = await asyncpg.connect(postgres.url("books").replace("+asyncpg", ""))
        await postgres.drop_database("books")
        await postgres.drop_database("books")
        assert await ask(postgres, "select count(*) from pg_database where datname = 'books'") == 0
        held.terminate()


async def test_only_a_throw_away_server_trades_safety_for_speed(tmp_path: Path):
    async with running(tmp_path / "safe", durable=True) as safe, running(tmp_path / "fast", durable=False) as fast:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await ask(safe, f"show {setting}") == "on"
            assert await ask(fast, f"show {setting}") == "off"
