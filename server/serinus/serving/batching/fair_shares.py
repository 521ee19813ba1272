"""How much of each tenant waits, whose turn it is, and who has to go when there is no room."""

import dataclasses
from collections.abc import Iterable

from serinus.core.criticality import Criticality

MOST_ACCOUNTS = 32
"""Tenants told apart at once; the names are the callers' to choose, and each costs every run a look."""

OTHERS = "\0others"  # the account of all further ones; no tenant's name has control characters


@dataclasses.dataclass(slots=True, eq=False)
class Account:
    """One tenant while calls of it wait.

    Attributes:
        tenant: Its name.
        served: Rows that ran while others waited too, and what those had had when it came.
        shares: Its shares.
    """

    tenant: str
    served: float
    shares: int = 0


Place = tuple[int, Criticality, str, bool]
"""Level, criticality, tenant, and whether the caller named a deadline."""


@dataclasses.dataclass(slots=True, eq=False)
class Share:
    """What waits of one tenant at one level and criticality, apart by whether it has deadlines of its own.

    Attributes:
        place: What sets it apart.
        account: Of the tenant.
        served: Rows that ran, so that the tenant's shares take turns.
        calls: That wait.
        rows: Of them.
    """

    place: Place
    account: Account
    served: float
    calls: int = 0
    rows: int = 0

    @property
    def level(self) -> int:
        """1 is the most urgent."""
        return self.place[0]

    @property
    def criticality(self) -> Criticality:
        """Who goes when not all can be answered."""
        return self.place[1]

    @property
    def has_deadline(self) -> bool:
        """Whether the callers said how long they wait."""
        return self.place[3]


class FairShares:
    """The shares of all that wait in one queue.

    Rows are charged to tenants only while several wait: what somebody had of an idle server, nobody else missed.
    Whoever comes in addition starts where the others are, so that no time without calls can be saved up.
    """

    def __init__(self) -> None:
        self._shares: dict[Place, Share] = {}
        self._accounts: dict[str, Account] = {}
        self._reached = 0.0  # what those had been served whose turn came last

    @property
    def tenants(self) -> int:
        """Tenants of which calls wait."""
        return len(self._accounts)

    def open(self, place: Place) -> Share:
        """The share of that place, made unless there is one."""
        level, criticality, tenant, has_deadline = place
        if tenant not in self._accounts and len(self._accounts) >= MOST_ACCOUNTS:
            tenant = OTHERS
        place = (level, criticality, tenant, has_deadline)
        share = self._shares.get(place)
        if share is None:
            account = self._accounts.get(tenant)
            if account is None:
                account = self._accounts[tenant] = Account(tenant, self._reached)
            account.shares += 1
            siblings = [other.served for other in self._shares.values() if other.account is account]
            share = Share(place, account, max(siblings, default=0.0))
            self._shares[place] = share
        return share

    def close(self, share: Share) -> None:
        """Nothing of the share waits any more."""
        account = share.account
        del self._shares[share.place]
        account.shares -= 1
        if account.shares:
            return
        del self._accounts[account.tenant]
        if len(self._accounts) <= 1:
            self._reached = 0.0
            for last in self._accounts.values():
                last.served = 0.0

    def charge(self, share: Share, rows: int) -> None:
        """So many rows of the share run."""
        share.served += rows
        if len(self._accounts) > 1:
            self._reached = max(self._reached, share.account.served)
            share.account.served += rows

    def rows_ahead(self, place: Place, rows: int, *, has_stood: bool) -> int:
        """Most of the waiting rows that run before a call of `rows` rows that came now."""
        level, criticality, tenant, has_deadline = place
        urgency = (level, criticality if has_stood else 0)
        before = own = siblings = 0
        others: list[Share] = []
        for share in self._shares.values():
            its_level, its_criticality, its_tenant, its_deadline = share.place
            other = (its_level, its_criticality if has_stood else 0)
            if other > urgency:
                continue
            if other < urgency:
                before += share.rows
            elif its_tenant != tenant:
                others.append(share)
            elif its_deadline is has_deadline:
                own += share.rows
            else:
                siblings += share.rows
        own += min(siblings, own + rows) if has_stood else siblings
        if others:
            account = self._accounts.get(tenant)
            until = own + rows + (account.served if account else self._reached)
            before += sum([min(share.rows, max(0, int(until - share.account.served) + 1)) for share in others])
        return before + own

    def to_give_way(self, criticality: Criticality, tenant: str) -> Share | None:
        """The share whose newest call goes to make room for a call of `tenant`; None if no call has to.

        First the least critical of those less critical than the call; else one of the tenant that has the most calls of
        the same criticality, if it has at least two more of them than the call's.
        """
        lowest = max(self._shares.values(), key=_dispensability, default=None)
        if lowest is None or lowest.criticality > criticality:
            return lowest
        peers = [share for share in self._shares.values() if share.criticality is criticality]
        calls = _calls_by_tenant(peers)
        if not calls:
            return None
        largest = max(calls, key=calls.__getitem__)
        if calls[largest] < calls.get(tenant, 0) + 2:
            return None
        return max((share for share in peers if share.account.tenant == largest), key=_dispensability)

    def is_used(self, tenant: str) -> bool:
        """Whether the tenant has its part of the calls that wait, of which others have the rest."""
        calls = _calls_by_tenant(self._shares.values())
        return len(calls) > 1 and calls.get(tenant, 0) * len(calls) >= sum(calls.values())

    def __repr__(self) -> str:
        return f"<FairShares {len(self._shares)} of {len(self._accounts)} tenants>"


def _dispensability(share: Share) -> tuple[int, int, int]:
    return (share.criticality, share.level, share.calls)


def _calls_by_tenant(shares: Iterable[Share]) -> dict[str, int]:
    calls: dict[str, int] = {}
    for share in shares:
        tenant = share.account.tenant
        calls[tenant] = calls.get(tenant, 0) + share.calls
    return calls
