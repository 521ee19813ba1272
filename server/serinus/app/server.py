"""The server as a whole: everything it is made of, started in order and stopped in the opposite one."""

import asyncio
import contextlib
import functools
import gc
import importlib.metadata
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from google.protobuf.internal import api_implementation
from prometheus_client import CollectorRegistry

from serinus.app.catalog import Catalog, Job
from serinus.app.cost_keeping import CostKeeper
from serinus.app.front import open_front
from serinus.app.learned import LearnedByServing
from serinus.app.loading import Noted, VersionLoader
from serinus.app.memory_pressure import MemoryWatch
from serinus.app.refusals import StartRefused, start_refusals
from serinus.app.registry_store import open_registry
from serinus.app.running import RunningServer
from serinus.app.tls import read_tls
from serinus.app.workers.hang_watch import HangWatch
from serinus.app.workers.kept_out import KeptOut
from serinus.config.sections import GrpcSettings, HttpSettings
from serinus.config.settings import Settings
from serinus.lifecycle.models import Models
from serinus.runtime.cpu import cpu_quota
from serinus.runtime.freed_memory import free_bytes, keep_little
from serinus.runtime.load_threads import LoadThreads
from serinus.runtime.machine import machine_fingerprint
from serinus.runtime.memory import memory_use
from serinus.runtime.pool import ComputePool
from serinus.runtime.providers import resolve_providers
from serinus.runtime.spare_memory import SpareMemory, own_use
from serinus.serving.admission import ByteBudget
from serinus.serving.batching.slots import RunSlots
from serinus.serving.pressure import Pressure
from serinus.telemetry.exposition import exposition
from serinus.telemetry.logs import Logs, get_logger
from serinus.telemetry.loop_stalls import StallWatch
from serinus.telemetry.metrics import Metrics
from serinus.threads import OwnThread
from serinus.transport.admin.service import ServerFacts
from serinus.transport.drain import Drain
from serinus.transport.face import Face, FaceParts
from serinus.transport.of_all_workers import no_others
from serinus.transport.oip.service import nobody_to_say_it_to
from serinus.transport.server import GrpcServer, PortUse, TlsFiles
from serinus.workers.control import Body
from serinus.workers.crash_record import CrashRecord
from serinus.workers.seat import Seat

log = get_logger("serinus.server")

_NEW_OBJECTS_BEFORE_GC = 10_000  # Python's 700 cost a call in a frame 5 us of 30

VERSION = importlib.metadata.version("serinus")


@contextlib.asynccontextmanager
async def running_server(
    settings: Settings, *, logs: Logs, rng: random.Random, seat: Seat | None = None
) -> AsyncIterator[RunningServer]:
    """A server that is ready when the block begins and gone when it ends.

    Args:
        settings: What the operator says.
        logs: Where decisions are written.
        rng: For what should differ from server to server.
        seat: Of a worker, which shares the port and answers its supervisor in the place of HTTP; None for a server by
            itself.

    Raises:
        StartRefused: a named model cannot be served, a provider is missing, a port is taken, a file cannot be read,
            protobuf is slow. What was started by then is gone.
    """
    _require_fast_protobuf()
    keep_little(cpu_quota())
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    pressure = Pressure(high=settings.overload.memory_high, full=settings.overload.memory_full)
    metrics.watch_memory(pressure)
    with start_refusals():
        resolve_providers(settings.compute.providers)
    async with contextlib.AsyncExitStack() as block:
        record = None if seat is None else block.enter_context(CrashRecord(seat.record))
        pool = block.enter_context(ComputePool(_threads(settings, seat), hooks=record))
        tasks = await block.enter_async_context(_tasks())
        with start_refusals():
            catalog = await block.enter_async_context(
                _catalog(
                    settings,
                    metrics=metrics,
                    pool=pool,
                    pressure=pressure,
                    tasks=tasks,
                    rng=rng,
                    seat=seat,
                    logs=logs,
                    noted=contextlib.nullcontext if record is None else record.loading,
                )
            )
        block.push_async_callback(catalog.costs.save)
        # The system's answers are files; between two of their calls the loop would wait for a thread that computes.
        memory = block.enter_context(OwnThread("memory"))
        jobs = (
            StallWatch(metrics.loop_lag),
            MemoryWatch(
                pressure,
                memory.asked(memory_use),
                SpareMemory(use=memory.asked(own_use), free=memory.asked(free_bytes)),
            ),
            HangWatch(pool, settings.compute.hang_s, tasks=tasks, seat=seat),
        )
        yield await _open(
            settings, catalog, jobs, tasks, block, registry=registry, metrics=metrics, logs=logs, rng=rng, seat=seat
        )


