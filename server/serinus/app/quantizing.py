"""Quantizes registered versions: from their files and real inputs to a version of its own, if one is worth it."""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import numpy as np

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import Manifest
from serinus.core.errors import AlreadyExists, InvalidInput, Overloaded
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion, Version
from serinus.registry.files.disk import disk_errors
from serinus.registry.files.staging import Scratch
from serinus.registry.records import ModelRecord, Registered, VersionRecord
from serinus.runtime.golden_files import as_declared, read_golden
from serinus.runtime.quantization.quantizer import Progress, Quantizer
from serinus.runtime.sources import Bundle
from serinus.threads import to_thread
from serinus.transport.registry.quantize_values import QuantizeOrder, QuantizeStep

_ATTEMPTS = 5  # each that fails is one of another version of that number
_MOST_ORDERS = 4  # one is carried out; the others wait, and keep their calibration data in memory
_RETRY_S = 60.0  # an order takes minutes

Collect = Callable[[ModelVersion, int, float], Awaitable[Tensors]]
"""Inputs of the next calls to a version that serves: so many rows, within so many seconds."""


class Models(Protocol):
    """What is registered."""

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        ...

    async def version(self, model: str, selector: str) -> VersionRecord:
        """The version that `selector` means."""
        ...


class Files(Protocol):
    """Where the files of versions are."""

    async def paths(self, manifest: Manifest) -> Mapping[str, Path]:
        """A local file by path in the bundle."""
        ...


class Registers(Protocol):
    """Takes versions that were made on this machine."""

    async def register_files(
        self,
        model: str,
        version: Version,
        folder: Path,
        facts: VersionFacts,
        *,
        main: str = "",
        actor: str,
        report: Mapping[str, object] | None = None,
    ) -> Registered:
        """Register every file in `folder` as a version."""
        ...


