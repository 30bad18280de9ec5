#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a workspace that holds this package with colcon, and checks what was installed.
#
# Where colcon is absent it comes from PyPI into a temporary environment (colcon still needs
# setuptools < 80).
# Environment: PYTHON (interpreter), PIP_ARGS, KEEP=DIRECTORY (build there and leave it).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

if [[ -n ${KEEP:-} ]]; then
  mkdir -p "$KEEP"
  workspace=$(cd "$KEEP" && pwd)
else
  workspace=$(mktemp -d)
  trap 'rm -rf "$workspace"' EXIT
fi

fail() {
  echo "check_colcon_build: error: $*" >&2
  exit 1
}

# The interpreter of .venv has what the installed nodes import.
python=${PYTHON:-$root/.venv/bin/python}
[[ -x $(command -v "$python") ]] || python=python3

if command -v colcon >/dev/null; then
  colcon=colcon
else
  "$python" -m venv --clear "$workspace/colcon"
  # shellcheck disable=SC2086
  env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE "$workspace/colcon/bin/python" -m pip \
    --disable-pip-version-check install --quiet ${PIP_ARGS:-} \
    colcon-core colcon-ros colcon-bash colcon-metadata 'setuptools<80'
  colcon=$workspace/colcon/bin/colcon
fi

tools/copy_source.sh "$workspace/src/sac_ros"

cd "$workspace"
rm -rf build install log
"$colcon" build --base-paths src
cd "$workspace/install/sac_ros"

# Everything in these directories is installed, file by file.
for directory in config launch models rviz urdf; do
  [[ -d $workspace/src/sac_ros/$directory ]] || continue
  diff -r "$workspace/src/sac_ros/$directory" "share/sac_ros/$directory" ||
    fail "share/sac_ros/$directory of the install space differs from the source"
done
for file in share/sac_ros/package.xml share/ament_index/resource_index/packages/sac_ros; do
  [[ -f $file ]] || fail "$file is not in the install space"
done

# Every console script is where `ros2 run` looks, runs in the Python of an active environment, and is
# on the PATH of whoever has sourced the workspace.
mapfile -t scripts < <(sed -n 's/^ *"\([a-z_]*\) = sac_ros.*/\1/p' "$root/setup.py")
((${#scripts[@]} > 5)) || fail "setup.py has no console scripts"
for script in "${scripts[@]}"; do
  [[ -x lib/sac_ros/$script ]] || fail "lib/sac_ros/$script is not in the install space"
  [[ $(head -n 1 "lib/sac_ros/$script") == '#!/usr/bin/env python3' ]] ||
    fail "lib/sac_ros/$script runs in another Python: $(head -n 1 "lib/sac_ros/$script")"
done
on_path() {
  # shellcheck disable=SC2016  # the inner shell expands these
  env -i PATH=/usr/bin:/bin bash -c 'source "$1/install/setup.bash" && command -v "$2"' _ "$workspace" "$1"
}
for script in "${scripts[@]:0:1}" policy_node evaluate_bag; do
  [[ $(on_path "$script") == "$PWD/lib/sac_ros/$script" ]] ||
    fail "$script is not on the PATH after: source install/setup.bash"
done

# The installed package runs: it is this copy that is imported, it finds its files and answers.
site=$(echo "$PWD"/lib/python3*/site-packages)
cd "$workspace"
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export AMENT_PREFIX_PATH=$workspace/install/sac_ros${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}
"$python" - "$workspace" <<'PYTHON' || fail "the installed package does not find its own files"
import sys
from pathlib import Path

import sac_ros
from sac_ros.utils.package_share import share_path

workspace = Path(sys.argv[1]).resolve()
assert workspace in Path(sac_ros.__file__).resolve().parents, sac_ros.__file__
assert share_path() == workspace / "install/sac_ros/share/sac_ros", share_path()
PYTHON

# A model that does not exist is exit code 2 and one sentence: the node started, read its parameters
# and looked for the file.
if "$python" -c 'import rclpy' 2>/dev/null; then
  status=0
  output=$("$python" install/sac_ros/lib/sac_ros/policy_node --ros-args \
    -p autostart:=true -p model_path:=/no/such/model.onnx 2>&1) || status=$?
  [[ $status == 2 && $output == *"/no/such/model.onnx"* ]] ||
    fail "policy_node without its model ended with status $status, not 2: $output"
  [[ $output != *Traceback* ]] || fail "policy_node printed a traceback: $output"
else
  echo "check_colcon_build: rclpy cannot be imported here, so policy_node was not started"
fi
echo "check_colcon_build: the install space is complete"
