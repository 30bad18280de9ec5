# SPDX-License-Identifier: Apache-2.0
"""What a policy survives: the same goals in a world that differs, condition by condition."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sac_ros.policy.runtime import Policy
from sac_ros.training.evaluation import Evaluation, evaluate
from sac_ros.training.policy_in_loop import (
    computed_torque_controller,
    environment_of,
    policy_controller,
)
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.interrupts import held_back

TOLERANCE = 0.02  # m, of the rates in the table; orientations: 5°
EPISODE_SECONDS = 6.0
HELD_SECONDS = 15.0
BATCH = 10  # arms at once

CONDITIONS: dict[str, dict[str, tuple[float, float]]] = {
    "nominal": {},
    "mass_20_percent": {"mass_scale": (0.8, 1.2)},
    "torque_gain_10_percent": {"torque_gain": (0.9, 1.1)},
    "gravity_10_percent": {"gravity_scale": (0.9, 1.1)},
    "friction_0.5_Nm": {"coulomb_friction": (0.5, 0.5)},
    "friction_2_Nm": {"coulomb_friction": (2.0, 2.0)},
    "rotor_inertia_0.1": {"armature": (0.1, 0.1)},
    "no_joint_damping": {"joint_damping_scale": (0.0, 0.0)},
    "latency_20_ms": {"latency_ms": (20.0, 20.0)},
    "latency_40_ms": {"latency_ms": (40.0, 40.0)},
    "latency_60_ms": {"latency_ms": (60.0, 60.0)},
    "torque_bias_1_percent": {"torque_bias_fraction": (-0.01, 0.01)},
    "payload_1_kg": {"payload_kg": (1.0, 1.0)},
    "payload_2_kg": {"payload_kg": (2.0, 2.0)},
    "payload_3_kg_declared": {"declared_payload_kg": (3.0, 3.0)},
    "noise": {"position_noise": (1e-3, 1e-3), "velocity_noise": (0.05, 0.05)},
    "starts_anywhere": {"start_spread": (10.0, 10.0)},
    "hold_15_s": {},
}
"""What is different, by the names of `randomization.TERMS`; in the last, 2 cm are to be kept for
15 s more."""


@dataclass(frozen=True)
class Contestant:
    """Who is put into the conditions.

    Attributes:
        model: the policy file; for the textbook controller the one whose arm, task, rate and
            torque it gets.
        controller: `policy` or `computed_torque`.
        authority: `policy` or `robot`, of the textbook controller.
    """

    model: str
    controller: str = "policy"
    authority: str = "policy"

    @property
    def label(self) -> str:
        """What tables call it."""
        if self.controller == "policy":
            return Path(self.model).stem
        return self.controller + (" (robot's torque)" if self.authority == "robot" else "")


@dataclass(frozen=True)
class Rate:
    """A fraction of episodes with its 95 % confidence interval (Wilson 1927)."""

    rate: float
    low: float
    high: float

    @classmethod
    def of(cls, rate: float, episodes: int) -> Rate:
        """Of `rate` of so many episodes."""
        z, n = 1.96, episodes
        middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
        # Rounding must not leave a rate of 0 or 1 outside its interval.
        return cls(rate, max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half)))


@dataclass(frozen=True)
class Cell:
    """How one contestant did in one condition.

    Attributes:
        condition: one of `CONDITIONS`.
        controller: its label.
        success: within 2 cm (and 5°) and slow; in `hold_15_s`: that it did not leave 2 cm again;
            where goals move: within 2 cm RMS of the path.
        median_error_m: m, at the end.
        tracking_rms_m: m, where goals move.
    """

    condition: str
    controller: str
    success: Rate
    median_error_m: float
    tracking_rms_m: float | None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**values, "success": Rate(**values["success"])})


@dataclass(frozen=True)
class Conditions:
    """What all cells of a table have in common; arguments of `ArmVectorEnv` and `evaluate`."""

    backend: str = "bullet"
    episodes: int = 100
    seed: int = 1000
    arguments: tuple[tuple[str, str], ...] = ()


def run_cell(contestant: Contestant, condition: str, common: Conditions) -> Cell:
    """Simulates one cell of the table."""
    policy = Policy.load(contestant.model, timed=False)
    env = environment_of(
        policy,
        min(BATCH, common.episodes),
        backend=common.backend,
        episode_seconds=EPISODE_SECONDS,
        randomization=CONDITIONS[condition],
        **dict(common.arguments),
    )
    if contestant.controller == "policy":
        controller = policy_controller(policy, env)
    else:
        controller = computed_torque_controller(env, contestant.authority, policy.spec)
    holds = condition == "hold_15_s" and not env.task.moving
    found = evaluate(
        env,
        controller,
        episodes=common.episodes,
        seed=common.seed,
        hold_seconds=HELD_SECONDS if holds else 0.0,
    )
    env.close()
    assert found is not None, "nothing interrupts it"
    return Cell(
        condition,
        contestant.label,
        Rate.of(_rate(found), common.episodes),
        found.median_error_m,
        found.tracking.tracking_rms_m if found.tracking else None,
    )


def _rate(found: Evaluation) -> float:
    if found.hold is not None:
        return 1.0 - found.hold.left_2cm_rate
    return found.success_rate(TOLERANCE)


def run_table(
    contestants: Sequence[Contestant],
    common: Conditions,
    *,
    kept: Path,
    processes: int,
    progress: Callable[[int, int], object] = lambda *_: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> list[Cell] | None:
    """The table, cell by cell on all cores; what `kept` has of an earlier call is not run again.

    Args:
        contestants: the columns.
        common: what all cells have in common.
        kept: a JSON file, written after every cell.
        processes: how many cells run at once.
        progress: gets the number of cells that are there, and of all.
        interrupted: asked several times a second; the table is None then.
    """
    done = _read_kept(kept)
    wanted = {
        _key(contestant, condition, common): (contestant, condition)
        for condition in CONDITIONS
        for contestant in contestants
    }
    missing = {key: each for key, each in wanted.items() if key not in done}
    progress(len(wanted) - len(missing), len(wanted))
    with _one_thread_each():
        pool = ProcessPoolExecutor(processes, get_context("spawn"))
        ended_early = True
        try:
            # Ctrl-C reaches all processes of a terminal: what to do then is decided here.
            with held_back():
                running = {
                    pool.submit(run_cell, *each, common): key for key, each in missing.items()
                }
            left = set(running)
            while left:
                ended, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
                for each in ended:
                    done[running[each]] = asdict(each.result())
                if ended:
                    with atomic_write(kept) as partial:
                        partial.write_text(json.dumps(done, indent=1) + "\n")
                    progress(len(wanted) - len(left), len(wanted))
                if interrupted():
                    return None
            ended_early = False
        finally:
            if ended_early:  # what runs may be seconds from its end
                for process in list((pool._processes or {}).values()):
                    process.kill()
            pool.shutdown(cancel_futures=True)
    return [Cell.from_dict(done[key]) for key in wanted]


def _key(contestant: Contestant, condition: str, common: Conditions) -> str:
    """What a cell follows from; so a changed file or condition is run again."""
    told = {
        "sha256": hashlib.sha256(Path(contestant.model).read_bytes()).hexdigest(),
        "contestant": [contestant.label, contestant.controller, contestant.authority],
        "condition": [condition, CONDITIONS[condition], EPISODE_SECONDS],
        "common": asdict(common),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    return f"{contestant.label} {condition} {digest}"


def _read_kept(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        for each in found.values():
            Cell.from_dict(each)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} must be what --robustness kept there, or not exist; got {error}"
        ) from error
    return dict(found)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Has processes that start now compute in one thread: they share the cores."""
    before = dict(os.environ)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---- to look at ---------------------------------------------------------------------------------


