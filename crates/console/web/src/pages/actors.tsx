import type { VerdictItem } from "../api/types";
import { INTENTS } from "../api/types";
import { words } from "../lib/text";
import { pathTo } from "../lib/url";
import { List } from "../ui/list";
import { Page } from "../ui/page";
import { Card, Empty } from "../ui/state";
import { verdictColumns } from "./columns";
import { CLASSES, RESPONSES, SUBJECT_KINDS } from "./options";

export function ActorsPage() {
  return (
    <Page title="Actors" lead="Who acts, whether it is a machine, whether it does harm, and why that is said.">
      <Card flush>
        <List<VerdictItem>
          path="/verdicts"
          caption="Actors"
          columns={verdictColumns}
          rowId={(row) => row.id}
          sort="-score"
          href={(row) => pathTo.actor(row.id)}
          filters={[
            { name: "intent", label: "Intent", options: INTENTS.map((id) => ({ value: id, name: words(id) })) },
            { name: "class", label: "Class", options: CLASSES },
            { name: "kind", label: "Subject", options: SUBJECT_KINDS },
            { name: "response", label: "Response", options: RESPONSES },
            { name: "ip", label: "Address or network" },
            { name: "min_score", label: "Harm from", type: "number" },
          ]}
          linked={["oat", "phase", "campaign", "policy", "zone", "country", "organization", "host", "indicator", "min_automation", "min_requests", "seen_after", "seen_before"]}
          empty={<Empty title="Nobody was judged yet">An actor is listed when enough of it was seen to say whether it is a machine and what it is after.</Empty>}
        />
      </Card>
    </Page>
  );
}
