# SPDX-License-Identifier: Apache-2.0
"""What a collector and a learner share, in one process or in two."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.training.replay_buffer import Layout, ReplayBuffer, register


class WeightsMailbox:
    """Where the learner leaves the actor's weights for the collector."""

    version = register(0)  # odd while the weights are being written

    def __init__(self, registers: NDArray[np.int64], parameters: NDArray[np.float32]) -> None:
        self.registers = registers
        self.parameters = parameters

    def publish(self, flat: NDArray[np.float32]) -> None:
        """Offers new weights [parameters] to the collector."""
        self.version += 1
        self.parameters[:] = flat
        self.version += 1

    def read(self, known: int) -> tuple[NDArray[np.float32], int] | None:
        """The weights and their version, or None: nothing newer than `known`, or half written."""
        version = self.version
        if version == known or version % 2:
            return None
        flat = self.parameters.copy()
        return (flat, version) if self.version == version else None


class CollectorControl:
    """How the learner paces the collector, which writes `standing` and `running` alone."""

    allowed_steps = register(0)  # transitions up to which the collector may go
    paused = register(1)  # number of the pause that the collector shall make; 0: none
    standing = register(2)  # number of the pause that it makes
    stopped = register(3)  # 1: the collector shall end
    running = register(4)  # 1: it has started, and steps unless it is paused

    def __init__(self, registers: NDArray[np.int64]) -> None:
        self.registers = registers


@dataclass(frozen=True)
class MemoryShape:
    """Sizes of a `SharedMemory`."""

    capacity: int
    observation: int
    action: int
    actor_parameters: int

    def layout(self) -> Layout:
        """Type and shape of every array; int64 first, so that everything is aligned."""
        return {
            "replay": (np.int64, (2,)),
            "weights": (np.int64, (1,)),
            "control": (np.int64, (5,)),
            "parameters": (np.float32, (self.actor_parameters,)),
            **ReplayBuffer.layout(self.capacity, self.observation, self.action),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(
            int(np.dtype(kind).itemsize * np.prod(shape)) for kind, shape in self.layout().values()
        )


class SharedMemory:
    """The replay buffer, the weights' mailbox and the control registers over one file."""

    def __init__(self, shape: MemoryShape, file_descriptor: int | None = None) -> None:
        """Maps an existing file, or makes a new one that has no name and dies with its users."""
        self.shape = shape
        if file_descriptor is None:
            directory = "/dev/shm" if os.path.isdir("/dev/shm") else None
            with tempfile.TemporaryFile(dir=directory) as file:
                self.file_descriptor = os.dup(file.fileno())
            os.ftruncate(self.file_descriptor, shape.nbytes)
        else:
            self.file_descriptor = file_descriptor
        memory = mmap.mmap(self.file_descriptor, shape.nbytes)
        arrays, offset = {}, 0
        for name, (kind, dimensions) in shape.layout().items():
            arrays[name] = np.ndarray(dimensions, kind, buffer=memory, offset=offset)
            offset += arrays[name].nbytes
        self.control = CollectorControl(arrays.pop("control"))
        self.weights = WeightsMailbox(arrays.pop("weights"), arrays.pop("parameters"))
        self.replay = ReplayBuffer(arrays.pop("replay"), shape.capacity, arrays)
