import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { FormEvent, ReactNode } from "react";
import { useEffect, useState } from "react";

import { ApiError, api, setCsrf } from "./api/client";
import type { Session } from "./api/types";
import { Field, SessionContext, messageOf } from "./ui/act";
import { Mark } from "./ui/icons";
import { Failed, Loading } from "./ui/state";

/** Who is logged in; null where nobody is. */
async function whoIs(): Promise<Session | null> {
  try {
    const session = await api.get<Session>("/session");
    setCsrf(session.csrf);
    return session;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.kind === "setup-required")) return null;
    throw error;
  }
}

function Box({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Sidetap`;
  }, [title]);
  return (
    <main className="gate">
      <div className="box">
        <div className="brand">
          <Mark /> Sidetap
        </div>
        <section className="card stack">
          <h1>{title}</h1>
          {children}
        </section>
      </div>
    </main>
  );
}

let entered = false;

/** Whether somebody logged in on this page since it was asked last: the form that had the focus is gone. */
export function hasEntered(): boolean {
  const was = entered;
  entered = false;
  return was;
}

function useEnter() {
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const enter = async (path: string, body: unknown) => {
    setBusy(true);
    setError(null);
    try {
      const session = await api.post<Session>(path, body);
      setCsrf(session.csrf);
      entered = true;
      client.setQueryData(["setup"], (known: object | undefined) => ({ sso: null, ...known, required: false, session: true }));
      client.setQueryData(["session"], session);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return { enter, error, busy };
}

function text(form: FormData, name: string): string {
  return String(form.get(name) ?? "");
}

function Refused({ error }: { error: unknown }) {
  return error ? (
    <p className="notice bad" role="alert">
      {messageOf(error)}
    </p>
  ) : null;
}

const SSO_SAYS: Record<string, string> = {
  provider: "The provider could not be asked. The log of Sidetap says why.",
  refused: "The log-in by the provider was not accepted. The log of Sidetap says why.",
  "no-role": "The provider knows you, and gives you no role here. Whoever runs Sidetap can change that.",
};

function Sso({ name }: { name: string }) {
  const said = SSO_SAYS[new URLSearchParams(window.location.search).get("sso") ?? ""];
  return (
    <div className="stack">
      {said ? (
        <p className="notice bad" role="alert">
          {said}
        </p>
      ) : null}
      <a className="btn" href="/api/v1/session/sso">
        Log in with {name}
      </a>
    </div>
  );
}

function Login({ sso }: { sso: string | null }) {
  const { enter, error, busy } = useEnter();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void enter("/session", { name: text(form, "name"), password: text(form, "password") });
  };
  return (
    <Box title="Log in">
      <form className="stack" onSubmit={submit}>
        <Field label="Name">{(id) => <input id={id} name="name" autoComplete="username" required autoFocus />}</Field>
        <Field label="Password">{(id) => <input id={id} name="password" type="password" autoComplete="current-password" required />}</Field>
        <Refused error={error} />
        <button className="btn main" type="submit" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
      </form>
      {sso ? <Sso name={sso} /> : null}
    </Box>
  );
}

function Setup() {
  const { enter, error, busy } = useEnter();
  const [short, setShort] = useState(false);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const password = text(form, "password");
    setShort(password.length < 12);
    if (password.length < 12) return;
    void enter("/setup", { token: text(form, "token").trim(), name: text(form, "name").trim(), password });
  };
  return (
    <Box title="Create the administrator">
      <p className="muted">Sidetap printed a one-time token when it started. It is used up by this page.</p>
      <form className="stack" onSubmit={submit}>
        <Field label="One-time token">{(id) => <input id={id} name="token" autoComplete="off" className="mono" required autoFocus />}</Field>
        <Field label="Name">{(id) => <input id={id} name="name" autoComplete="username" required />}</Field>
        <Field label="Password" hint="12 characters or more.">
          {(id) => <input id={id} name="password" type="password" autoComplete="new-password" required aria-invalid={short} />}
        </Field>
        {short ? (
          <p className="notice bad" role="alert">
            The password needs 12 characters or more.
          </p>
        ) : null}
        <Refused error={error} />
        <button className="btn main" type="submit" disabled={busy}>
          {busy ? "Creating…" : "Create administrator"}
        </button>
      </form>
    </Box>
  );
}

/** Lets in who is logged in; asks the others. */
export function Gate({ children }: { children: ReactNode }) {
  const setup = useQuery({ queryKey: ["setup"], queryFn: () => api.get<{ required: boolean; sso: string | null; session: boolean }>("/setup"), staleTime: Infinity });
  const known = setup.data;
  // Where nobody is logged in who it is need not be asked, and the browser has no refusal to tell of.
  const session = useQuery({ queryKey: ["session"], queryFn: () => (known?.session ? whoIs() : null), enabled: known?.required === false, staleTime: Infinity });
  const failed = setup.error ?? session.error;
  if (failed) {
    return (
      <Box title="Sidetap does not answer">
        <Failed error={failed} retry={() => void (setup.error ? setup.refetch() : session.refetch())} />
      </Box>
    );
  }
  if (setup.data?.required) return <Setup />;
  if (!session.isSuccess) {
    return (
      <main className="gate">
        <div className="box">
          <h1 className="sr">Sidetap</h1>
          <Loading lines={3} />
        </div>
      </main>
    );
  }
  if (session.data === null) return <Login sso={setup.data?.sso ?? null} />;
  return <SessionContext.Provider value={session.data}>{children}</SessionContext.Provider>;
}