class Quantizing:
    """Carries out orders to quantize; satisfies `transport.registry.ports.Quantizations`.

    Attributes:
        registry: Knows the versions.
        artifacts: Has their files.
        registrations: Takes the winner.
        quantizer: Tries the recipes.
        collect: Gets inputs from traffic.
        scratch: Work in progress lies there.
    """

    def __init__(
        self,
        *,
        registry: Models,
        artifacts: Files,
        registrations: Registers,
        quantizer: Quantizer,
        collect: Collect,
        scratch: Scratch,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._registrations = registrations
        self._quantizer = quantizer
        self._collect = collect
        self._scratch = scratch
        self._orders = 0

    async def quantize(self, order: QuantizeOrder) -> AsyncGenerator[QuantizeStep]:
        """Do as ordered; the last step holds the report. Closing the generator ends the work.

        Raises:
            InvalidInput: there is nothing to calibrate with, or the order cannot be meant.
            NotFound: there is no such version, or no call came to learn from.
            StoreFull, StoreUnavailable: there is no place to work in.
            Overloaded: too many orders wait.
        """
        if self._orders >= _MOST_ORDERS:
            raise Overloaded(
                f"{self._orders} models are being quantized or wait for it, the limit is {_MOST_ORDERS}",
                retry_after_s=_RETRY_S,
                reason="TOO_MANY_QUANTIZATIONS",
            )
        self._orders += 1
        try:
            async with aclosing(self._carried_out(order)) as steps:
                async for step in steps:
                    yield step
        finally:
            self._orders -= 1

    async def _carried_out(self, order: QuantizeOrder) -> AsyncGenerator[QuantizeStep]:
        record = await self._registry.version(order.model, order.selector)
        paths = await self._artifacts.paths(record.manifest)
        if order.traffic_rows:
            yield QuantizeStep(f"collecting {order.traffic_rows} rows from the calls that come in", 0, 0)
        calibration = await self._calibration(order, record, paths)
        # Whatever the disk refuses in between, the caller hears that it was the disk.
        with disk_errors():
            async with self._scratch() as work:
                steps = self._quantizer.quantize(
                    Bundle(record.manifest, paths),
                    record.facts.serving,
                    calibration,
                    work,
                    recipes=order.recipes,
                    bounds=order.bounds,
                )
                async with aclosing(steps):
                    async for step in steps:
                        registered = None
                        if step.model_file is not None and not order.is_dry_run:
                            yield QuantizeStep("registering the winner", step.done, step.total)
                            registered = await self._register(record, paths, step, work, order.actor)
                        yield QuantizeStep(step.stage, step.done, step.total, step.result, step.report, registered)

    async def _calibration(self, order: QuantizeOrder, record: VersionRecord, paths: Mapping[str, Path]) -> Tensors:
        if order.calibration:
            return order.calibration
        if order.traffic_rows:
            return await self._collect(record.identity, order.traffic_rows, order.traffic_timeout_s)
        goldens = [(golden.name, paths[golden.name]) for golden in record.examination.goldens]
        return await to_thread(golden_inputs, goldens, record.examination.signature)

    async def _register(
        self, record: VersionRecord, paths: Mapping[str, Path], step: Progress, work: Path, actor: str
    ) -> VersionRecord:
        """Register the winner as the next patch of the float version's line."""
        assert step.model_file is not None, "a winner has a file: this is a bug"
        assert step.report is not None, "a winner is in a report: this is a bug"
        facts = quantized_facts(record)
        bundle = work / "bundle"
        await to_thread(_gather, bundle, step.model_file, samples_of(facts), paths)
        for attempt in range(_ATTEMPTS):
            # A deleted version's number is taken too, and nobody lists it.
            version = next_patch(await self._registry.model(record.identity.model), record.identity.version, attempt)
            try:
                done = await self._registrations.register_files(
                    record.identity.model,
                    version,
                    bundle,
                    facts,
                    main=step.model_file.name,
                    actor=actor,
                    report=step.report.to_mapping(),
                )
            except AlreadyExists:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return done.record
        raise AssertionError("the last attempt ends the loop: this is a bug")


def quantized_facts(record: VersionRecord) -> VersionFacts:
    """What is to be said of a quantized form: what its author said, but for what was measured of the float model."""
    return record.facts.model_copy(update={"quantized_from": str(record.identity), "metrics": {}, "trained_from": ""})


def next_patch(model: ModelRecord, version: Version, beyond: int = 0) -> Version:
    """The first patch behind all of the same major and minor version, or the one `beyond` further."""
    line = [version, *(other.identity.version for other in model.versions)]  # it may be deleted by now
    patches = [other.patch for other in line if (other.major, other.minor) == (version.major, version.minor)]
    return Version(version.major, version.minor, max(patches) + 1 + beyond)


def samples_of(facts: VersionFacts) -> frozenset[str]:
    """Paths in the bundle that warm-up samples name."""
    described = (inputs for sample in facts.serving.warm_up for inputs in sample.inputs.values())
    return frozenset(each.file.as_posix() for each in described if each.file is not None)


def golden_inputs(goldens: Sequence[tuple[str, Path]], signature: Signature) -> Tensors:
    """The inputs of all golden requests, stacked along their batch axes; of the first one where there is none.

    Raises:
        InvalidInput: there are no golden requests, or their inputs do not stack.
    """
    if not goldens:
        raise InvalidInput(
            "nothing to calibrate and compare with: expected calibration data, golden requests, or rows from traffic",
            reason="NO_CALIBRATION",
            field="calibration",
        )
    requests = [
        {spec.name: as_declared(name, spec, inputs[spec.name]) for spec in signature.inputs if spec.name in inputs}
        for name, (inputs, _) in ((name, read_golden(name, path.read_bytes())) for name, path in goldens)
    ]
    if not signature.is_batched:
        return requests[0]
    try:
        return {
            spec.name: requests[0][spec.name]
            if spec.batch_axis is None
            else np.concatenate([request[spec.name] for request in requests], spec.batch_axis)
            for spec in signature.inputs
            if spec.name in requests[0]
        }
    except (KeyError, ValueError) as error:
        raise InvalidInput(
            "the golden requests differ in their inputs or lengths: expected calibration data",
            reason="NO_CALIBRATION",
            field="calibration",
        ) from error


def _gather(bundle: Path, model_file: Path, samples: frozenset[str], paths: Mapping[str, Path]) -> None:
    """Put together what the quantized version consists of."""
    bundle.mkdir()
    model_file.replace(bundle / model_file.name)
    for path in samples:
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[path], bundle / path)
