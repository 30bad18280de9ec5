# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # A Panda with an unknown payload
# A lab has a Panda that carries a tool. Nobody weighed the tool, the joints have friction that no
# data sheet states, and commands take effect late. This example goes from the robot as it is to a
# policy trained for it: **record, identify, train, deploy, evaluate**. It runs as a script
# (`python examples/panda_payload.py`) and, cell by cell, as a notebook in VS Code or Jupyter.
#
# Each step leaves its result in the output folder. Ctrl-C may come at any moment: the same command
# goes on with the step that was interrupted, and the training inside it with its last checkpoint.

# %%
"""Record, identify, train, deploy and evaluate a policy for a Panda with an unknown payload."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import shutil
import sys

from sac_ros.entry import end_on_signals

if __name__ == "__main__":
    print("panda_payload: loading", file=sys.stderr, flush=True)  # takes seconds
    end_on_signals()  # Ctrl-C before `run_command` handles it

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from payload_report import TOLERANCE, is_good, save_picture, table, with_truth

from sac_ros.cli import evaluate_bag, evaluate_policy, identify_robot
from sac_ros.policy.runtime import Policy
from sac_ros.robots.arm import load_arm
from sac_ros.ros.child_processes import ChildProcesses
from sac_ros.ros.reach_demo import HEADER, ReachWatch, draw_goals, ros_environment, row
from sac_ros.ros.remote_node import RemoteNode
from sac_ros.ros.spin import spinning_node
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, ConfigurationError, run_command
from sac_ros.utils.package_share import share_path

ARM = load_arm("panda")
SHIPPED = share_path("models", "panda_reach.onnx")
NAMESPACE = "/panda_payload"  # of all nodes
GRACE = 30.0  # s to end everything after Ctrl-C: a training writes its checkpoint
RATE = 100.0  # Hz, of the robot's joint states
SLOWEST = 0.6  # of that on the whole, the start of the nodes included: the policy needs 50 Hz


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `--quick` shows that the steps fit together, and nothing more."""

    excitation_goals: int = 30
    training: tuple[str, ...] = (
        *("total_steps:=10000", "evaluation_interval:=5000", "evaluation_episodes:=20"),
    )
    episodes: int = 100  # of each evaluation in simulation
    goals: int = 8  # on the robot
    seconds: float = 5.0  # for each of them


QUICK = Sizes(
    excitation_goals=8,
    training=(
        *("total_steps:=400", "warm_up_steps:=200", "sac.learning_starts:=400"),
        *("evaluation_episodes:=2", "env.episode_seconds:=4.0"),
    ),
    episodes=4,
    goals=1,
    seconds=3.0,
)

# %% [markdown]
# ## The robot
# `sim_node` is the stand-in for the lab's arm: joint states out, torques in, over ROS topics. Its
# world differs from the description by what `hidden_world` draws, which no later step reads; only
# the last picture shows it beside what was identified. It runs in PyBullet, and the training in
# MuJoCo, so that the two do not share an engine's errors.
#
# **For your own arm** leave `start_robot` empty, start its driver, and give `drive` its topics
# (docs/deploying.md has the torque interfaces of Franka, UR and KUKA).


# %%
def hidden_world(seed: int) -> dict[str, list[float]]:
    """What differs in the robot, as ranges of `env.randomization`, each of no width."""
    rng = np.random.default_rng(seed)
    friction = np.array([1.2, 1.2, 0.9, 0.9, 0.4, 0.4, 0.3]) * rng.uniform(0.75, 1.25, 7)
    damping = np.array([0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.2]) * rng.uniform(0.7, 2.0, 7)
    return {
        "payload_kg": [round(rng.uniform(0.8, 1.4), 3)] * 2,
        "coulomb_friction": np.repeat(friction.round(3), 2).tolist(),
        "joint_damping": np.repeat(damping.round(3), 2).tolist(),
        "command_latency_ms": [2.0 * float(rng.integers(4, 9))] * 2,
    }


def start_robot(nodes: ChildProcesses, world: Path) -> None:
    """The simulated arm: the one line to leave out where a real one runs."""
    nodes.start_node("sim_node", NAMESPACE, [world], arm=ARM.name, backend="bullet", rate=RATE)


# %% [markdown]
# ## Driving it
# A deployment is `policy_node` with `command_guard` between it and the robot, as
# `deploy.launch.py command_guard:=true` starts them. `recorder_node` records it into a bag. The
# goals are drawn within the policy's goal range; a goal counts as reached when the end effector
# stays within `close` m for `hold` s. A desktop is no real-time machine: hence the long watchdogs,
# which on a robot stay as config/policy.yaml has them.


