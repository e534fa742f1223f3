"""The species of the generated birds, and the places they sit in: tables to read and to extend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Species:
    """What a species looks like; ``plumage`` names a row of ``PLUMAGES``."""

    name: str
    plumage: str
    crown: Literal["plain", "cap", "crest"] = "plain"
    bars: int = 0
    breast: Literal["plain", "streaks", "spots", "bib"] = "plain"
    beak: Literal["short", "long", "thick"] = "short"
    tail: Literal["square", "forked", "long"] = "square"


# Body, wing and belly.
PLUMAGES: dict[str, tuple[Colour, Colour, Colour]] = {
    "gold": ((214, 168, 46), (138, 98, 34), (238, 214, 140)),
    "slate": ((96, 116, 142), (58, 72, 94), (198, 206, 214)),
    "rust": ((176, 86, 48), (104, 54, 38), (228, 190, 160)),
    "moss": ((116, 134, 62), (72, 86, 44), (212, 212, 158)),
}
SPECIES: tuple[Species, ...] = (
    Species("Crested_Goldwing", "gold", crown="crest", bars=2),
    Species("Bibbed_Goldwing", "gold", breast="bib", beak="thick"),
    Species("Streaked_Slatebird", "slate", breast="streaks", beak="long"),
    Species("Capped_Slatebird", "slate", crown="cap", tail="forked"),
    Species("Spotted_Rusttail", "rust", breast="spots", tail="long"),
    Species("Barred_Rusttail", "rust", bars=2, beak="thick"),
    Species("Longbilled_Mossling", "moss", beak="long", crown="cap"),
    Species("Forktailed_Mossling", "moss", tail="forked", breast="streaks"),
    Species("Spotted_Goldwing", "gold", breast="spots", tail="forked"),
    Species("Longtailed_Slatebird", "slate", tail="long", bars=2),
    Species("Crested_Rusttail", "rust", crown="crest", beak="long"),
    Species("Bibbed_Mossling", "moss", breast="bib", crown="crest"),
    Species("Longbilled_Goldwing", "gold", beak="long", tail="long"),
    Species("Spotted_Slatebird", "slate", breast="spots", crown="crest"),
    Species("Capped_Rusttail", "rust", crown="cap", breast="bib"),
    Species("Barred_Mossling", "moss", bars=2, tail="long"),
)
# Two tones of each background.
BACKGROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((62, 92, 48), (148, 166, 96)),  # foliage
    ((134, 164, 196), (216, 226, 234)),  # sky
    ((48, 88, 112), (122, 158, 166)),  # water
    ((152, 126, 92), (214, 196, 160)),  # sand
    ((70, 60, 52), (140, 122, 104)),  # bark
    ((150, 96, 70), (214, 168, 110)),  # autumn
)
