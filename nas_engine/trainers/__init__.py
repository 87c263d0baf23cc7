"""Trainers: each takes a run folder and sees to it that it is trained."""
