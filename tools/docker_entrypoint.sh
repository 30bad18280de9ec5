#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command of the image with ROS 2, the environment and the workspace sourced.
set -e # and not -u: ROS 2's setup files read variables that are not set

workspace=$(dirname "$0")/../../..
# shellcheck disable=SC1090,SC1091
source "/opt/ros/${ROS_DISTRO:?is set in the images of ROS 2}/setup.bash"
# shellcheck disable=SC1091
source "$workspace/src/sac_ros/.venv/bin/activate"
# shellcheck disable=SC1091
source "$workspace/install/setup.bash"
exec "$@"
