# SPDX-License-Identifier: Apache-2.0
# ROS 2 and this package in a built workspace: docs/install.md, "Docker".
#
#   docker build -t sac_ros .
#   docker run --rm -it --network host --ipc host sac_ros ros2 launch sac_ros deploy.launch.py
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base AS base
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# ros-base has compilers, colcon and rosdep. robot_state_publisher is what the launch files start.
# hadolint ignore=DL3008
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    python3-dev python3-numpy python3-venv "ros-${ROS_DISTRO}-robot-state-publisher" \
  && rm -rf /var/lib/apt/lists/*

# The user that Ubuntu's images bring, with number 1000.
USER ubuntu
RUN mkdir -p /home/ubuntu/ws/src/sac_ros/tools
WORKDIR /home/ubuntu/ws

FROM base AS workspace
# PyTorch for the CPU; for a GPU build with --build-arg TORCH_INDEX= and run with --gpus all.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# First what the dependencies depend on: a change of the source downloads nothing again.
COPY --chown=ubuntu:ubuntu setup.py setup.cfg pyproject.toml package.xml constraints.txt src/sac_ros/
COPY --chown=ubuntu:ubuntu resource src/sac_ros/resource
COPY --chown=ubuntu:ubuntu tools/setup.sh src/sac_ros/tools/setup.sh
RUN . "/opt/ros/${ROS_DISTRO}/setup.bash" \
  && TORCH_INDEX="${TORCH_INDEX}" PIP_ARGS=--no-cache-dir src/sac_ros/tools/setup.sh .venv

COPY --chown=ubuntu:ubuntu . src/sac_ros
RUN . "/opt/ros/${ROS_DISTRO}/setup.bash" \
  && . src/sac_ros/.venv/bin/activate \
  && colcon build --packages-select sac_ros

ENTRYPOINT ["/home/ubuntu/ws/src/sac_ros/tools/docker_entrypoint.sh"]
CMD ["ros2", "launch", "sac_ros", "deploy.launch.py"]
