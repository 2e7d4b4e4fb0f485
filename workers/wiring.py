"""Wiring: real parts behind every port, for the simulation and for the processes. The composition root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from workers.clock import StoryClock
from workers.worker import Doors


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a process or a simulation works with: the doors, the API over them, and a client of that API."""

    engine: AsyncEngine
    doors: Doors
    api: FastAPI
    http: httpx.AsyncClient
