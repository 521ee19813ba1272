"""The RPCs of the registry that change what is there, but for registering and quantizing."""

from google.protobuf.message import Message

from serinus.core.errors import ServerError
from serinus.core.selector import check_alias
from serinus.core.version import Version, check_model_name
from serinus.registry.records import VersionRecord
from serinus.threads import to_thread
from serinus.transport.callers import actor_of
from serinus.transport.guard import Context
from serinus.transport.registry.messages import model_message, whole_version
from serinus.transport.registry.ports import Reads, Writes
from serinus.transport.registry.requests import expected_of, named, notes_of, tag_names, tags_of
from serinus_api.v1 import registry_pb2 as pb


class RegistryWrites:
    """Passes changes on to `writes`; each is done, or not at all, before its caller hears of it."""

    def __init__(self, reads: Reads, writes: Writes) -> None:
        self._reads = reads
        self._writes = writes

    async def set_alias(self, asked: pb.SetAliasRequest, context: Context) -> Message:
        """Move an alias, or remove it."""
        model, selector = named(asked)
        alias = check_alias(asked.alias)
        expected, actor = expected_of(asked), actor_of(asked.actor, context)
        if selector:
            record = await self._writes.set_alias(model, alias, selector, expected_revision=expected, actor=actor)
        else:
            record = await self._writes.remove_alias(model, alias, expected_revision=expected, actor=actor)
        return pb.SetAliasResponse(model=await to_thread(model_message, record))

    async def set_tags(self, asked: pb.SetTagsRequest, context: Context) -> Message:
        """Add, change and remove tags of a version."""
        model, selector = named(asked)
        record = await self._writes.set_tags(
            model,
            selector,
            changed=tags_of("set", asked.set),
            removed=tag_names("remove", asked.remove),
            expected_revision=expected_of(asked),
            actor=actor_of(asked.actor, context),
        )
        return pb.SetTagsResponse(version=await written(self._reads, record))

    async def set_notes(self, asked: pb.SetCardNotesRequest, context: Context) -> Message:
        """Replace what was added to a version's card."""
        model, selector = named(asked)
        record = await self._writes.set_notes(
            model,
            selector,
            notes_of(asked.markdown),
            expected_revision=expected_of(asked),
            actor=actor_of(asked.actor, context),
        )
        return pb.SetCardNotesResponse(version=await written(self._reads, record))

    async def archive(self, asked: pb.ArchiveVersionRequest, context: Context) -> Message:
        """Hide a version, or bring it back."""
        model, selector = named(asked)
        change = self._writes.restore if asked.restore else self._writes.archive
        record = await change(
            model, selector, expected_revision=expected_of(asked), actor=actor_of(asked.actor, context)
        )
        return pb.ArchiveVersionResponse(version=await written(self._reads, record))

    async def delete(self, asked: pb.DeleteVersionRequest, context: Context) -> Message:
        """Delete a version for good."""
        revision = await self._writes.delete(
            check_model_name(asked.model),
            Version.parse(asked.version),
            expected_revision=expected_of(asked),
            actor=actor_of(asked.actor, context),
        )
        return pb.DeleteVersionResponse(revision=revision)


async def written(reads: Reads, record: VersionRecord) -> pb.ModelVersion:
    """A version that has just been written, with what names it."""
    try:
        aliases = (await reads.model(record.identity.model)).aliases
    except ServerError:
        aliases = {}  # the write is done, and that is what its caller must hear
    return await to_thread(whole_version, record, aliases)
