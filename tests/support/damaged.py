"""Files as a broken disk or a killed process leaves them."""

from __future__ import annotations

import random

FLIPS = 800


def damaged(content: bytes) -> list[bytes]:
    """Cuts of a file's content, and the content with one bit flipped."""
    variants, generator = [content[:length] for length in range(0, len(content), 11)], random.Random(0)
    for _ in range(FLIPS):
        changed = bytearray(content)
        changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        variants.append(bytes(changed))
    return variants
