import { useQuery } from "@tanstack/react-query";

import { api } from "../api/client";
import type { Exchange } from "../api/types";
import { useId } from "../lib/use";
import { useMay } from "../ui/act";
import { ExchangeView } from "../ui/exchange";
import { Page } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { T } from "../ui/text";

/** One exchange by itself, to be shared by its link. Asking for it is written to the audit. */
export function ExchangePage() {
  const id = useId();
  const may = useMay("analyst");
  const path = `/exchanges/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ["exchanges", path], queryFn: ({ signal }) => api.get<Exchange>(path, {}, signal), enabled: may });
  return (
    <Page title={`Exchange ${id}`} heading="Exchange" meta={<T mono>{id}</T>}>
      <Card title="What was sent and answered">
        {may ? <Shown query={query}>{(row) => <ExchangeView row={row} />}</Shown> : <Empty title="Exchanges are read by analysts">Each look at evidence is written to the audit.</Empty>}
      </Card>
    </Page>
  );
}
