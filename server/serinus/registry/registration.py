"""How a version comes into the registry: refused early, examined before it is kept, kept before it is registered.

    checked → staged → examined → compared with the versions there are → kept → registered

Whatever ends it in between, by an error, a cancellation or a kill, leaves nothing that can be seen: a folder that goes
with the upload or at the next start, and contents that nobody uses, which are collected.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import Manifest
from serinus.core.errors import Conflict, DeadlinePassed, NotFound, Refused
from serinus.core.selector import check_alias
from serinus.core.version import Version, check_model_name
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.files.artifacts import ArtifactStore
from serinus.registry.files.bundle import BundleLimits, check_bundle
from serinus.registry.files.disk import in_thread
from serinus.registry.files.formats import check_format
from serinus.registry.files.receiving import Pace, PacedChunks, files_of, receive, take_folder
from serinus.registry.files.staging import Staging, StagingArea
from serinus.registry.planning import Plan, Upload, draft, plan_upload, registered
from serinus.registry.records import Draft, Examination, ModelRecord, Registered
from serinus.registry.sql.writing import check_actor, check_revision

_ATTEMPTS = 20  # each that fails is one of another version that succeeded


class Examine(Protocol):
    """Loads a version where it can do no harm, and says what that has shown."""

    async def __call__(self, folder: Path, main: str, facts: VersionFacts, goldens: Sequence[str], /) -> Examination:
        """Examine the files in `folder`, which holds nothing else.

        Args:
            folder: Read only, in effect: what is changed there is refused.
            main: Path of the ONNX file in it.
            facts: What the author says.
            goldens: Paths of golden requests in it.

        Raises:
            ModelRejected: it cannot be served.
        """
        ...


class Versions(Protocol):
    """What is registered; `registry.Registry` is one."""

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        ...

    async def register(
        self,
        draft: Draft,
        *,
        aliases: Sequence[str],
        actor: str,
        expected_revision: int | None,
        based_on: int | None,
    ) -> Registered:
        """Register a version in one transaction; Conflict if another one came or went since `based_on`."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RegistrationLimits:
    """What one registration may take.

    Attributes:
        bundle: How large its files may be.
        pace: How slowly they may come.
        examine_s: Longest examination, behind the examiner's own limit.
    """

    bundle: BundleLimits = dataclasses.field(default_factory=BundleLimits)
    pace: Pace = dataclasses.field(default_factory=Pace)
    examine_s: float = 7200.0  # the examiner gives up first, or is broken


