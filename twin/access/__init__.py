"""Zero Trust on the edge: the stage in front of applications, the team domain, Google, the keys."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast

from twin.access.deployed import Deployed
from twin.access.desk import Desk
from twin.access.flow import GOOGLE_HOST, Ways
from twin.access.google import Google
from twin.access.guard import Guard, Parts
from twin.access.keys import Keys
from twin.access.service import ServiceTokens
from twin.access.sessions import HANDOVER_SECONDS, LOGIN_SECONDS, Once, Sessions
from twin.access.team import TeamSites
from twin.access.tokens import Tokens
from twin.access.views import Views
from twin.clock import Clock
from twin.edge.journal import Journal
from twin.edge.routes import Routes
from twin.edge.site import Site
from twin.edge.visitors import Visitors
from twin.store import Store


class Access:
    """Everything of it. `guard` is the pipeline's stage, `sites` the hosts beside the zones."""

    def __init__(
        self,
        store: Store,
        account: Mapping[str, Any],
        clock: Clock,
        journal: Journal,
        routes: Routes,
        visitors: Visitors,
        port: Callable[[], int],
    ) -> None:
        deployed = Deployed(store)
        views = Views()
        ways = Ways(deployed, port)
        self.keys = Keys(store, clock)
        self.sessions = Sessions(store, clock)
        tokens = Tokens(self.keys, self.sessions, clock)
        handovers = Once(clock, HANDOVER_SECONDS)
        google = Google(account, deployed, ways, views, clock)
        self.guard = Guard(
            Parts(
                deployed=deployed,
                keys=self.keys,
                tokens=tokens,
                sessions=self.sessions,
                service=ServiceTokens(store, deployed, clock),
                handovers=handovers,
                ways=ways,
                views=views,
                journal=journal,
                clock=clock,
            )
        )
        teams = TeamSites(
            Desk(
                deployed=deployed,
                keys=self.keys,
                tokens=tokens,
                sessions=self.sessions,
                logins=Once(clock, LOGIN_SECONDS),
                handovers=handovers,
                google=google,
                ways=ways,
                views=views,
                routes=routes,
                journal=journal,
                visitors=visitors,
                clock=clock,
            )
        )
        # Read only: what is deployed decides which teams there are.
        self.sites: Mapping[str, Site] = ChainMap(
            {GOOGLE_HOST: google.site}, cast(MutableMapping[str, Site], teams)
        )
