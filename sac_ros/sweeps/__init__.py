# SPDX-License-Identifier: Apache-2.0
"""Many trainings: settings that are searched, and arms, tasks and seeds that are all trained."""
