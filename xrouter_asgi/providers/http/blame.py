"""Whose fault an upstream's error is: one table for every upstream, read before the status decides.

Upstreams say the same thing under many statuses: an empty account is a 402, but also a 400, 403, 429 or 500. So words
decide where they are clear: `code` or `type` first, which may be a number, then the sentence. The status decides about
the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .bodies import UpstreamErrorBody

Blame: TypeAlias = Literal[
    "caller",  # the request is wrong: no other upstream would take it
    "context",  # the conversation is too long for this model
    "content",  # the upstream's moderation refuses the content
    "credential",  # the upstream refuses this gateway's key
    "quota",  # this gateway's account is out of money or tokens
    "forbidden",  # the account may not do that
    "model_gone",  # the upstream has no such model any more
    "rate",  # too much in too short a time
    "overloaded",  # the upstream has no capacity now
    "unavailable",  # the upstream failed otherwise
]

_CALLERS = frozenset({400, 404, 405, 411, 412, 413, 414, 415, 422})
_REFUSALS = frozenset(range(400, 500))
REJECTIONS = _CALLERS - {404} | {403, 451}
"""Statuses under which an answer tells a caller that the request is at fault."""
_ANY = frozenset(range(400, 600)) - {503}
_OF_STATUS: dict[int, Blame] = {
    **dict.fromkeys(_CALLERS, "caller"),
    401: "credential",
    402: "quota",
    403: "forbidden",
    429: "rate",
    498: "overloaded",  # Groq: the flex tier has no capacity
    529: "overloaded",  # Anthropic
}


@dataclass(frozen=True, slots=True)
class _Row:
    """What blames: one of these codes or types, or a sentence in which the pattern is found, under these statuses.

    Attributes:
        words: In lower case.
    """

    blame: Blame
    statuses: frozenset[int]
    words: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def holds(self, status: int, words: frozenset[str], message: str) -> bool:
        if status not in self.statuses:
            return False
        return not self.words.isdisjoint(words) or (self.pattern is not None and bool(self.pattern.search(message)))


def _row(blame: Blame, statuses: Iterable[int], words: str = "", *patterns: str) -> _Row:
    pattern = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
    return _Row(blame, frozenset(statuses), frozenset(words.split()), pattern)


# Numbers are those of Zhipu (four digits), MiniMax (four digits) and SiliconFlow (five digits). Left out is what means
# different things to two of them.
#
# The first row that holds decides. Codes come before sentences, for a sentence about a rate often advises to pay more.
# A sentence about throttling comes before one about the context: both speak of too many tokens.
_ROWS = (
    _row(
        "quota",
        _ANY | {503},
        "insufficient_quota insufficient_user_quota insufficient_balance insufficient_balance_error"
        " exceeded_current_quota_error credit_balance_exhausted billing_hard_limit_reached billing_error"
        " billing_not_active arrearage accountoverdueerror payment_required"
        " 1113 1308 1309 1310 1008 2056 30001",
    ),
    _row("credential", _REFUSALS, "invalid_api_key authentication_error invalid_authentication unauthorized"),
    _row("credential", _ANY, "1004 2049"),
    _row(
        "overloaded",
        _ANY | {503},
        "overloaded_error engine_overloaded_error server_is_overloaded server_overloaded serveroverloaded"
        " capacity_exceeded service_tier_capacity_exceeded",
    ),
    _row(
        "context",
        _ANY,
        "context_length_exceeded exceed_context_size_error model_max_prompt_tokens_exceeded 1261 3051",  # 3051: Mistral
    ),
    _row(
        "model_gone",
        (400, 403, 404, 410, 422, 500),
        "model_not_found deploymentnotfound model_decommissioned invalid_model 1211 20012",
    ),
    _row(
        "rate",
        _ANY | {503},
        "rate_limit_exceeded rate_limit_error rate_limited throttling throttlingexception"
        " 1302 1303 1305 1039 1041 2045",
    ),
    _row("rate", (429, 500), "1002"),  # MiniMax; Zhipu means a token by it, under 401
    _row("content", (400, 403, 451), "content_filter content_policy_violation cyber_policy"),
    _row("content", (400, 403, 451, 500), "1301 1026 1027"),
    _row("caller", (400, 500), "2013"),
    _row(
        "caller",
        _CALLERS,
        "unknown_parameter unsupported_parameter",
        r"\b(?:unknown|unsupported|unrecognized|unexpected) (?:request )?(?:parameter|argument|field|keyword)",
    ),
    _row(
        "rate",
        _ANY,
        "",
        r"\brate.?limit(?:s|ed|ing)? (?:is |was |has been )?(?:reached|exceeded)|\bthrottl",
        r"\b(?:tokens|requests) per (?:second|minute|hour|day)\b|\b[TR]P[MD]\b",
        r"\btoo many requests\b|\btoo many tokens,? please wait\b",
        # Gemini calls its rates quotas, and tells when they are free again.
        r"\bquota\b.{0,600}?\b(?:try again|retry) (?:in|after) \d",
    ),
    _row(
        "quota",
        _ANY - {404},
        "",
        r"\b(?:insufficient|not enough) (?:account |user )?(?:balance|credits?|funds)\b",
        r"\bbalance (?:is |was )?(?:insufficient|not enough|too low|exhausted)|\bcredit (?:balance|limit) is\b",
        r"\bexceeded your (?:current |monthly )?quota\b|\bplease recharge\b|余额不足|欠费",
        r"\bout of credits\b|\baccount is (?:not active|in arrears)|\baccount is in good standing",
    ),
    _row(
        "overloaded",
        _ANY,
        "",
        r"\b(?:is|are) (?:currently |temporarily )?(?:overloaded|over capacity|at capacity)\b",
        r"\bcapacity exceeded\b|\A(?:server )?overloaded\b",
    ),
    _row(
        "credential",
        (400, 403),
        "",
        r"\b(?:incorrect|invalid) api.?key\b|\bapi.?key (?:is )?(?:not valid|invalid|expired)\b",
    ),
    _row(
        "context",
        (400, 413, 422, 500),
        "",
        r"\b(?:maximum|max|available) context\b|\bcontext[ _](?:length|window|size|limit)\b",
        r"\b(?:prompt|input|messages?) (?:is |are )?too (?:long|large)\b|\bmaximum prompt length\b",
        r"\b(?:prompt|input)(?: token count| length| tokens)?\b[^.]{0,60}\bexceeds (?:the )?(?:max|limit)",
        r"\brange of input length\b|\breduce the length of the (?:messages|prompt|input)\b|\btoo many tokens\b",
        r"\bexceed\w* (?:the )?(?:model )?token limit\b|\binputs`? tokens \+ `?max_new_tokens\b",
    ),
    _row(
        "model_gone",
        (400, 403, 404, 410, 422, 500),
        "",
        r"\bno such model\b|\bno endpoints found\b|\bdeployment\b.{0,80}\bdoes not exist\b",
        r"\bmodel\b.{0,120}\b(?:does not exist|not exist|decommissioned|retired|no longer (?:available|supported))",
    ),
    _row("model_gone", (404, 410), "", r"\bmodel\b.{0,300}\b(?:not found|unavailable)\b|\bmodel\b"),
    _row("content", (400, 403, 451), "", r"\bmoderation\b|\bcontent[ _](?:policy|filter)|\bflagged\b"),
)

_LONGEST_READ = 1024  # characters of a message


def blame(status: int, said: UpstreamErrorBody) -> Blame:
    """Whose fault an error is.

    Args:
        status: Of the answer; of an event, what its words imply, else 500.
    """
    words = frozenset(word.lower() for word in (said.code, said.type, *said.codes) if word is not None)
    message = (said.message or "")[:_LONGEST_READ]
    if said.page is None:
        for row in _ROWS:
            if row.holds(status, words, message):
                return row.blame
    return _OF_STATUS.get(status, "unavailable")