class Registrations:
    """Registers versions. Many at once; the same one twice is registered once, and both callers are told so."""

    def __init__(
        self,
        registry: Versions,
        artifacts: ArtifactStore,
        area: StagingArea,
        examine: Examine,
        *,
        is_reserved: Callable[[str], bool],
        limits: RegistrationLimits = RegistrationLimits(),
        reach: Callable[[Failpoint], None] = pass_by,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._area = area
        self._examine = examine
        self._is_reserved = is_reserved
        self._limits = limits
        self._reach = reach

    async def register(self, upload: Upload, chunks: AsyncIterator[bytes]) -> Registered:
        """Register a version from its files' bytes, end to end, without the files that are stored already.

        `chunks` is taken to its end before anything is registered; not at all where the answer is known before.

        Raises:
            InvalidInput: what is said or sent cannot be meant.
            ModelRejected: it cannot be served, or is code.
            AlreadyExists: the version has other bytes or facts.
            Refused: the version is too small for its change (VERSION_TOO_SMALL), or the name taken (NAME_TAKEN).
            Conflict: the model is not at the expected revision.
            Overloaded: too many uploads are under way.
            DeadlinePassed: the bytes come too slowly.
            StoreFull, StoreUnavailable: it cannot be kept now.
            DataLost: a file that needed not be sent is damaged; send it.
        """
        plan = await in_thread(plan_upload, upload, self._limits.bundle)
        paced = PacedChunks(chunks, self._limits.pace)
        return await self._register(plan, lambda staging: receive(plan.files, staging, self._artifacts, paced))

    async def register_files(
        self,
        model: str,
        version: Version,
        folder: Path,
        facts: VersionFacts,
        *,
        main: str = "",
        goldens: Sequence[str] = (),
        actor: str,
        report: Mapping[str, object] | None = None,
        aliases: Sequence[str] = (),
    ) -> Registered:
        """Register a version that was made on this machine: every file in `folder`. As `register` otherwise.

        Args:
            model: Its model's name.
            version: Its semantic version.
            folder: Holds its files, and nothing else.
            facts: What there is to say about it.
            main: Path of the ONNX file; "" for the only one.
            goldens: Paths of golden requests.
            actor: Who registers it.
            report: What its quantizer measured, JSON.
            aliases: To set in the same write.
        """
        files = await files_of(folder)
        plan = Plan(
            model=check_model_name(model),
            version=version,
            files=files,
            manifest=check_bundle(files, main, goldens, self._limits.bundle),
            facts=facts,
            goldens=tuple(goldens),
            is_forced=False,
            aliases=tuple(map(check_alias, aliases)),
            expected_revision=None,
            actor=check_actor(actor),
            report=report or {},
        )
        return await self._register(plan, lambda staging: take_folder(plan.files, staging, folder))

    async def _register(self, plan: Plan, fill: Callable[[Staging], Awaitable[None]]) -> Registered:
        if self._is_reserved(plan.model):
            raise Refused(
                f"the name {plan.model!r} belongs to a model that the operator of the server named",
                reason="NAME_TAKEN",
                field="model",
            )
        model = await self._model(plan.model)
        same = registered(model, plan)
        if same is not None and await self._is_stored(plan.manifest):
            return same
        if same is None:
            check_revision(plan.model, 0 if model is None else model.revision, plan.expected_revision)
        async with self._area.stage(plan.manifest) as staging:
            await fill(staging)
            await in_thread(_check_formats, staging)
            self._reach(Failpoint.STAGED)
            if same is not None:
                # Registered, and some of its files are gone: these are the same bytes.
                await self._artifacts.keep(staging)
                return same
            return await self._commit(plan, staging, await self._examined(plan, staging))

    async def _examined(self, plan: Plan, staging: Staging) -> Examination:
        try:
            async with asyncio.timeout(self._limits.examine_s) as limit:
                examination = await self._examine(staging.folder, plan.manifest.main, plan.facts, plan.goldens)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlinePassed(
                f"the examination of {plan.model}@{plan.version} took longer than {self._limits.examine_s:g} s"
            ) from error
        self._reach(Failpoint.EXAMINED)
        return examination

    async def _commit(self, plan: Plan, staging: Staging, examination: Examination) -> Registered:
        """Compare, keep, register; compare again where another version came in between."""
        is_kept = False
        for attempt in range(_ATTEMPTS):
            model = await self._model(plan.model)
            if (same := registered(model, plan)) is not None:
                return same
            # On a thread: many versions of many tensors are compared for as long as others would wait.
            candidate = await in_thread(draft, model, plan, examination)
            if not is_kept:
                await self._artifacts.keep(staging)
                is_kept = True
            try:
                done = await self._registry.register(
                    candidate,
                    aliases=plan.aliases,
                    actor=plan.actor,
                    expected_revision=plan.expected_revision,
                    based_on=0 if model is None else model.revision,
                )
            except Conflict:
                if plan.expected_revision is not None or attempt == _ATTEMPTS - 1:
                    raise
                continue
            await self._artifacts.complete(staging)
            return done
        raise AssertionError("the last attempt ends the loop: this is a bug")

    async def _model(self, name: str) -> ModelRecord | None:
        try:
            return await self._registry.model(name)
        except NotFound:
            return None

    async def _is_stored(self, manifest: Manifest) -> bool:
        # With a look at the bytes: registering again is how damaged ones are mended.
        return await self._artifacts.verify({file.sha256 for file in manifest.files})


def _check_formats(staging: Staging) -> None:
    for path in staging.manifest.file:
        check_format(staging.folder / path, path)
