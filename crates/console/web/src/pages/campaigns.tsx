import type { CampaignItem } from "../api/types";
import { pathTo } from "../lib/url";
import { List } from "../ui/list";
import { Page } from "../ui/page";
import { Card, Empty } from "../ui/state";
import { campaignColumns } from "./columns";
import { CLASSES } from "./options";

export function CampaignsPage() {
  return (
    <Page title="Campaigns" lead="Actors that one attacker drives, followed over addresses, tools and endpoints.">
      <Card flush>
        <List<CampaignItem>
          path="/campaigns"
          caption="Campaigns"
          columns={campaignColumns}
          rowId={(row) => row.id}
          sort="-score"
          href={(row) => pathTo.campaign(row.id)}
          filters={[
            { name: "class", label: "Class", options: CLASSES },
            { name: "host", label: "Host" },
            { name: "min_score", label: "Harm from", type: "number" },
            { name: "min_requests", label: "Requests from", type: "number" },
          ]}
          linked={["oat", "phase", "endpoint", "member", "label", "seen_after", "seen_before"]}
          empty={<Empty title="No campaign was recognised">A campaign appears when several actors, or one with many requests, follow one aim. Nothing has to be set up for it.</Empty>}
        />
      </Card>
    </Page>
  );
}
