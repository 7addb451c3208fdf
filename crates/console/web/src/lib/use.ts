import type { UseQueryResult } from "@tanstack/react-query";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";

import type { Params } from "../api/client";
import { api } from "../api/client";

/** Asks the API; the first word of the path is what a change invalidates. */
export function useApi<T>(path: string, params: Params = {}, options: { enabled?: boolean; keep?: boolean } = {}): UseQueryResult<T> {
  return useQuery({
    queryKey: [path.split("/")[1] ?? path, path, params],
    queryFn: ({ signal }) => api.get<T>(path, params, signal),
    enabled: options.enabled ?? true,
    placeholderData: options.keep ? (keepPreviousData as never) : undefined,
  });
}

/** The id that the path of this page names. */
export function useId(): string {
  const params = useParams({ strict: false }) as { id?: string };
  return params.id ?? "";
}