# %%
def drive(
    output: Path,
    name: str,
    model: Path,
    goals: int,
    *,
    seed: int,
    seconds: float,
    controller: str = "policy",
    close: float = TOLERANCE,
    hold: float = 1.0,
) -> dict[str, Any]:
    """Drive the robot to goals, recorded into the bag `name`; return how each was reached."""
    bag = output / name
    shutil.rmtree(bag, ignore_errors=True)  # of a step that was interrupted
    reaches = []
    with (
        ros_environment(),
        ChildProcesses() as nodes,
        spinning_node("panda_payload", NAMESPACE) as node,
    ):
        nodes.start_node("recorder_node", NAMESPACE, bag=bag)
        start_robot(nodes, output / "robot.yaml")
        nodes.start_node(
            "command_guard",
            NAMESPACE,
            arm=ARM.name,
            watchdog_s=0.3,
            command_timeout_s=0.3,
        )
        nodes.start_node(
            "policy_node",
            NAMESPACE,
            topics={"commands": "policy_commands"},  # to the guard
            model_path=model.resolve(),
            controller=controller,
            watchdog_s=0.3,
        )
        name_of_node = f"{NAMESPACE}/policy_node"
        policy = RemoteNode(node, name_of_node, timeout=60.0, given_up=nodes.ended)
        events = f"{name_of_node}/events"  # without its beginning no recording is evaluated
        policy.wait_until(lambda: node.count_subscribers(events), "recorder_node records nothing")
        policy.bring_up("joint_states")
        watch = ReachWatch(policy, ARM, close=close, hold=hold)
        print(HEADER, flush=True)
        for number, goal in enumerate(draw_goals(ARM, Policy.load(model).spec, goals, seed), 1):
            reaches.append(watch.send(goal, seconds))
            print(row(number, goal, reaches[-1]), flush=True)
            if reaches[-1].seconds is None:
                watch.clear_fault()
    check_rate(bag)
    return {"reaches": [asdict(reach) for reach in reaches]}


def check_rate(bag: Path) -> None:
    """Refuse a recording of a machine that was too busy: it shows the machine, not the arm."""
    about = yaml.safe_load((bag / "metadata.yaml").read_text(encoding="utf-8"))
    about = about["rosbag2_bagfile_information"]
    (states,) = (
        topic["message_count"]
        for topic in about["topics_with_message_count"]
        if topic["topic_metadata"]["name"] == f"{NAMESPACE}/joint_states"
    )
    rate = 1e9 * states / about["duration"]["nanoseconds"]
    if rate < SLOWEST * RATE:
        raise ConfigurationError(
            f"joint states must come at {SLOWEST * RATE:g} Hz or more; in {bag} they do at "
            f"{rate:.0f} Hz. This machine is too slow or too busy: end what else runs, and give "
            "the same command again"
        )


def command(main: Callable[[Sequence[str]], int], *arguments: object) -> dict[str, Any]:
    """Run a console command of the package with `--json`, as a shell would; return its answer."""
    words = [str(each) for each in (*arguments, "--json")]
    print("  $", shlex.join([main.__module__.rpartition(".")[2], *words]), flush=True)
    with contextlib.redirect_stdout(io.StringIO()) as answer:
        code = main(words)
    if code:
        raise ConfigurationError(f"that command ended with exit code {code}")
    found: dict[str, Any] = json.loads(answer.getvalue())
    return found


# %% [markdown]
# ## 1. Excite and record
# An identification needs every joint to move, in both directions, as fast as in the task. The
# shipped policy on its way from goal to goal does that, behind the guard and within its limits;
# the next goal is sent as soon as one is near.


