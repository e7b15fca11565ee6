"""Runs one twin: its clouds' provider servers, its world, its edge and its own door.

Starts in the order world → providers → edge → door, then writes `twin.json`; stops in the reverse
order. Machines keep running when the twin stops: their state is on disk and in their containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twin import places
from twin.admin import Admin
from twin.ca import CertificateAuthority
from twin.clock import Clock
from twin.paper import PaperWorld
from twin.protocol.resource import Context, Package
from twin.protocol.server import ProviderServers
from twin.store import Store

_log = logging.getLogger(__name__)
_PACKAGES: Final = ("digitalocean", "cloudflare", "docker", "random", "tls", "command")
_LOG_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    home: Path
    paper: bool
    https_port: int
    verbose: bool = False
    firewall: Path | None = None
    """The managed rules' engine, a program."""


def run(options: Options) -> int:
    """Serve until SIGTERM or SIGINT. 0 clean stop, 1 failure, 2 port taken, 3 already running."""
    try:
        options.home.mkdir(parents=True, exist_ok=True)
        held = places.lock(options.home)
    except (places.PlaceError, OSError) as error:
        sys.stderr.write(f"twin: {error}\n")
        return error.code if isinstance(error, places.PlaceError) else 1
    try:
        _log_to(options)
        asyncio.run(_serve(options))
    except places.PlaceError as error:
        _log.error("%s", error)
        return error.code
    except Exception as error:
        _log.debug("the twin could not start", exc_info=True)
        _log.error("%s", error or type(error).__name__)
        return 1
    finally:
        os.close(held)
    return 0


async def _serve(options: Options) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    account = _account(options.home)
    if not options.paper:
        places.check_port(options.https_port)
    async with contextlib.AsyncExitStack() as parts:
        twin_file = options.home / "twin.json"
        twin_file.unlink(missing_ok=True)  # an earlier twin may have been killed
        await _start(options, account, parts, twin_file)
        _log.info("ready")
        await stopping.wait()
        _log.info("stopping")
        twin_file.unlink(missing_ok=True)


async def _start(
    options: Options, account: dict[str, Any], parts: contextlib.AsyncExitStack, twin_file: Path
) -> None:
    instance = places.instance_name(options.home)
    run_dir = places.run_directory(instance)
    if options.paper:  # with machines it stays: they have it mounted
        parts.callback(_remove_if_empty, run_dir)
    store = Store(options.home / "twin.db")
    parts.callback(store.close)
    authority = CertificateAuthority(options.home)
    world = _world(options, instance, run_dir, store, authority)
    parts.push_async_callback(_call, world.stop)
    await _call(world.start)

    clock = Clock()
    base = Context(config={}, store=store, world=world, account=account, clock=clock)
    servers = ProviderServers(_packages(), base)
    parts.push_async_callback(_call, servers.stop)
    servers.start()

    if not options.paper:
        edge_module = importlib.import_module("twin.edge.server")
        edge = edge_module.Edge(
            home=options.home,
            store=store,
            world=world,
            account=account,
            https_port=options.https_port,
            run_dir=run_dir,
            clock=clock,
            firewall=options.firewall,
        )
        parts.push_async_callback(_call, edge.stop)
        await _call(edge.start)

    about = {
        "pid": os.getpid(),
        "instance": instance,
        "mode": "paper" if options.paper else "docker",
        "https_port": options.https_port,
        "run_dir": str(run_dir),
        "ca_file": str(authority.certificate_file),
        "providers": servers.ports,
    }
    door = Admin(store, world, servers, about)
    parts.push_async_callback(door.stop)
    await door.start()
    places.write_private(twin_file, {**about, "admin": {"url": door.url, "token": door.token}})


def _world(
    options: Options, instance: str, run_dir: Path, store: Store, authority: CertificateAuthority
) -> Any:
    if options.paper:
        return PaperWorld(store, authority.certificate)
    machines = importlib.import_module("twin.machines")
    return machines.DockerWorld(
        home=options.home,
        instance=instance,
        store=store,
        run_dir=run_dir,
        https_port=options.https_port,
    )


def _packages() -> list[Package]:
    """The provider doubles, each imported by its name."""
    return [importlib.import_module(f"twin.clouds.{name}").package() for name in _PACKAGES]


def _account(home: Path) -> dict[str, Any]:
    path = home / "account.json"
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise places.PlaceError(f"{path} is missing: it says which accounts exist") from None
    except ValueError as error:
        raise places.PlaceError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise places.PlaceError(f"{path} must hold a JSON object")
    return found


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


async def _call(part: Callable[[], Awaitable[None] | None]) -> None:
    """Start or stop a part, whether it is written as a coroutine or blocks."""
    if inspect.iscoroutinefunction(part):
        await part()
    else:
        await asyncio.to_thread(part)


def _log_to(options: Options) -> None:
    folder = options.home / "logs"
    folder.mkdir(exist_ok=True)
    # Traces may hold what the clouds' secrets are made of.
    (folder / "twin.log").touch(mode=0o600)
    file = logging.handlers.RotatingFileHandler(
        folder / "twin.log", maxBytes=_LOG_BYTES, backupCount=2
    )
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    file.setLevel(logging.DEBUG)
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("twin: %(message)s"))
    console.setLevel(logging.DEBUG if options.verbose else logging.INFO)
    root = logging.getLogger()
    root.handlers[:] = [file, console]
    root.setLevel(logging.INFO)
    logging.getLogger("twin").setLevel(logging.DEBUG)