async def _open(
    settings: Settings,
    catalog: Catalog,
    jobs: Sequence[Callable[[], Job]],
    tasks: asyncio.TaskGroup,
    block: contextlib.AsyncExitStack,
    *,
    registry: CollectorRegistry,
    metrics: Metrics,
    logs: Logs,
    rng: random.Random,
    seat: Seat | None,
) -> RunningServer:
    """Load what is to serve, and answer until the block ends."""
    drain, told_to_leave = Drain(), asyncio.Event()
    facts = ServerFacts(version=VERSION, started_unix_s=time.time(), compute_threads=_threads(settings, seat))
    face = _face(
        settings,
        catalog,
        metrics=metrics,
        logs=logs,
        drain=drain,
        facts=facts,
        leave=told_to_leave.set,
        worker="1/1" if seat is None else str(seat),
    )
    with start_refusals():
        http_port = await block.enter_async_context(_monitored(settings.http, registry, face, catalog, seat))
    with start_refusals():
        tls = read_tls(settings.grpc)
    listen = functools.partial(_listening, settings.grpc, face, tls=tls, rng=rng)
    # A worker gets its share of the calls when it can answer them, and not before: others can meanwhile.
    grpc: GrpcServer | None = None
    if seat is None:
        grpc = await block.enter_async_context(listen(PortUse.ALONE))
    await _load(catalog, jobs, tasks, block)
    if grpc is None:
        grpc = await block.enter_async_context(listen(PortUse.SHARED))
    face.open()
    server = RunningServer(
        models=catalog.models,
        metrics=metrics,
        face=face,
        grpc=grpc,
        http_port=http_port,
        drain=drain,
        settings=settings,
        told_to_leave=told_to_leave,
        colleagues=catalog.colleagues,
        exposition=functools.partial(exposition, registry),
    )
    log.info("serving", grpc_port=server.grpc_port, http_port=server.http_port, compute_threads=facts.compute_threads)
    return server


async def _load(
    catalog: Catalog, jobs: Sequence[Callable[[], Job]], tasks: asyncio.TaskGroup, block: contextlib.AsyncExitStack
) -> None:
    """Load what is to serve at first; from then on, until the block ends, `jobs` and those of the catalog run."""
    with start_refusals():
        await catalog.load()
    for job in (*(begin() for begin in jobs), *catalog.jobs()):
        block.callback(tasks.create_task(job).cancel)
    await catalog.follow()
    if not catalog.models.serving():
        log.warning("no model serves", hint="register one, or name one with --model or --model-repository")
    block.enter_context(_rare_garbage_collection())


def _threads(settings: Settings, seat: Seat | None) -> int:
    """Runs at once: what was said, or the share of the processors that one worker gets."""
    return settings.compute.threads or max(1, round(cpu_quota() / _workers(seat)))


def _workers(seat: Seat | None) -> int:
    return 1 if seat is None else seat.count


def _listening(
    settings: GrpcSettings, face: Face, use: PortUse, *, tls: TlsFiles | None, rng: random.Random
) -> GrpcServer:
    """The server of the port, which listens from now on."""
    with start_refusals():
        return GrpcServer(settings, handlers=face.handlers(), tls=tls, rng=rng, use=use)


@contextlib.asynccontextmanager
async def _catalog(
    settings: Settings,
    *,
    metrics: Metrics,
    pool: ComputePool,
    pressure: Pressure,
    tasks: asyncio.TaskGroup,
    rng: random.Random,
    seat: Seat | None,
    logs: Logs,
    noted: Noted,
) -> AsyncIterator[Catalog]:
    """Everything that can be served, before anything of it is loaded."""
    workers = _workers(seat)
    budget = ByteBudget(settings.limits.max_bytes_in_flight_each(workers, settings.grpc.max_message_bytes))
    metrics.watch_bytes_in_flight(lambda: budget.used, budget.limit)
    taken: set[str] = set()
    slots = RunSlots(pool.threads, ahead=1)
    kept_out = KeptOut()
    machine = machine_fingerprint(threads=pool.threads, providers=settings.compute.providers)
    async with open_registry(settings, is_reserved=taken.__contains__, machine=machine) as store:
        costs = CostKeeper(store.costs)
        metrics.watch_registry(lambda: store.follower.snapshot.revision, lambda: store.follower.is_behind)
        loader = VersionLoader(
            pool=pool,
            slots=slots,
            budget=budget,
            pressure=pressure,
            stood_s=settings.overload.stood_s,
            metrics=metrics,
            providers=tuple(settings.compute.providers),
            tasks=tasks,
            threads=LoadThreads(at_once=settings.loading.parallel, timeout_s=settings.loading.timeout_s),
            fetch=store.artifacts.paths,
            costs=costs,
            admit=kept_out.admit,
            noted=noted,
        )
        async with (
            Models(
                loader,
                refused=metrics.refused,
                forget=metrics.forget,
                metrics=metrics.loads,
                max_bytes=settings.loading.max_models_bytes_each(workers),
            ) as models,
            open_front(models, settings.rollouts, slots=slots, pressure=pressure, metrics=metrics, rng=rng) as front,
        ):
            yield Catalog(
                settings,
                models=models,
                front=front,
                store=store,
                metrics=metrics,
                costs=costs,
                taken=taken,
                kept_out=kept_out,
                seat=seat,
                logs=logs,
            )


