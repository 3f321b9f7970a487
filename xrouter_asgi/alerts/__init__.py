"""Tell somebody when something is wrong, and when it is well again: an observer with rules and channels."""

from .alerts import Alerts
from .base import Alert, Channel, Finding, Rule, Undelivered
from .channels import AlertWriter, Webhook, log, slack, telegram
from .rules import CircuitsOpen, CredentialRefused, ErrorShare, LimitsDegraded, QuotaUsedUp, SlowShare

__all__ = [
    "Alert",
    "AlertWriter",
    "Alerts",
    "Channel",
    "CircuitsOpen",
    "CredentialRefused",
    "ErrorShare",
    "Finding",
    "LimitsDegraded",
    "QuotaUsedUp",
    "Rule",
    "SlowShare",
    "Undelivered",
    "Webhook",
    "log",
    "slack",
    "telegram",
]
