import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";

import { parseSearch, stringifySearch, A } from "./lib/url";
import { Shell } from "./shell";
import { Page } from "./ui/page";
import { Empty, Failed } from "./ui/state";

function Missing() {
  return (
    <Page title="No such page">
      <Empty title="Nothing is here">
        The link may be mistyped. <A href="/">Go to the overview</A>
      </Empty>
    </Page>
  );
}

const root = createRootRoute({ component: Shell, notFoundComponent: Missing, validateSearch: (search: Record<string, unknown>) => search as Record<string, string> });

type Lazy = ReturnType<typeof lazyRouteComponent>;

const lazy: Lazy[] = [];

const route = <P extends string>(path: P, component: Lazy) => {
  lazy.push(component);
  return createRoute({ getParentRoute: () => root, path, component });
};

/** Has the other pages at hand, so that each opens at once, and says what is wrong itself where the server has gone. */
export async function fetchPages(): Promise<void> {
  for (const one of lazy) await one.preload?.()?.catch(() => undefined);
}

const tree = root.addChildren([
  route("/", lazyRouteComponent(() => import("./pages/overview"), "OverviewPage")),
  route("/campaigns", lazyRouteComponent(() => import("./pages/campaigns"), "CampaignsPage")),
  route("/campaigns/$id", lazyRouteComponent(() => import("./pages/campaign"), "CampaignPage")),
  route("/inventory", lazyRouteComponent(() => import("./pages/inventory"), "InventoryPage")),
  route("/inventory/endpoints/$id", lazyRouteComponent(() => import("./pages/endpoint"), "EndpointPage")),
  route("/findings", lazyRouteComponent(() => import("./pages/findings"), "FindingsPage")),
  route("/findings/$id", lazyRouteComponent(() => import("./pages/finding"), "FindingPage")),
  route("/exchanges/$id", lazyRouteComponent(() => import("./pages/exchange"), "ExchangePage")),
  route("/actors", lazyRouteComponent(() => import("./pages/actors"), "ActorsPage")),
  route("/actors/$id", lazyRouteComponent(() => import("./pages/actor"), "ActorPage")),
  route("/sensitive", lazyRouteComponent(() => import("./pages/sensitive"), "SensitivePage")),
  route("/policies", lazyRouteComponent(() => import("./pages/policies"), "PoliciesPage")),
  route("/mitigation", lazyRouteComponent(() => import("./pages/mitigation"), "MitigationPage")),
  route("/search", lazyRouteComponent(() => import("./pages/search"), "SearchPage")),
  route("/settings", lazyRouteComponent(() => import("./pages/settings"), "SettingsPage")),
]);

export const router = createRouter({
  routeTree: tree,
  parseSearch,
  stringifySearch,
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} retry={reset} />,
});
