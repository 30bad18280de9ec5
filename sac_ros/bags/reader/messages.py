# SPDX-License-Identifier: Apache-2.0
"""What a bag holds: topics, and the messages on them."""

from __future__ import annotations

from dataclasses import dataclass

Message = tuple[str, int, int, bytes]
"""Topic, time of recording and of sending (ns; the same where only one is known), CDR."""


@dataclass(frozen=True)
class StoredTopic:
    """A topic of one storage file: its type, its messages and how they are serialised."""

    name: str
    type: str
    messages: int
    encoding: str
