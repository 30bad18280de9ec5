#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copies the files that git tracks, or would take up, to a directory: tools/copy_source.sh DIRECTORY
#
# What only lies about in a checkout cannot make a build from this copy pass.
set -euo pipefail
mkdir -p "$1"
target=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
  tar --null --files-from=- -c | tar -x -C "$target"
