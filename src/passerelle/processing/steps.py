"""The stages of one movie, in order: what each depends on, and which results of others it reads."""

from __future__ import annotations

from passerelle.processing.step import Step
from passerelle.processing.steps_motion import motion_depends, run_motion, run_sums, sums_depends
from passerelle.processing.steps_picture import ctf_depends, pictures_depends, run_ctf, run_pictures
from passerelle.processing.steps_raw import gain_depends, run_gain, run_stack, stack_depends

STEPS: tuple[Step, ...] = (
    Step("stack", 2, (), stack_depends, run_stack, reads_raw=True),
    Step("gain", 1, ("stack",), gain_depends, run_gain, reads_raw=True),
    Step("motion", 3, ("stack", "gain"), motion_depends, run_motion, reads_raw=True),
    Step("sums", 2, ("stack", "gain", "motion"), sums_depends, run_sums, reads_raw=True),
    Step("ctf", 2, ("sums",), ctf_depends, run_ctf),
    Step("pictures", 2, ("sums", "motion"), pictures_depends, run_pictures),
)
