#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the wheel, installs it with the core's dependencies outside the checkout, and tries it there.
#
# Environment: PYTHON (an interpreter with pip and setuptools), PIP_ARGS, KEEP=DIRECTORY (work there
# and leave it: the wheel is in KEEP/dist).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

if [[ -n ${KEEP:-} ]]; then
  mkdir -p "$KEEP"
  place=$(cd "$KEEP" && pwd)
else
  place=$(mktemp -d)
  trap 'rm -rf "$place"' EXIT
fi
python=${PYTHON:-$root/.venv/bin/python}
unset PYTHONPATH AMENT_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

rm -rf "$place/source" "$place/dist" "$place/venv"
tools/copy_source.sh "$place/source"
pip=("$python" -m pip --disable-pip-version-check --quiet)
# shellcheck disable=SC2206  # PIP_ARGS is a list
options=(${PIP_ARGS:-})
"${pip[@]}" wheel "${options[@]}" --no-deps --no-build-isolation --wheel-dir "$place/dist" "$place/source"

# pip of the other environment installs: `venv` alone takes a tenth of the time that ensurepip does.
"$python" -m venv --without-pip "$place/venv"
"${pip[@]}" --python "$place/venv/bin/python" install "${options[@]}" --no-compile \
  -c constraints.txt "$place"/dist/sac_ros-*.whl

cp tools/try_wheel.py "$place"
cd "$place"
rm -rf bag out
venv/bin/python try_wheel.py || {
  echo "check_wheel: error: the installed wheel does not work; see above" >&2
  exit 1
}
echo "check_wheel: $(basename dist/*.whl) works without torch; $(du -sh venv | cut -f 1) with all that it needs"
