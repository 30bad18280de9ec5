# SPDX-License-Identifier: Apache-2.0
"""The policy's joints and the bag's: paired by name, or by a mapping that the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sac_ros.utils.errors import BagError, ConfigurationError


def parse_mapping(texts: Sequence[str], option: str = "--joints") -> dict[str, str]:
    """Read ``policy=bag`` pairs, each text one or several of them separated by commas.

    Raises:
        ConfigurationError: a pair is not of that form, or a name stands twice on a side.
    """
    pairs: dict[str, str] = {}
    for pair in (part for text in texts for part in text.split(",") if part):
        policy, equals, bag = pair.partition("=")
        if not (policy and equals and bag):
            raise ConfigurationError(f"{option} must be policy=bag pairs; got {pair!r}")
        if policy in pairs or bag in pairs.values():
            raise ConfigurationError(f"{option} must name each joint once; {pair!r} does not")
        pairs[policy] = bag
    return pairs


def bag_joints(
    policy: Sequence[str], bag: Sequence[str], mapping: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """Return the bag's name of each of the policy's joints [n].

    What the mapping (policy's name to bag's) does not name is called the same in both. ``bag``
    are the names in the bag's joint states on the topic ``where``.

    Raises:
        BagError: a joint is not in the bag. Never are two joints paired by their place.
    """
    unknown = [name for name in mapping if name not in policy]
    if unknown:
        raise BagError(
            f"--joints must name the policy's joints ({', '.join(policy)}); got {unknown[0]}"
        )
    names = tuple(mapping.get(joint, joint) for joint in policy)
    missing = [name for name in names if name not in bag]
    if missing:
        raise BagError(
            f"{where} has no joint {missing[0]}: the policy drives {', '.join(policy)}, the bag "
            f"has {', '.join(bag) or 'no names'}; pair them with --joints policy=bag,..."
        )
    return names
