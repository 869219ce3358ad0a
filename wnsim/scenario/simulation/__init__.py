"""Simulation of one run: world, network and learning built, run, and written as tables."""