def parse_limits(texts: Sequence[str]) -> dict[str, float]:
    """Least rates by condition of texts such as `nominal=0.95`; `all=RATE` is of every one.

    Raises:
        ConfigurationError: no such condition, or no rate.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in (*CONDITIONS, "all"):
            raise ConfigurationError(
                f"--fail-on must name all or one of {', '.join(CONDITIONS)}; got {name!r}"
            )
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0.0 <= rate <= 1.0:
            raise ConfigurationError(
                f"--fail-on {name} must have a rate of 0 to 1, as {name}=0.9; got {text!r}"
            )
        limits |= dict.fromkeys(CONDITIONS, rate) if name == "all" else {name: rate}
    return limits


def below(cells: Sequence[Cell], limits: Mapping[str, float], judged: Sequence[str]) -> list[str]:
    """A sentence for each cell of the `judged` controllers that is below its limit."""
    return [
        f"{cell.controller} reaches {cell.success.rate:.0%} in {cell.condition}, less than the "
        f"{limits[cell.condition]:.0%} of --fail-on"
        for cell in cells
        if cell.controller in judged and cell.success.rate < limits.get(cell.condition, 0.0)
    ]


def robustness_markdown(cells: Sequence[Cell]) -> str:
    """The table: a row a condition, a column a controller; rate, interval and median error."""
    labels = list(dict.fromkeys(cell.controller for cell in cells))
    found = {(cell.condition, cell.controller): cell for cell in cells}
    lines = [f"| condition | {' | '.join(labels)} |", "|---" * (1 + len(labels)) + "|"]
    for condition in dict.fromkeys(cell.condition for cell in cells):
        row = [_words(found[condition, label]) for label in labels]
        lines.append(f"| {condition.replace('_', ' ')} | {' | '.join(row)} |")
    return "\n".join(lines)


def add_to_card(card: Path, cells: Sequence[Cell], common: Conditions, picture: str = "") -> None:
    """Writes the table into a model card, in the place of one that is there."""
    begin, end = "## Robustness\n", "## Limits\n"
    text = card.read_text(encoding="utf-8")
    before, _, after = text.partition(end)
    section = f"""{begin}{common.episodes} episodes a cell in {common.backend}, seeds \
{common.seed} and on, {EPISODE_SECONDS:g} s each: the rate of those that end within 2 cm (and 5° \
of an orientation), still, its 95 % interval, and the median error at the end; of moving goals: \
within 2 cm RMS of the path, and the RMS error. `computed_torque` is the textbook controller at \
the same rate and torque.
`evaluate_policy {card.with_suffix(".onnx").name} --robustness --card` measures it again.

