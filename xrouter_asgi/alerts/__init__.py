"""Tell somebody when something is wrong, and when it is well again: an observer with rules and channels."""

from .alerts import Alerts
from .budgets import BudgetsUsed
from .channels import Alert, AlertWriter, Channel, Undelivered, Webhook, log, slack, telegram
from .rules import (
    CircuitsOpen,
    CredentialRefused,
    ErrorShare,
    Finding,
    LedgerBehind,
    LimitsDegraded,
    ModelGone,
    QuotaUsedUp,
    Rule,
    SlowShare,
)

__all__ = [
    "Alert",
    "AlertWriter",
    "Alerts",
    "BudgetsUsed",
    "Channel",
    "CircuitsOpen",
    "CredentialRefused",
    "ErrorShare",
    "Finding",
    "LedgerBehind",
    "LimitsDegraded",
    "ModelGone",
    "QuotaUsedUp",
    "Rule",
    "SlowShare",
    "Undelivered",
    "Webhook",
    "log",
    "slack",
    "telegram",
]
