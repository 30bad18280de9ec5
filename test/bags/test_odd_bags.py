# SPDX-License-Identifier: Apache-2.0
"""Every odd bag is opened, or refused with one sentence and exit code 2; a test for each."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import (
    COMMANDS,
    START_NS,
    STATES,
    TYPE_OF,
    TYPES,
    Entry,
    Motion,
    joint_state,
    numbers,
    write_bag,
)
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.evaluate_bag import main

SHARED = Path(__file__).parents[3] / "shared" / "bags"  # beside the repository
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_policy(tmp_path / "tiny.onnx")


@pytest.fixture
def evaluated(model: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: Any) -> dict[str, Any]:
        code = main([*map(str, arguments), "--model", str(model), "--json"])
        output = capsys.readouterr()
        assert (code, output.err) == (0, "")
        found: dict[str, Any] = json.loads(output.out)
        return found

    return run


@pytest.fixture
def refused(model: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: Any) -> str:
        assert main([*map(str, arguments), "--model", str(model)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        return output.err

    return run


def storage_file(bag: Path) -> Path:
    (file,) = (each for each in bag.iterdir() if each.suffix in (".db3", ".mcap"))
    return file


def exact(found: dict[str, Any], samples: int = 300) -> bool:
    errors = found["models"][0]["errors"][0]
    return errors["samples"] == samples and errors["overall"]["max_share"] < 1e-5


# ---- clocks ------------------------------------------------------------------------------------


def test_simulated_stamps_are_detected_and_are_the_clock(tmp_path: Path, evaluated: Any) -> None:
    # The simulator runs at half of real time, so a second of stamps takes two of the recorder's.
    motion = Motion(rate_hz=50.0, stamps=lambda i: 5_000_000_000 + i * 10_000_000)
    bag = write_bag(tmp_path / "bag", motion.entries())
    found = evaluated(bag)
    clock = found["recording"]["clock"]
    assert clock["name"] == "header"
    assert clock["factor"] == pytest.approx(0.5)
    assert "0.50 of the recorder's clock: simulated time" in clock["why"]
    assert found["recording"]["states"]["rate_hz"] == pytest.approx(100.0)
    assert found["recording"]["commands"]["rate_hz"] == pytest.approx(100.0)
    assert exact(found)
    wall = evaluated(bag, "--time", "received")
    assert wall["recording"]["clock"]["name"] == "received"
    assert wall["recording"]["states"]["rate_hz"] == pytest.approx(50.0)


def test_states_without_stamps_are_judged_by_the_recorders_clock(
    tmp_path: Path, evaluated: Any, refused: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(stamps=lambda i: 0).entries())
    found = evaluated(bag)
    assert found["recording"]["clock"]["name"] == "received"
    assert "no header stamps" in found["recording"]["clock"]["why"]
    assert exact(found)
    assert "--time header needs stamps" in refused(bag, "--time", "header")


def test_times_of_sending_are_read_from_mcap(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries(), "mcap")
    found = evaluated(bag, "--time", "sent")
    assert found["recording"]["clock"]["name"] == "sent"
    assert exact(found)


# ---- what is not filled ------------------------------------------------------------------------


def test_effort_of_zero_and_a_still_velocity_count_as_not_filled(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    entries = motion.goals()
    for i in range(motion.count):
        position, velocity = motion.state(i)
        velocity[1] = 0.0
        cdr = joint_state(motion.time_ns(i), JOINTS, position, velocity, np.zeros(3))
        entries.append(Entry(STATES, "states", motion.time_ns(i), cdr))
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert not found["recording"]["effort_filled"]
    assert found["recording"]["still_joints"] == ["elbow"]
    assert any("effort is not filled" in warning for warning in found["warnings"])
    assert any("the velocity of elbow never changes" in each for each in found["warnings"])


def test_states_without_velocities_are_refused_with_the_field(
    tmp_path: Path, refused: Any
) -> None:
    motion = Motion()
    entries = [
        Entry(STATES, "states", motion.time_ns(i), joint_state(1 + i, JOINTS, motion.state(i)[0]))
        for i in range(20)
    ]
    message = refused(write_bag(tmp_path / "bag", entries))
    assert "velocity has 0 values for 3 joints" in message


def test_commands_that_begin_late_are_evaluated_where_they_overlap(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    late = motion.commands()[120:]
    found = evaluated(write_bag(tmp_path / "bag", [*motion.states(), *motion.goals(), *late]))
    assert exact(found, 180)
    assert found["recording"]["first_command_s"] == pytest.approx(1.2)
    assert found["recording"]["start_s"] == 0.0


def test_commands_without_a_state_before_them_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [*motion.states()[100:], *motion.goals(), *motion.commands()]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert exact(found, 200)
    assert found["recording"]["commands"]["dropped"] == {"no state shortly before it": 100}


def test_commands_after_the_last_state_answer_none(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [*motion.states()[:200], *motion.goals(), *motion.commands()]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    dropped = found["recording"]["commands"]["dropped"]
    assert dropped["no state shortly before it"] == 98  # two more may be late
    assert found["models"][0]["errors"][0]["samples"] == 200


def test_a_torque_with_a_stamp_belongs_to_that_state_whenever_it_came(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    entries = [each for i, each in enumerate(motion.states()) if i % 3]
    for i in range(motion.count):
        cdr = joint_state(motion.time_ns(i), JOINTS, effort=motion.command(i))
        late = motion.time_ns(i) + 35_000_000  # three states later
        entries.append(Entry("/policy_node/policy_torque", "states", late, cdr))
    found = evaluated(write_bag(tmp_path / "bag", [*entries, *motion.goals()]))
    assert exact(found, 200)
    assert found["recording"]["commands"]["dropped"] == {"answers no state in the bag": 100}


def test_bags_that_overlap_are_put_in_order(tmp_path: Path, evaluated: Any) -> None:
    entries = Motion().entries()
    bags = [write_bag(tmp_path / f"{i}", entries[i::2]) for i in range(2)]
    found = evaluated(*bags)
    assert exact(found)
    assert found["recording"]["states"]["dropped"] == {}


# ---- messages ----------------------------------------------------------------------------------


def test_trailing_bytes_are_read_over_counted_and_warned_of(
    tmp_path: Path, evaluated: Any
) -> None:
    entries = [
        Entry(each.topic, each.kind, each.time_ns, each.cdr + b"\xff" * 8)
        if each.topic == STATES
        else each
        for each in Motion().entries()
    ]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert exact(found)
    assert any("300 messages have bytes behind their end" in each for each in found["warnings"])


def test_single_messages_that_are_damaged_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = motion.entries()
    for i in (3, 70, 200):
        entries[i].cdr = entries[i].cdr[:50]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert found["recording"]["states"]["dropped"] == {"cannot be decoded": 3}
    assert found["recording"]["states"]["used"] == 297


def test_json_under_a_ros_type_name_is_refused(tmp_path: Path, refused: Any) -> None:
    raw = json.dumps({"name": list(JOINTS), "position": [0, 0, 0]}).encode()
    entries = [Entry(STATES, "states", START_NS + i, raw) for i in range(5)]
    message = refused(write_bag(tmp_path / "bag", entries))
    assert "not plain CDR" in message
    assert '{"name"' in message


def test_a_state_that_is_not_finite_or_absurd_is_dropped(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = motion.entries()
    entries[9].cdr = joint_state(motion.time_ns(9), JOINTS, [np.nan, 0, 0], [0, 0, 0])
    entries[19].cdr = joint_state(motion.time_ns(19), JOINTS, [0, 0, 0], [0, 1e200, 0])
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert found["recording"]["states"]["dropped"] == {"not finite, or 1e+09 and more": 2}


def test_stamps_that_repeat_or_run_backwards_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    stamps = [motion.time_ns(i) for i in range(300)]
    stamps[50], stamps[120] = stamps[49], stamps[110]
    motion.stamps = stamps.__getitem__
    found = evaluated(write_bag(tmp_path / "bag", motion.entries()))
    dropped = found["recording"]["states"]["dropped"]
    assert dropped == {"stamp repeats": 1, "stamp runs backwards": 1}
    assert found["recording"]["states"]["used"] == 298


def test_a_clock_that_was_set_back_is_followed_and_time_goes_on(
    tmp_path: Path, evaluated: Any
) -> None:
    stamps = [10**10 + i * 10**7 if i < 150 else 10**9 + i * 10**7 for i in range(300)]
    motion = Motion(stamps=stamps.__getitem__)
    found = evaluated(write_bag(tmp_path / "bag", motion.entries()))
    assert found["recording"]["states"]["used"] == 298
    assert found["recording"]["end_s"] == pytest.approx(2.99)


def test_nothing_is_interpolated_across_a_gap(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [
        each
        for each in motion.entries()
        if not motion.time_ns(100) <= each.time_ns < motion.time_ns(200)
    ]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    states = found["recording"]["states"]
    assert (states["gaps"], states["longest_gap_s"]) == (1, pytest.approx(1.01))
    assert any("nothing is interpolated" in warning for warning in found["warnings"])
    assert exact(found, 200)
    faults = {each["kind"]: each["count"] for each in found["models"][0]["faults"]}
    assert faults == {"watchdog": 1}
    # A jump over the gap would be a step as no other.
    policy = found["models"][0]["smoothness"][0]
    steps = np.abs(np.diff([motion.command(i) for i in range(100)], axis=0)).max(axis=0)
    assert np.all(np.array(policy["max_step"]) < 2 * steps)


# ---- files -------------------------------------------------------------------------------------


def test_a_folder_named_like_a_ros_1_bag_is_opened(tmp_path: Path, evaluated: Any) -> None:
    assert exact(evaluated(write_bag(tmp_path / "x.bag", Motion().entries())))


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bare_storage_file_is_opened_whatever_its_name(
    tmp_path: Path, evaluated: Any, storage: str
) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries(), storage))
    assert exact(evaluated(file))
    bare = tmp_path / f"elsewhere{file.suffix}"
    shutil.copy(file, bare)
    assert exact(evaluated(bare))


def test_metadata_that_names_a_renamed_file_is_no_obstacle(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    file = storage_file(bag)
    file.rename(file.with_name("renamed.db3"))
    found = evaluated(bag)
    assert exact(found)
    assert any("renamed.db3" in warning for warning in found["warnings"])


@pytest.mark.parametrize("content", [None, "", "a: [", "rosbag2_bagfile_information: 7"])
def test_metadata_that_is_missing_or_nonsense_is_no_obstacle(
    tmp_path: Path, evaluated: Any, content: str | None
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    metadata = bag / "metadata.yaml"
    metadata.unlink() if content is None else metadata.write_text(content)
    found = evaluated(bag)
    assert exact(found)
    assert any("metadata.yaml" in warning for warning in found["warnings"])


def test_metadata_from_the_future_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("version: 9", "version: 77"))
    assert "version 9 or older; got 77" in refused(bag)


def test_the_parts_of_a_split_bag_are_joined_in_their_order(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion(count=330)
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(11):  # the tenth must not come behind the first
        first, last = motion.time_ns(30 * part), motion.time_ns(30 * part + 30)
        some = [e for e in [*motion.states(), *motion.commands()] if first <= e.time_ns < last]
        if part == 0:
            some += motion.goals()
        written = storage_file(write_bag(tmp_path / f"part{part}", some, "mcap"))
        shutil.copy(written, folder / f"split_{part}.mcap")
    assert exact(evaluated(folder), 330)


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("SQLITE3", "FILE"),
        ("SQLITE3", "MESSAGE"),
        ("MCAP", "FILE"),
        ("MCAP", "MESSAGE"),
        ("MCAP", "STORAGE"),
    ],
)
def test_zstd_by_file_by_message_and_by_chunk_is_unpacked(
    tmp_path: Path, evaluated: Any, storage: str, mode: str
) -> None:
    plugin = StoragePlugin[storage]
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    types = get_typestore(Stores.LATEST)
    with writer:
        known: dict[str, Any] = {}
        for each in sorted(Motion().entries(), key=lambda each: each.time_ns):
            if each.topic not in known:
                kind = {
                    "states": "sensor_msgs/msg/JointState",
                    "numbers": "std_msgs/msg/Float64MultiArray",
                    "pose": "geometry_msgs/msg/PoseStamped",
                }[each.kind]
                known[each.topic] = writer.add_connection(each.topic, kind, typestore=types)
            writer.write(known[each.topic], each.time_ns, each.cdr)
    assert exact(evaluated(tmp_path / "bag"))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.7])
def test_of_a_cut_off_mcap_everything_whole_is_recovered_and_the_loss_told(
    tmp_path: Path, evaluated: Any, share: float
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3000).entries(), "mcap")
    file = storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    found = evaluated(bag)
    assert found["recording"]["states"]["used"] >= 0.9 * share * 3000
    (lost,) = (each for each in found["warnings"] if "recovered" in each)
    assert f"of {int(share * len(content))} bytes" in lost
    assert any("promises 6001 messages" in each for each in found["warnings"])
    assert found["models"][0]["errors"][0]["overall"]["max_share"] < 1e-5


def test_a_damaged_chunk_costs_only_itself_and_is_told(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion(count=9000)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        known = {
            topic: writer.add_connection(topic, TYPE_OF[kind], typestore=TYPES)
            for topic, kind in ((STATES, "states"), (COMMANDS, "numbers"))
        }
        entries = [*motion.states(), *motion.commands()]
        for each in sorted(entries, key=lambda each: each.time_ns):
            writer.write(known[each.topic], each.time_ns, each.cdr)
    file = storage_file(tmp_path / "bag")
    content = bytearray(file.read_bytes())
    start = content.index(b"\x28\xb5\x2f\xfd")  # of the first chunk's frame
    content[start : start + 4] = b"\x55" * 4
    file.write_bytes(content)
    found = evaluated(file, "--goal", "0.3,0,0.2")
    assert 0 < found["recording"]["states"]["used"] < 9000
    assert found["models"][0]["errors"][0]["overall"]["max_share"] < 1e-5
    assert any("is damaged after" in warning for warning in found["warnings"])


def test_mcap_with_definitions_that_no_parser_knows_is_read(
    tmp_path: Path, evaluated: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries(), "mcap")
    file = storage_file(bag)
    # As service events have it: a schema of an encoding that the rosbags library refuses.
    file.write_bytes(file.read_bytes().replace(b"ros2msg", b"strange"))
    found = evaluated(bag)
    assert exact(found)
    assert any("record by record" in warning for warning in found["warnings"])


def test_a_ros_1_bag_is_read(tmp_path: Path, evaluated: Any) -> None:
    types = get_typestore(Stores.ROS1_NOETIC)
    motion = Motion()
    kinds = {"states": "sensor_msgs/msg/JointState", "numbers": "std_msgs/msg/Float64MultiArray"}
    with Ros1Writer(tmp_path / "old.bag") as writer:
        known = {
            topic: writer.add_connection(topic, kinds[kind], typestore=types)
            for topic, kind in ((STATES, "states"), (COMMANDS, "numbers"))
        }
        entries = [*motion.states(), *motion.commands()]
        for each in sorted(entries, key=lambda each: each.time_ns):
            message = get_typestore(Stores.LATEST).deserialize_cdr(each.cdr, kinds[each.kind])
            if each.kind == "states":
                message.header = types.types["std_msgs/msg/Header"](  # type: ignore[attr-defined]
                    0,
                    message.header.stamp,
                    "",  # type: ignore[attr-defined]
                )
            raw = types.serialize_ros1(message, kinds[each.kind])
            writer.write(known[each.topic], each.time_ns, raw)
    found = evaluated(tmp_path / "old.bag", "--goal", "0.3,0,0.2")
    assert found["bags"][0]["storage"] == "ros1"
    assert exact(found)


def test_an_empty_bag_is_refused(tmp_path: Path, refused: Any) -> None:
    with Writer(tmp_path / "bag", version=9) as writer:
        writer.add_connection(
            STATES, "sensor_msgs/msg/JointState", typestore=get_typestore(Stores.LATEST)
        )
    assert "has no messages" in refused(tmp_path / "bag")


def test_a_file_of_0_bytes_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    storage_file(bag).write_bytes(b"")
    assert "is empty: 0 bytes" in refused(bag)
    assert "is empty: 0 bytes" in refused(storage_file(bag))


def test_an_empty_folder_and_a_file_that_is_no_bag_are_refused(
    tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "folder").mkdir()
    assert "holds no metadata.yaml and no" in refused(tmp_path / "folder")
    (tmp_path / "x.mcap").write_bytes(gzip.compress(b"something"))
    assert "must be sqlite3, mcap or a ROS 1 bag" in refused(tmp_path / "x.mcap")


def test_a_bag_without_joint_states_is_refused_with_what_it_has(
    tmp_path: Path, refused: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().commands())
    message = refused(bag)
    assert "must have sensor_msgs/msg/JointState messages" in message
    assert "/commands (std_msgs/msg/Float64MultiArray, 300)" in message


def test_another_serialisation_than_cdr_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("format: cdr", "format: wrong"))
    assert "must be serialised as cdr; got wrong" in refused(bag)


def test_a_damaged_database_is_refused(tmp_path: Path, refused: Any) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries()))
    content = bytearray(file.read_bytes())
    content[4096:20000] = b"\x55" * (20000 - 4096)
    file.write_bytes(content)
    assert "is damaged" in refused(file)


def test_a_table_of_something_else_is_refused(tmp_path: Path, refused: Any) -> None:
    with sqlite3.connect(tmp_path / "x.db3") as other:
        other.execute("CREATE TABLE addresses (name TEXT)")
    assert "missing tables" in refused(tmp_path / "x.db3")


def test_a_log_that_sqlite3_never_merged_is_warned_of(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    file = storage_file(bag)
    file.with_name(file.name + "-wal").write_bytes(b"pages")
    assert any("never merged" in warning for warning in evaluated(bag)["warnings"])


def test_a_topic_of_two_types_is_refused(tmp_path: Path, refused: Any) -> None:
    one = write_bag(tmp_path / "one", Motion(count=3).entries())
    other = write_bag(tmp_path / "other", [Entry(STATES, "numbers", START_NS, numbers([1.0]))])
    assert "in another" in refused(one, other)


# ---- recordings that others made ---------------------------------------------------------------

IIWA = SHARED / "iiwa_gazebo_torque"
SHIPPED = Path(__file__).parents[2] / "models" / "iiwa_reach.onnx"
MAPPING = ",".join(f"lbr_iiwa_joint_{i}=joint_a{i}" for i in range(1, 8))
NO_STATES = "must have sensor_msgs/msg/JointState messages"


@needs_shared
@pytest.mark.parametrize(
    ("name", "factor"),
    [("joint_space_1", 0.53), ("joint_space_3", 0.61), ("operational_space_1", 0.35)],
)
def test_the_iiwa_bags_evaluate(
    name: str, factor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(IIWA / name), "--model", str(SHIPPED), "--joints", MAPPING]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    clock = found["recording"]["clock"]
    assert clock["name"] == "header"
    assert clock["factor"] == pytest.approx(factor, abs=0.04)
    assert not found["recording"]["effort_filled"]
    assert any("effort is not filled" in warning for warning in found["warnings"])
    model = found["models"][0]
    assert model["errors"][0]["samples"] > 100
    assert 0.0 < model["coverage"]["outside_share"] <= 1.0
    assert main(arguments[:3]) == 2
    assert "joint_a1, joint_a2" in capsys.readouterr().err


def shared_bags() -> list[Path]:
    endings = (".db3", ".mcap", ".zstd")
    files = [each for each in SHARED.rglob("*") if each.suffix in endings]
    return sorted({*files, *(each.parent for each in files)})


@needs_shared
@pytest.mark.parametrize("bag", shared_bags(), ids=lambda bag: str(bag.relative_to(SHARED)))
def test_every_shared_bag_is_evaluated_or_refused_with_one_sentence(
    bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([str(bag), "--model", str(SHIPPED), "--joints", MAPPING])
    output = capsys.readouterr()
    if "iiwa_gazebo_torque" in str(bag):
        assert (code, output.err) == (0, "")
        return
    assert code == 2
    assert output.out == ""
    assert output.err.count("\n") == 1
    expected = {
        "empty_bag": "has no messages",
        "wrong_rmw_test": "must be serialised as cdr",
        "zero_byte_db3": "is empty: 0 bytes",
        "one_joint_state_mcap": "has no joint joint_a1",
    }
    known = [message for part, message in expected.items() if part in str(bag)]
    assert (known or [NO_STATES])[0] in output.err or NO_STATES in output.err