def _face(
    settings: Settings,
    catalog: Catalog,
    *,
    metrics: Metrics,
    logs: Logs,
    drain: Drain,
    facts: ServerFacts,
    leave: Callable[[], None],
    worker: str,
) -> Face:
    rollouts = catalog.rollout_ports(
        started_unix_s=facts.started_unix_s,
        is_ready=lambda: face.is_ready(),  # noqa: PLW0108 - there is none yet
        leave=leave,
    )
    face = Face(
        FaceParts(
            models=catalog.models,
            predictor=catalog.front.routes,
            sources=catalog.placing,
            metrics=metrics,
            logs=logs,
            drain=drain,
            limits=settings.limits,
            facts=facts,
            registry=catalog.parts(),
            rollouts=rollouts,
            places=catalog.places,
            costs=LearnedByServing(catalog.models),
            others=no_others if catalog.colleagues is None else catalog.colleagues.others,
            say_logs=nobody_to_say_it_to if catalog.colleagues is None else catalog.colleagues.say_logs,
            worker=worker,
        )
    )
    return face


@contextlib.asynccontextmanager
async def _monitored(
    settings: HttpSettings, registry: CollectorRegistry, face: Face, catalog: Catalog, seat: Seat | None
) -> AsyncIterator[int]:
    """Answer who monitors: over HTTP, at the port that it yields, or the supervisor, which does so for all workers."""
    if seat is not None:
        _answer_supervisor(registry, face, catalog)
        yield 0
        return
    # Here and not above: a worker has no use for a web server, in memory or at its start.
    from serinus.transport.http import HttpServer, http_face, on_a_thread  # noqa: PLC0415 - see the line above

    async def detail() -> Mapping[str, object]:
        return catalog.detail()

    app = http_face(
        exposition=on_a_thread(functools.partial(exposition, registry)),
        is_live=lambda: True,
        is_ready=face.is_ready,
        ready_detail=detail,
    )
    async with HttpServer(app, host=settings.host, port=settings.port) as http:
        yield http.port


def _answer_supervisor(registry: CollectorRegistry, face: Face, catalog: Catalog) -> None:
    """Let the supervisor ask what a server by itself answers over HTTP, and what it needs to speak for all workers."""

    async def detail(_body: Body) -> Body:
        return dict(catalog.detail())

    assert catalog.colleagues is not None, "a seat has colleagues: this is a bug"
    catalog.colleagues.answer(
        metrics=functools.partial(exposition, registry),
        status=face.own_status,
        said_alone=face.said_alone,
        more={**catalog.asked_by_others(), "detail": detail},
    )


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Keep the garbage collector from holding the event loop."""
    # What is here now stays: else each full collection would walk all modules and models, tens of milliseconds long.
    gc.collect()
    gc.freeze()
    # A few thousand calls in flight are no reason to look for garbage: calls leave none behind.
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS_BEFORE_GC, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _require_fast_protobuf() -> None:
    """Only upb bounds how deep messages nest and how long parsing takes; Python's parser can be made to overflow."""
    if (found := api_implementation.Type()) != "upb":
        raise StartRefused(
            f"protobuf runs on its {found!r} implementation: expected 'upb'; "
            "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a protobuf wheel for this platform"
        )


@contextlib.asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group out of which an error of the block comes as it is, rather than in a group of errors."""
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            try:
                yield tasks
            except Exception as error:
                failure = error
                raise
    except BaseExceptionGroup as group:
        if group.exceptions != (failure,):
            raise
    if failure is not None:
        raise failure
