"""Execution of a plan's runs: in this process, in local jobs or on a cluster; resuming."""
