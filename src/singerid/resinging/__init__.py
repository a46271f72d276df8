"""Voices of a bank, sung anew in batches of mel frames: plan, render, channel."""
