# SPDX-License-Identifier: Apache-2.0
"""Where transitions come from: this process, or a worker process beside the learner.

No torch here: a worker starts in a fraction of a second and the actor is a few numpy products.
"""
