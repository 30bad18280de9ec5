# SPDX-License-Identifier: Apache-2.0
"""What a verdict consists of."""

from __future__ import annotations

from typing import NamedTuple

GOOD, MIND, BAD = "good", "mind", "bad"


class Finding(NamedTuple):
    """One sentence, and whether it is ``good``, to ``mind`` or ``bad``."""

    meaning: str
    words: str
