#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment of `make setup`: tools/setup.sh VENV
#
# Where rclpy can be imported (a sourced ROS 2), that ROS 2 is used; elsewhere rclpy comes from PyPI.
# Environment: PYTHON (interpreter), TORCH_INDEX (extra package index for torch), PIP_ARGS, EXTRA
# (another extra of setup.py, such as benchmark).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${1:?usage: tools/setup.sh VENV}

# The PyPI wheels of ROS 2 mark their environment with these; a new one must not inherit them.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE VIRTUAL_ENV

fail() {
  echo "make setup: error: $*" >&2
  exit 2
}

# Leaves an active virtual environment for the interpreter it was made from.
base_of() {
  "$1" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null
}

# phase WHAT COMMAND...: runs a command into a log, with a sign of life every second or two.
phase() {
  local what=$1 start=$SECONDS status=0 beat
  shift
  printf '  %s ' "$what"
  if [[ -t 1 ]]; then
    (while sleep 1 && kill -0 $$; do
      printf '\r\033[K  %s, %d s: %.50s' "$what" $((SECONDS - start)) "$(tail -n 1 "$log")"
    done) 2>/dev/null &
  else
    (while sleep 2 && kill -0 $$; do printf .; done) 2>/dev/null &
  fi
  beat=$!
  "$@" >"$log" 2>&1 || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  [[ ! -t 1 ]] || printf '\r\033[K  %s ' "$what"
  if ((status)); then
    echo "failed after $((SECONDS - start)) s"
    tail -n 25 "$log" >&2
    fail "$what: the command above ended with status $status"
  fi
  echo "$((SECONDS - start)) s"
}

imports_rclpy() {
  "$1" -c 'import rclpy' 2>/dev/null
}

# pybullet has wheels for Python 3.10 and 3.11 only and is compiled elsewhere (minutes), so one of
# these is preferred to a newer python3, unless that one is the Python of a sourced ROS 2.
choose_python() {
  local default candidate
  default=$(base_of python3) || fail "python3 was not found; install Python 3.10 or newer"
  if ! imports_rclpy "$default"; then
    for candidate in "$default" python3.11 python3.10; do
      if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' \
        2>/dev/null; then
        base_of "$candidate"
        return
      fi
    done
  fi
  echo "$default"
}

if [[ -n ${PYTHON:-} ]]; then
  python=$(base_of "$PYTHON") || fail "PYTHON=$PYTHON is not a Python interpreter"
else
  python=$(choose_python)
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "Python 3.10 or newer is needed, but $python is $version; name another with PYTHON=..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "$python cannot make virtual environments; on Debian and Ubuntu: sudo apt install python$version-venv"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# shellcheck disable=SC2206  # PIP_ARGS is a list
pip=("$venv/bin/python" -m pip --disable-pip-version-check install ${PIP_ARGS:-})
if [[ -n ${TORCH_INDEX:-} ]]; then
  pip+=(--extra-index-url "$TORCH_INDEX")
fi

if imports_rclpy "$python"; then
  echo "make setup: Python $version with the ROS 2 of this shell${ROS_DISTRO:+ ($ROS_DISTRO)}"
  mode=system-ros
  options=(--system-site-packages)
  extras=all,test
  # The distribution compiled its message packages against its own numpy: keep that very version.
  numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
  pins=("numpy==$numpy")
else
  echo "make setup: Python $version with ROS 2 from PyPI"
  mode=ros-wheels
  options=()
  extras=all,ros,test
  pins=(-c constraints.txt)
fi

# An environment of another interpreter or of the other kind is of no use: make a new one.
kind="$mode $python $version"
if [[ ! -f $venv/.kind || $(<"$venv/.kind") != "$kind" ]]; then
  phase "virtual environment" "$python" -m venv --clear "${options[@]}" "$venv"
  echo "$kind" >"$venv/.kind"
fi

extras+=${EXTRA:+,$EXTRA}

# setuptools first and no build isolation, so that a repeated setup needs no network.
phase "setuptools" "${pip[@]}" 'setuptools>=77' "${pins[@]}"
phase "packages${EXTRA:+ for $EXTRA}" \
  "${pip[@]}" --no-build-isolation --editable ".[$extras]" "${pins[@]}"
phase "first import" "$venv/bin/python" -c 'import onnxruntime, pybullet, rclpy, torch'
