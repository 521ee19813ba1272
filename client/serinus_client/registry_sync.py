"""The registry's calls for threads: each waits for the asynchronous one of its name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.blocking import Run, iterate
from serinus_client.bundle import MoreFiles, StrPath
from serinus_client.registry import QUANTIZE_S, REGISTER_S, AsyncRegistry
from serinus_client.registry_reads import DOWNLOAD_S, Bounds
from serinus_client.upload import OnProgress


class Registry:
    """The registry behind a `Client`. Arguments, answers and errors are those of `AsyncRegistry`.

    What is an asynchronous iterator there is an iterator here. `on_progress` is called in the client's own thread.
    """

    def __init__(self, run: Run, registry: AsyncRegistry) -> None:
        self._run = run
        self._registry = registry

    def register(
        self,
        model: str,
        path: StrPath,
        version: str,
        *,
        facts: str | Mapping[str, Any] = "",
        main: str = "",
        files: MoreFiles = None,
        goldens: Iterable[StrPath] = (),
        aliases: Sequence[str] = (),
        force_version: bool = False,
        expected_revision: int | None = None,
        actor: str = "",
        on_progress: OnProgress | None = None,
        timeout_s: float = REGISTER_S,
    ) -> pb.RegisterModelResponse:
        """Register a version; the same files and facts again change nothing and succeed."""
        return self._run(
            self._registry.register(
                model,
                path,
                version,
                facts=facts,
                main=main,
                files=files,
                goldens=goldens,
                aliases=aliases,
                force_version=force_version,
                expected_revision=expected_revision,
                actor=actor,
                on_progress=on_progress,
                timeout_s=timeout_s,
            )
        )

    def model(self, model: str, *, timeout_s: float | None = None) -> pb.RegisteredModel:
        """One model with all of its versions."""
        return self._run(self._registry.model(model, timeout_s=timeout_s))

    def models(self, *, timeout_s: float | None = None) -> Iterator[pb.RegisteredModel]:
        """All models by name."""
        return iterate(self._run, self._registry.models(timeout_s=timeout_s))

    def version(self, model: str, selector: str = "", *, timeout_s: float | None = None) -> pb.ModelVersion:
        """The version that a selector means."""
        return self._run(self._registry.version(model, selector, timeout_s=timeout_s))

    def versions(
        self,
        model: str,
        *,
        within: str = "",
        tags: Mapping[str, str] | None = None,
        framework: str = "",
        metrics: Bounds | None = None,
        include_archived: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[pb.ModelVersion]:
        """The versions that satisfy every filter given, newest number first."""
        found = self._registry.versions(
            model,
            within=within,
            tags=tags,
            framework=framework,
            metrics=metrics,
            include_archived=include_archived,
            timeout_s=timeout_s,
        )
        return iterate(self._run, found)

    def set_alias(
        self,
        model: str,
        alias: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.RegisteredModel:
        """Let an alias name the version that a selector means now."""
        return self._run(
            self._registry.set_alias(
                model, alias, selector, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def remove_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.RegisteredModel:
        """Let an alias name nothing."""
        return self._run(
            self._registry.remove_alias(
                model, alias, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def set_tags(
        self,
        model: str,
        selector: str,
        tags: Mapping[str, str] | None = None,
        *,
        remove: Sequence[str] = (),
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Add, change and remove tags of a version."""
        return self._run(
            self._registry.set_tags(
                model,
                selector,
                tags,
                remove=remove,
                expected_revision=expected_revision,
                actor=actor,
                timeout_s=timeout_s,
            )
        )

    def archive(
        self,
        model: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Hide a version from lists and selectors."""
        return self._run(
            self._registry.archive(
                model, selector, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def restore(
        self,
        model: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Bring an archived version back."""
        return self._run(
            self._registry.restore(
                model, selector, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def delete(
        self,
        model: str,
        version: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> int:
        """Delete a version for good; the model's revision since."""
        return self._run(
            self._registry.delete(model, version, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s)
        )

    def card(self, model: str, selector: str = "", *, timeout_s: float | None = None) -> pb.GetCardResponse:
        """The model card of a version."""
        return self._run(self._registry.card(model, selector, timeout_s=timeout_s))

    def set_card_notes(
        self,
        model: str,
        selector: str,
        markdown: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Replace what was added to a version's card after it was registered."""
        return self._run(
            self._registry.set_card_notes(
                model, selector, markdown, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def download(
        self,
        model: str,
        selector: str,
        path: str,
        to: StrPath,
        *,
        on_progress: OnProgress | None = None,
        timeout_s: float = DOWNLOAD_S,
    ) -> Path:
        """Fetch one file of a version and return where it is."""
        return self._run(
            self._registry.download(model, selector, path, to, on_progress=on_progress, timeout_s=timeout_s)
        )

    def watch(self, *, after_revision: int = 0, model: str = "") -> Iterator[pb.Change]:
        """Each change after a revision once, in order, for ever."""
        return iterate(self._run, self._registry.watch(after_revision=after_revision, model=model))

    def quantize(
        self,
        model: str,
        selector: str = "",
        *,
        calibration: Mapping[str, Any] | None = None,
        traffic_rows: int = 0,
        traffic_timeout_s: float = 0.0,
        recipes: Sequence[str] = (),
        bounds: pb.QuantizationBounds | None = None,
        dry_run: bool = False,
        actor: str = "",
        timeout_s: float = QUANTIZE_S,
    ) -> Iterator[pb.QuantizeModelResponse]:
        """Let the server quantize a version; its progress, and in the last one the report."""
        steps = self._registry.quantize(
            model,
            selector,
            calibration=calibration,
            traffic_rows=traffic_rows,
            traffic_timeout_s=traffic_timeout_s,
            recipes=recipes,
            bounds=bounds,
            dry_run=dry_run,
            actor=actor,
            timeout_s=timeout_s,
        )
        return iterate(self._run, steps)
