"""Measures how long the playbooks take, beside docker compose with the same containers on the same machine.

Usage: python -m benchmarks [--rounds N] [--only NAME,NAME]
"""