# %%
def record(output: Path, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Step 1: a bag of the arm on its way to goals all over the goal box."""
    goals = sizes.excitation_goals
    far = 0.06  # m: near enough for the next goal
    return drive(output, "bag", SHIPPED, goals, seed=seed, seconds=2.5, close=far, hold=0.0)


# %% [markdown]
# ## 2. Identify
# `identify_robot` estimates payload, friction, delay and more, each with a 95 % interval, and
# writes the worlds to train in: the ranges of `env.randomization` (docs/identification.md).


# %%
def identify(output: Path) -> dict[str, Any]:
    """Step 2: the world file, and each estimate with its interval."""
    arguments = (output / "bag", "--arm", ARM.name, "--output", output / "world.yaml", "--force")
    return command(identify_robot.main, *arguments)


# %% [markdown]
# ## 3. Train in those worlds
# config/robust.yaml begins with a model-based servo with a disturbance observer; the world file
# replaces its wide ranges by what was identified. `env.action_scale_factor: 2` gives the policy
# twice the torque: the load and the friction take a good part of what the shipped one has.


# %%
def train(output: Path, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Step 3: a run in `OUTPUT/run`, resumed from its checkpoint where there is one."""
    run = output / "run"
    arguments = ["--ros-args"]
    for file in (share_path("config", "robust.yaml"), output / "world.yaml"):
        arguments += ["--params-file", str(file)]
    if list(run.glob("checkpoint_*.pt")):
        arguments += ["-p", "resume:=true"]
    else:
        shutil.rmtree(run, ignore_errors=True)  # interrupted before its first checkpoint
    for each in (
        *(f"directory:={output}", "name:=run", f"seed:={seed}", "env.action_scale_factor:=2.0"),
        *("robustness_episodes:=0", "record_video:=false", *sizes.training),
    ):
        arguments += ["-p", each]
    print("  $", shlex.join(["train_node", *arguments]), flush=True)
    with ros_environment(), ChildProcesses() as nodes:
        nodes.start("train_node", arguments)
        code = nodes.wait("train_node")
    if code not in (EXIT_DONE, EXIT_BAD_ANSWER) or not (run / "evaluation.json").exists():
        raise ConfigurationError(f"train_node ended with exit code {code}, before its end")
    found: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return found


# %% [markdown]
# ## 4. Evaluate in simulation, and decide
# In the identified worlds, on goals that the training has not seen: the textbook controller, the
# shipped policy and the trained one. This is where to stop if the shipped policy is enough.


# %%
def contestants(output: Path) -> dict[str, tuple[Path, str]]:
    """Label, policy file and controller of whoever is compared."""
    return {
        "textbook": (SHIPPED, "computed_torque"),
        "shipped": (SHIPPED, "policy"),
        "trained": (output / "run" / "policy.onnx", "policy"),
    }


def simulate(output: Path, model: Path, controller: str, sizes: Sizes) -> dict[str, Any]:
    """Step 4: a policy in closed loop in the identified worlds."""
    world = ("--world", output / "world.yaml", "--backend", "mujoco", "--hold", 0)
    counts = ("--episodes", sizes.episodes, "--seed", 5000, "--controller", controller)
    return command(evaluate_policy.main, model, *world, *counts)


# %% [markdown]
# ## 5. Deploy, and look at the recording
# The same goals for all three, on the robot. `evaluate_bag` then runs the trained policy on its
# own recording: did it keep its limits, what did the safety filter do, may it run again?


# %%
def verdict(output: Path) -> dict[str, Any]:
    """Step 5b: the verdict on the deployment of the trained policy, and a report to look at."""
    model = output / "run" / "policy.onnx"
    arguments = (output / "trained", "--model", model, "--output", output / "report")
    verdict: dict[str, Any] = command(evaluate_bag.main, *arguments)["models"][0]["verdict"]
    return verdict


# %% [markdown]
# ## The whole of it
# `step` keeps each result as `OUTPUT/NAME.json` and takes it from there the next time.


# %%
def run(output: Path, seed: int, sizes: Sizes) -> int:
    """Every step that has no result yet, then the summary."""
    output.mkdir(parents=True, exist_ok=True)
    world = hidden_world(seed)
    settings = {"seed": seed, **asdict(sizes)}
    results: dict[str, Any] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        file = output / f"{name}.json"
        if not file.exists():
            print(f"\n== {name}", flush=True)
            text = json.dumps(work(), indent=1)
            with atomic_write(file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        else:
            print(f"== {name}: {file} is there", flush=True)
        results[name] = json.loads(file.read_text(encoding="utf-8"))
        return results[name]

    if step("settings", lambda: settings) != json.loads(json.dumps(settings)):
        raise ConfigurationError(
            f"--output must be new, or of the same --seed and --quick; {output} has seed "
            f"{results['settings']['seed']}, or other sizes"
        )
    section = {"/**/sim_node": {"ros__parameters": {"randomization": world, "seed": seed}}}
    (output / "robot.yaml").write_text(yaml.safe_dump(section), encoding="utf-8")

    step("record", lambda: record(output, seed, sizes))
    step("identify", lambda: identify(output))
    step("train", lambda: train(output, seed, sizes))
    for name, (model, controller) in contestants(output).items():
        step(f"simulate_{name}", partial(simulate, output, model, controller, sizes))
    for name, (model, controller) in contestants(output).items():
        work = partial(drive, output, name, model, sizes.goals, controller=controller)
        step(name, partial(work, seed=seed + 1000, seconds=sizes.seconds))
    step("verdict", lambda: verdict(output))

    found = with_truth(results, world, ARM.joint_names)
    text = table(results, found)
    with atomic_write(output / "summary.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    save_picture(results, found, output / "panda_payload.png")
    print(f"\n{text}\n\n{output}/panda_payload.png, {output}/report/report.html", flush=True)
    return EXIT_DONE if is_good(results) else EXIT_BAD_ANSWER


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns 0, 1 where the trained policy is not good, 2, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="docs/example.md describes it")
    parser.add_argument("--output", type=Path, help="folder (default: runs/panda_payload_SEED)")
    parser.add_argument("--seed", type=int, default=0, help="of the robot and of the training (0)")
    parser.add_argument("--quick", action="store_true", help="every step, small: a minute")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error(f"--seed must be at least 0; got {options.seed}")
    name = f"panda_payload_{options.seed}" + ("_quick" if options.quick else "")
    output = (options.output or Path("runs", name)).resolve()
    return run(output, options.seed, QUICK if options.quick else Sizes())


# %%
if __name__ == "__main__":
    in_notebook = "ipykernel" in sys.modules
    sys.exit(run_command(lambda: main([] if in_notebook else None), grace=GRACE))
