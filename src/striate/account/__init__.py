"""Folds a Network into rows and totals: everything that can be counted before anything runs."""

from __future__ import annotations

from striate.account.amounts import parse_memory
from striate.account.budget import Budget
from striate.account.field import Axis, Field
from striate.account.ledger import CONVENTIONS, Account, Row, Totals, account
from striate.account.shares import Share, shares

__all__ = [
    "CONVENTIONS",
    "Account",
    "Axis",
    "Budget",
    "Field",
    "Row",
    "Share",
    "Totals",
    "account",
    "parse_memory",
    "shares",
]