{robustness_markdown(cells)}

"""
    if picture:
        section += f"![robustness]({picture})\n\n"
    with atomic_write(card) as partial:
        partial.write_text(before.partition(begin)[0] + section + end + after, encoding="utf-8")


def _words(cell: Cell) -> str:
    error = cell.median_error_m if cell.tracking_rms_m is None else cell.tracking_rms_m
    low, high = cell.success.low, cell.success.high
    return (
        f"{100 * cell.success.rate:.0f} % ({100 * low:.0f} to {100 * high:.0f}), "
        f"{1e3 * error:.1f} mm"
    )


def save_heat_map(cells: Sequence[Cell], path: Path, title: str) -> None:
    """The rates as a picture, a PNG: red where nothing is reached, green where everything is."""
    # Imported here: pyplot takes half a second.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    labels = list(dict.fromkeys(cell.controller for cell in cells))
    rows = list(dict.fromkeys(cell.condition for cell in cells))
    found = {(cell.condition, cell.controller): cell for cell in cells}
    rates = [[100 * found[row, label].success.rate for label in labels] for row in rows]
    figure = Figure(
        figsize=(3.4 + 1.5 * len(labels), 1.6 + 0.34 * len(rows)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(rates, cmap="RdYlGn", vmin=0.0, vmax=100.0, aspect="auto")
    axes.set_xticks(range(len(labels)), [label.replace(" (", "\n(") for label in labels])
    axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
    axes.xaxis.tick_top()
    for y, row in enumerate(rows):
        for x, label in enumerate(labels):
            cell = found[row, label]
            error = cell.median_error_m if cell.tracking_rms_m is None else cell.tracking_rms_m
            text = f"{100 * cell.success.rate:.0f} %   {1e3 * error:.1f} mm"
            dark = not 0.15 < cell.success.rate < 0.85
            colour = "white" if dark else "black"
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_title(title, fontsize=10)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=130, format="png")
