"""Tests that write hundreds of small stores need not wait for the disk."""

import os

import pytest


@pytest.fixture
def no_sync(monkeypatch):
    """Files are written and not synced. Only a power cut would show it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
