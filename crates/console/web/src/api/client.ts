/** RFC 9457, as the API answers it. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  errors?: { line: number | null; column: number | null; message: string; hint: string | null }[];
}

/** An answer that is not 2xx, or none at all (`status` 0). */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.name = "ApiError";
    this.problem = problem;
  }

  get status(): number {
    return this.problem.status;
  }

  /** The last word of the problem's type: `csrf`, `not-logged-in`, `conflict`, … */
  get kind(): string {
    return this.problem.type.split(":").pop() ?? "";
  }
}

export type Params = Record<string, string | number | boolean | null | undefined>;

let csrf: string | null = null;

/** What every changing request of this session carries. */
export function setCsrf(value: string | null): void {
  csrf = value;
}

/** `/api/v1` plus path and query; parameters that say nothing are left out. */
export function apiUrl(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/v1${path}${text ? `?${text}` : ""}`;
}

async function problemOf(response: Response): Promise<Problem> {
  const fallback = { type: "about:blank", title: response.statusText || "The server refused", status: response.status };
  try {
    const body = (await response.json()) as Partial<Problem>;
    return { ...fallback, ...body, status: response.status };
  } catch {
    return fallback;
  }
}

async function request<T>(method: string, path: string, params?: Params, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrf) headers["X-Sidetap-CSRF"] = csrf;
  let response: Response;
  try {
    response = await fetch(apiUrl(path, params), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal,
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError({ type: "about:blank", title: "No answer from Sidetap", status: 0, detail: "Nothing answered at this address. Is `sidetap serve` or `sidetap watch` still running?" });
  }
  if (!response.ok) throw new ApiError(await problemOf(response));
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export const api = {
  get: <T>(path: string, params?: Params, signal?: AbortSignal) => request<T>("GET", path, params, undefined, signal),
  post: <T>(path: string, body: unknown = {}) => request<T>("POST", path, undefined, body),
  put: <T>(path: string, body: unknown) => request<T>("PUT", path, undefined, body),
  patch: <T>(path: string, body: unknown) => request<T>("PATCH", path, undefined, body),
  delete: <T>(path: string) => request<T>("DELETE", path),
};

/** Hands a file to the browser. */
export function handOver(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

/** Has the server make a file and hands it to the browser. */
export async function download(path: string, name: string, body?: unknown): Promise<void> {
  const headers: Record<string, string> = csrf ? { "X-Sidetap-CSRF": csrf } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(apiUrl(path), { method: "POST", headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin" });
  if (!response.ok) throw new ApiError(await problemOf(response));
  handOver(await response.blob(), name);
}
