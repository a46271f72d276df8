"""Model cards: what all have in common, and the card of an exported encoder.

A card is a Markdown file with front matter as the Hugging Face Hub reads it. That of a run says
more (`singerid.model_card`); this one knows an encoder by its file alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from singerid.encoder_graph import GraphHeader
from singerid.errors import one_line

_TAGS = ["audio", "singing", "singer-identification", "speaker-verification", "embedding"]
_USE = """## How to use it

```python
from singerid import SingerEncoder

encoder = SingerEncoder.from_pretrained("{place}")
vector = encoder.embed_file("one.wav")  # of unit length; the cosine of two is their score
```

It takes recordings of one voice each, without accompaniment. PyTorch is not needed; the command
line knows the file: `singerid verify one.wav two.wav --encoder encoder.onnx`.
"""
LIMITS = """## Intended use and limits

Meant for research on singing voices: comparing recordings, grouping them by voice, maps.

- The step was chosen by figures of validation, if there was any: they are better than those on
  singers that nobody has looked at. Measure on your own: `singerid evaluate`.
- A score is a cosine, not a probability, and a threshold holds for the recordings that it was
  found on: `singerid calibrate`.
- Nothing here tells a living singer from a recording, an imitation or a synthetic voice.
- How it does on groups of people, languages, styles, microphones and accompaniment that are not
  named above is unknown.

## Voices are biometric data

A vector that singles out a person by the voice can be biometric data. In the European Union,
processing it to identify a person uniquely is forbidden unless an exception such as explicit
consent applies (GDPR, articles 4 (14) and 9); in Illinois a voiceprint is a biometric identifier
that needs notice, a written release and a schedule of destruction (BIPA, 740 ILCS 14). Other places
have rules of their own. Embed voices of people who agreed, say what for, keep vectors no longer
than that, delete them on request, and let no score alone decide about a person.
"""


def exported_card(header: GraphHeader, place: str = "USER/NAME", license: str = "") -> str:
    """The card of an exported encoder.

    Args:
        header: what its file says of it.
        place: where it can be loaded from.
        license: of the weights, as the Hub names it (``cc-by-4.0``); "" for unknown.
    """
    spec, name = header.spec, one_line(header.name)
    seconds = header.partial_frames * spec.hop_seconds
    rows = [
        ("input", f"mono audio, resampled to {spec.audio.sample_rate} Hz; at least "
         f"{spec.audio.min_seconds:g} s"),
        ("partials", f"{header.partial_frames} frames ({seconds:.2f} s), mean over them"),
        ("output", f"{header.dim} numbers, unit length"),
        ("encoder", f"{header.fingerprint}; only vectors of this encoder are comparable"),
        ("calibration", "none" if header.calibration is None else "in the file"),
        ("licence of the weights", license or "unknown"),
    ]  # fmt: skip
    parts = [
        front_matter(license),
        f"# {name}\n\nA singer encoder: it turns singing into a vector of {header.dim} numbers, "
        "which lie close together for one voice and apart for two. What it was trained on, and "
        "how well it tells singers apart, its file does not say.\n",
        section("Model", table(("", ""), rows)),
        _USE.format(place=one_line(place)),
        LIMITS,
    ]
    return "\n".join(parts)


def front_matter(license: str, more: Mapping[str, Any] | None = None) -> str:
    """What the Hub reads of a card.

    Args:
        license: of the weights, as the Hub names it; "" for unknown.
        more: further fields.
    """
    matter = {
        "license": license or "unknown", "library_name": "singerid", "tags": _TAGS,
        "metrics": ["eer"], **(more or {}),
    }  # fmt: skip
    text: str = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def section(title: str, text: str) -> str:
    """A part of the card."""
    return f"## {title}\n\n{text}"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells keep to their line and column."""
    lines = [titles, ["---"] * len(titles), *rows]
    cells = ([one_line(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
