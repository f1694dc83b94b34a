"""``--check --pace``: how fast a subject learns, for choosing its budget."""

from __future__ import annotations

import numpy as np

from bumplab.profiles import Profile
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.subjects.protocol import Diverged
from bumplab.subjects.registry import blaming, resolve

SEED = 0
"""Seeds below those of judged runs are for exploring."""
HALF = 0.5
"""Share of the images whose bump is at the right place, of those where the detector finds a true bump right."""


def report_line(profile: Profile, session: SubjectOfSession, device: str) -> str:
    """Trains one run of the profile until half of its images are right. Stores nothing."""
    from bumplab.data.label_sets import label_sets
    from bumplab.measure.accuracy import detect, placement
    from bumplab.measure.detector import quantise
    from bumplab.measure.names import SamplesNotFinite
    from bumplab.runs import learners

    run = profile.run(SEED)
    subject, asked = resolve(run.subject, session.users), label_sets(run)["probe"]

    def share_right(images: np.ndarray) -> float:
        return placement(detect(images, run.data.sigma), asked.labels.astype(np.float64))["correct"]

    ceiling = share_right(quantise(asked.truth)[0])
    share = 0.0
    with blaming(session.users):
        learner = learners.start(run, subject, device)
        for step in run.measured_steps()[:-1]:
            try:
                learner.train(step, lambda step: None)
                drawn = learners.draw(learner, run, step, subject)
            except (Diverged, SamplesNotFinite) as error:
                return f"pace: the run failed by step {step}: {error}"
            share = share_right(drawn.images[: len(asked.labels)]) / ceiling
            if share > HALF:
                late = "" if 3 * step <= run.training.steps else "; a third of the budget is better: ask for more steps"
                return (
                    f"pace: half of the images are right by step {step} of {run.training.steps} ({profile.name}){late}"
                )
    return (
        f"pace: {share:.0%} of the images are right by step {step} of {run.training.steps} ({profile.name}): it learns "
        "too slowly for a verdict; ask for more steps or another rate (budget, in docs/your-model.md)"
    )
