# SPDX-License-Identifier: Apache-2.0
"""The torques that moved an arm, and its states, from a recording of either kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned, align
from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import AskedTopics, TopicFinder, last_part
from sac_ros.bags.reader.bag import Bag
from sac_ros.bags.recording import (
    Progress,
    ReadingOptions,
    names_in,
    opened,
    read_recording,
    topics_of,
)
from sac_ros.cdr import JOINT_STATE, NUMBERS
from sac_ros.utils.errors import BagError

Array = NDArray[np.float64]

EFFORTS = ("commanded", "measured")
"""What ``--effort`` takes: the torques of the command's topic, or those of the joint states."""

_SAME_TIME = 1e-6  # s, between two torques


@dataclass(frozen=True, eq=False)
class Torques:
    """What moved an arm of n joints.

    Attributes:
        states: where it was.
        time_s: [c] s, ascending, on the clock of the states.
        torque: [c, n] N·m.
        held: whether a torque acts until the next one, as a command does; else it is a sample.
        topic: where the torques were found.
        state_topic: where the states were.
    """

    states: Aligned
    time_s: Array
    torque: Array
    held: bool
    topic: str
    state_topic: str


def read_torques(
    paths: Sequence[Path],
    arm: str,
    joint_names: tuple[str, ...],
    options: ReadingOptions,
    effort: str,
    spool: Spool,
    progress: Progress = lambda _done, _all: None,
    pairing: str = "--joints",
) -> Torques:
    """Read bags, which are joined into one recording.

    Args:
        paths: the bags.
        arm: its name, for errors.
        joint_names: [n] which the states must have.
        options: how they are read.
        effort: one of `EFFORTS`; empty: commanded where commands were recorded.
        spool: where large arrays go.
        progress: is called with how much is done.
        pairing: the user's option for other names of joints, for errors.

    Raises:
        BagError: a bag cannot be used: it is of another arm, or has no torques.
    """
    where = " + ".join(f"bag {path}" for path in paths)
    with opened(paths, sent=options.clock == "sent") as bags:
        reading = replace(options, topics=_topics(bags, options, arm, joint_names, where, pairing))
        recording = read_recording(bags, joint_names, reading, spool, progress)
        aligned = align(recording, reading)
        commands = recording.commands.topic if recording.commands else ""
        states = recording.states.topic
    effort = effort or ("commanded" if len(aligned.commanded) else "measured")
    has_commands = recording.command_topic is not None
    time, torque = _chosen(aligned, effort, where, states, has_commands)
    topic = commands if effort == "commanded" else f"{states}, effort"
    return Torques(aligned, time, torque, effort == "commanded", topic, states)


def _topics(
    bags: Sequence[Bag],
    reading: ReadingOptions,
    arm: str,
    joint_names: tuple[str, ...],
    where: str,
    pairing: str,
) -> AskedTopics:
    """The topics to read: of several torques, those that the robot was sent.

    Raises:
        BagError: the states are of another arm.
    """
    topics = topics_of(bags)
    finder = TopicFinder(topics, reading.topics, where)
    states = finder.states()
    names = names_in(bags, states)
    missing = [name for name in joint_names if reading.mapping.get(name, name) not in names]
    if missing:
        joint = reading.mapping.get(missing[0], missing[0])
        raise BagError(
            f"{where} is of another arm: {states.name} has no joint {joint} of {arm} "
            f"({', '.join(joint_names)}), but {', '.join(names) or 'no names'}; pair them "
            f"with {pairing} ARM=BAG,..."
        )
    chosen = finder.commands()
    asked = reading.topics.commands
    if not asked and chosen is not None and last_part(chosen.name) == "policy_torque":
        # What the safety filter made of it is closer to what acted, and what was sent is that.
        for name, kind in (("commands", NUMBERS), ("applied_torque", JOINT_STATE)):
            sent = [each for each in topics.values() if each.messages and each.type == kind]
            sent = [each for each in sent if last_part(each.name) == name]
            if len(sent) == 1:
                return replace(reading.topics, commands=sent[0].name)
    return replace(reading.topics, commands=asked)


def _chosen(
    aligned: Aligned, effort: str, where: str, states: str, has_commands: bool
) -> tuple[Array, Array]:
    """When [c] one of the torques acted, and that torque [c, n].

    Raises:
        BagError: there is none.
    """
    if effort == "measured":
        if aligned.effort is None:
            others = "the recorded commands are no torques" if has_commands else "no commands"
            raise BagError(
                f"{where} has no torque to identify from: the effort of {states} is empty or "
                f"never changes, and there are {others}"
                if not len(aligned.commanded)
                else f"{where} has no measured effort: that of {states} is empty or never changes"
            )
        time, torque = aligned.time_s, aligned.effort.astype(np.float64)
    else:
        if not len(aligned.commanded):
            why = (
                f"commands of kind {aligned.facts.command_kind}"
                if has_commands and aligned.facts.command_kind != "effort"
                else "no commands that answer a joint state"
            )
            raise BagError(f"{where} has no commanded torque: it has {why}")
        time, torque = aligned.command_time_s, aligned.torque
    usable = np.isfinite(torque).all(axis=1)
    time, torque = time[usable], torque[usable]
    order = np.argsort(time, kind="stable")
    time, torque = time[order], torque[order]
    later = np.concatenate([[True], np.diff(time) > _SAME_TIME])[: len(time)]
    return time[later], torque[later]
