import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import type { Live } from "./api/types";

/** Which lists are worth asking again when a table changed. */
const TOUCHES: Record<string, string[]> = {
  endpoints: ["endpoints", "hosts", "overview"],
  findings: ["findings", "overview"],
  campaigns: ["campaigns", "overview"],
  verdicts: ["verdicts", "overview"],
  sensitive: ["sensitive", "overview"],
  actions: ["actions", "mitigation", "overview"],
  mitigation: ["mitigation", "actions"],
};

/** How long to wait after a refusal. */
const AGAIN_MS = 15_000;

/** Listens to what happens: keeps lists fresh and gives the rates of a live capture. */
export function useLive(): { live: Live | null; connected: boolean } {
  const client = useQueryClient();
  const [live, setLive] = useState<Live | null>(null);
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    let source: EventSource | null = null;
    let again = 0;
    const waiting = new Set<string>();
    let timer = 0;
    const touch = (tables: string[]) => {
      for (const table of tables) for (const key of TOUCHES[table] ?? [table]) waiting.add(key);
      if (timer === 0) {
        timer = window.setTimeout(() => {
          timer = 0;
          for (const key of waiting) void client.invalidateQueries({ queryKey: [key] });
          waiting.clear();
        }, 2_000);
      }
    };
    const read = (event: Event): Record<string, unknown> => {
      try {
        return JSON.parse((event as MessageEvent<string>).data) as Record<string, unknown>;
      } catch {
        return {};
      }
    };
    const listen = () => {
      source = new EventSource("/api/v1/events");
      source.addEventListener("open", () => setConnected(true));
      source.addEventListener("error", () => {
        setConnected(false);
        setLive(null);
        // A browser asks again by itself after a break, not after a refusal: a proxy's, or for too many streams.
        if (source?.readyState === EventSource.CLOSED) again = window.setTimeout(listen, AGAIN_MS);
      });
      source.addEventListener("stats", (event) => setLive(read(event) as unknown as Live));
      source.addEventListener("changed", (event) => touch((read(event)["tables"] as string[] | undefined) ?? []));
      for (const table of ["verdicts", "campaigns", "actions"]) source.addEventListener(table, () => touch([table]));
    };
    listen();
    return () => {
      source?.close();
      window.clearTimeout(again);
      window.clearTimeout(timer);
    };
  }, [client]);
  return { live, connected };
}
