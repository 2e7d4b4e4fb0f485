"""`perennial`: the one program. Each command imports what it needs when it runs, so that the quick ones are quick.

Exit status: 0 done, 1 the work failed, 2 bad arguments or input; then one clear line stands on standard error.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from domain.errors import DomainError, InvalidInput

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Quote to cash that survives anything: quotes, orders, access, usage, invoices, money.",
)
catalog = typer.Typer(help="Price books: check and apply.")
keys = typer.Typer(help="API keys.")
app.add_typer(catalog, name="catalog")
app.add_typer(keys, name="keys")

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the embedded stack keeps everything.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
_BAD_PATH = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError)
_STOPS = (signal.SIGTERM, signal.SIGINT)

# What is imported lives as long as the process: to look it through again and again is a fifth of the time to start.
gc.set_threshold(50_000, 20, 20)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running, with the story's lifecycles in it.")
    ] = False,
    data_dir: DataDir = Path(".perennial/demo"),
) -> None:
    """Tell the gym's story, start to end, on real parts: quote, order, access, usage, invoices, dunning, renewal."""
    from workers.demo import run_demo

    _run(run_demo(keep=keep, data_dir=data_dir))


@app.command()
def dev(
    port: Port = 8080,
    data_dir: DataDir = Path(".perennial"),
    admin_key: Annotated[
        str | None, typer.Option(help="The admin API key; made and kept in the data folder if left out.")
    ] = None,
) -> None:
    """The embedded stack, staying up: API, worker, Temporal, PostgreSQL, sandbox provider. Data survives."""
    from workers.dev import run_dev

    _run(run_dev(data_dir=data_dir, port=port, admin_key=admin_key))


@app.command()
def api() -> None:
    """Serve the API; configured by environment (PERENNIAL_…)."""
    from workers.serve_api import serve_api

    _run(serve_api())


@app.command()
def worker() -> None:
    """Run workflows and activities; configured by environment (PERENNIAL_…)."""
    from workers.serve_worker import serve_worker

    _run(serve_worker())


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from workers.operate import run_migrate

    _run(run_migrate())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check every setting and connection; say what is wrong and how to mend it."""
    from workers.doctor import run_doctor

    _run(run_doctor(as_json=as_json))


@app.command()
def reconcile(
    as_json: Json = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Start the workflow of every open record that has none that runs.")
    ] = False,
) -> None:
    """Compare ledger, invoices, payments, provider, access, usage and workflows; exit 1 where any two disagree."""
    from workers.operate import run_reconcile

    _run(run_reconcile(as_json=as_json, repair=repair))


@app.command(hidden=True)
def sandbox(
    port: Annotated[int, typer.Option()],
    data_dir: DataDir,
    webhook_url: Annotated[str, typer.Option()],
) -> None:
    """Serve the sandbox payment provider and provisioning target (for `dev`)."""
    from workers.sandbox import serve_sandbox

    _run(serve_sandbox(port=port, data_dir=data_dir, webhook_url=webhook_url))


@app.command()
def simulate(files: list[Path], as_json: Json = False) -> None:
    """Run scenarios through the real workflows on a time-skipping server; prints what happened, checks expectations."""
    from workers.simulate import run_simulate

    _run(run_simulate(files, as_json=as_json, out=sys.stdout, err=sys.stderr))


@app.command()
def rate(file: str, as_json: Json = False) -> None:
    """Price usage against charges, with no server at all. `-` reads standard input."""
    from workers.rating import run_rate

    raise typer.Exit(run_rate(file, as_json=as_json, out=sys.stdout, err=sys.stderr))


@catalog.command("check")
def catalog_check(file: Path) -> None:
    """Validate a price book; errors name the line and the path."""
    from workers.rating import run_check

    raise typer.Exit(run_check(file, out=sys.stdout, err=sys.stderr))


@catalog.command("apply")
def catalog_apply(file: Path) -> None:
    """Load a price book into the database; a plan that changed gets its next version."""
    from workers.operate import run_apply

    _run(run_apply(file))


@keys.command("create")
def keys_create(
    role: Annotated[str, typer.Option(help="admin, sales, provisioning, finance, usage or customer")],
    customer: Annotated[str | None, typer.Option(help="Customer key, for the role customer.")] = None,
    approver: Annotated[list[str] | None, typer.Option(help="A name in which the key may decide on quotes.")] = None,
) -> None:
    """Make an API key and print it, once."""
    from workers.operate import run_create_key

    _run(run_create_key(role=role, customer=customer, approvers=tuple(approver or ())))


def _run(work: Coroutine[Any, Any, int | None]) -> NoReturn:
    """Run to the end and leave at once: open workflow threads must not delay, or spoil, the exit."""
    status = _status(lambda: asyncio.run(_stoppable(work)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _stoppable(work: Coroutine[Any, Any, int | None]) -> int | None:
    """Do the work; asked to stop by a signal it cleans up behind itself. Asked twice, it goes at once."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    asked: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        asked.append(number)
        task.cancel()
        for each in _STOPS:
            loop.remove_signal_handler(each)

    for number in _STOPS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + asked[0] if asked else 130


def _status(work: Callable[[], int | None]) -> int:
    """What `work` answers, or what its failure means, told in one line on standard error."""
    try:
        return work() or 0
    except typer.TyperException as error:
        return _fail(getattr(error, "format_message", error.__str__)(), 2)
    except InvalidInput as error:
        return _fail(error.detail, 2)
    except KeyboardInterrupt:
        return 130
    except DomainError as error:
        return _fail(f"{error.code}: {error.detail}", 1)
    except _BAD_PATH as error:
        return _fail(f"{error.filename}: {error.strerror}", 2)
    except OSError as error:
        return _fail(str(error), 1)
    except Exception as error:  # noqa: BLE001  (the last door: one clear line, no traceback)
        # Our own processes' errors say themselves what is the matter.
        ours = type(error).__module__.startswith(("workers.", "store."))
        return _fail(str(error) if ours else f"unexpected {type(error).__name__}: {error}", 1)


def _fail(message: str, status: int) -> int:
    print(f"perennial: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    if os.environ.get("PERENNIAL_DEBUG"):
        import traceback

        traceback.print_exc()
    return status


def main() -> NoReturn:
    """The console script. Alone, `perennial` and its groups of commands show their help."""
    arguments = sys.argv[1:]
    if arguments in ([], ["catalog"], ["keys"]):
        arguments.append("--help")
    sys.exit(_status(lambda: app(arguments, prog_name="perennial", standalone_mode=False)))


if __name__ == "__main__":
    main()
