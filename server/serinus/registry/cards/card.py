"""Writes the model card of a version: everything that is known of it, as markdown."""

from collections.abc import Iterator, Sequence

import yaml

from serinus.core.signature import TensorSpec
from serinus.registry.cards.card_report import quantization
from serinus.registry.cards.markdown import inline, literal, number, section, size, table
from serinus.registry.records import VersionRecord, VersionState


def render_card(record: VersionRecord, *, aliases: Sequence[str]) -> str:
    """The card of one version.

    What others wrote is escaped wherever it stands in a sentence or a table, so it cannot pass for a part of the card.
    The author's own sections and the notes are markdown and stay as they are; whoever shows a card as HTML must not
    trust it.

    Args:
        record: The version.
        aliases: Those that name it.
    """
    return "\n\n".join([f"# {inline(str(record.identity))}", *_sections(record, aliases)]).rstrip() + "\n"


def _sections(record: VersionRecord, aliases: Sequence[str]) -> Iterator[str]:
    facts = record.facts
    if facts.description:
        yield _paragraphs(facts.description)
    yield section("Details", _details(record, aliases))
    yield from _if_said("Intended use", _paragraphs(facts.intended_use))
    yield from _if_said("Training data", _training_data(record))
    yield from _if_said("Parameters", table(("Parameter", "Value"), sorted(facts.parameters.items())))
    metrics = [(name, number(value)) for name, value in sorted(facts.metrics.items())]
    yield from _if_said("Metrics", table(("Metric", "Value"), metrics))
    signature = record.examination.signature
    yield section("Inputs", _tensors(signature.inputs) or "None.")
    yield section("Outputs", _tensors(signature.outputs) or "None.")
    yield from _if_said("Serving", _serving(record))
    yield from _if_said("Golden requests", _goldens(record))
    yield from _if_said("What the server noted", "\n".join(f"- {inline(note)}" for note in record.examination.notes))
    yield from _if_said("Quantization", quantization(record.report))
    yield section("Files", _files(record))
    # From here on the author writes, headings included.
    yield from (text for text in (facts.card.strip("\n"), record.notes.strip("\n")) if text.strip())


def _if_said(title: str, text: str) -> Iterator[str]:
    if text:
        yield section(title, text)


def _details(record: VersionRecord, aliases: Sequence[str]) -> str:
    facts, change = record.facts, str(record.change)
    rows = [
        ("Model", record.identity.model),
        ("Version", f"{record.identity.version} (number {record.identity.number})"),
        ("State", "" if record.state is VersionState.ACTIVE else str(record.state)),
        ("Aliases", ", ".join(sorted(aliases))),
        ("Framework", facts.framework),
        ("Author", facts.author),
        ("License", facts.license),
        ("Registered", f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC by {record.created_by or 'nobody named'}"),
        ("Change", f"{change}, registered by force under a smaller version" if record.is_forced else change),
        ("Quantized from", facts.quantized_from),
        ("Trained from", facts.trained_from),
        ("Code revision", facts.code_revision),
        ("Tags", ", ".join(f"{name}={value}" if value else name for name, value in sorted(record.tags.items()))),
        ("Promised latency (p99)", "" if facts.serving.slo.p99_s is None else f"{number(facts.serving.slo.p99_s)} s"),
        (
            "Promised error rate",
            "" if facts.serving.slo.error_rate is None else f"at most {number(facts.serving.slo.error_rate)}",
        ),
        ("Size", size(record.manifest.size_bytes)),
        ("Digest", record.manifest.digest),
    ]
    return table(("", ""), [row for row in rows if row[1]])


def _training_data(record: VersionRecord) -> str:
    facts = record.facts
    known = [("Hash", facts.training_data_hash), ("Revision", facts.dataset_revision)]
    rows = [row for row in known if row[1]]
    return "\n\n".join(part for part in (_paragraphs(facts.training_data), table(("", ""), rows)) if part)


def _tensors(specs: Sequence[TensorSpec]) -> str:
    rows = [
        (
            spec.name,
            str(spec.dtype),
            f"[{', '.join(str(dim) for dim in spec.shape)}]",
            "" if spec.batch_axis is None else str(spec.batch_axis),
            "optional" if spec.optional else "",
        )
        for spec in specs
    ]
    has_optional = any(spec.optional for spec in specs)
    titles = ("Name", "Type", "Shape", "Batch axis", "")
    return table(titles if has_optional else titles[:-1], [row if has_optional else row[:-1] for row in rows])


def _serving(record: VersionRecord) -> str:
    said = record.facts.serving.model_dump(mode="json", exclude_defaults=True)
    if not said:
        return ""
    return literal(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100), "yaml")


def _goldens(record: VersionRecord) -> str:
    goldens, tolerance = record.examination.goldens, record.facts.tolerance
    if not goldens:
        return ""
    within = f"{number(tolerance.absolute)} + {number(tolerance.relative)} * expected"
    bound = f"Answers are within {within} of those registered; they are compared again at each load."
    rows = [(golden.name, number(golden.max_difference)) for golden in goldens]
    return f"{bound}\n\n{table(('Request', 'Largest difference'), rows)}"


def _files(record: VersionRecord) -> str:
    rows = [(each.path, size(each.size_bytes), each.sha256) for each in record.manifest.files]
    return table(("File", "Size", "SHA-256"), rows)


def _paragraphs(text: str) -> str:
    """Plain text, its lines kept and everything else escaped."""
    paragraphs = [" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n")]
    return "\n\n".join(inline(part) for part in paragraphs if part)
