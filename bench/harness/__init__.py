"""Runs servers under load and says what they cost: plan, measure, report, plot, limits."""
