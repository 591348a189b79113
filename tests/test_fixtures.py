"""What the fixtures of all tests leave behind."""

import importlib
import sys

import effdl


def test_a_forgotten_module_is_back_afterwards(monkeypatch, forget):
    before = importlib.import_module("effdl.search.goal")
    forget("effdl.search")
    assert importlib.import_module("effdl.search.goal") is effdl.search.goal is not before
    monkeypatch.undo()
    assert sys.modules["effdl.search.goal"] is effdl.search.goal is before
