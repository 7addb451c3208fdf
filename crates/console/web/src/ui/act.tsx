import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ButtonHTMLAttributes, ReactNode } from "react";
import { createContext, useCallback, useContext, useEffect, useId, useMemo, useRef, useState } from "react";

import { ApiError } from "../api/client";
import type { Role, Session } from "../api/types";
import { ROLES } from "../api/types";
import { n } from "../lib/format";
import { plain, sentence, unticked } from "../lib/text";

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("nobody is logged in");
  return session;
}

/** Whether who is logged in has at least this role. */
export function useMay(role: Role): boolean {
  const session = useContext(SessionContext);
  return session !== null && ROLES.indexOf(session.user.role) >= ROLES.indexOf(role);
}

interface Toast {
  id: number;
  kind: "ok" | "bad";
  text: string;
}

interface Said {
  say: (kind: Toast["kind"], text: string) => number;
  unsay: (id: number) => void;
  toasts: Toast[];
  /** Says that a dialog was opened, or closed: while one is, what is said stands in it, for all else lies behind it. */
  open: (by: 1 | -1) => void;
}

const ToastContext = createContext<Said>({ say: () => 0, unsay: () => undefined, toasts: [], open: () => undefined });

function ToastLines({ toasts }: { toasts: Toast[] }) {
  return (
    <>
      {toasts.map((toast) => (
        <div key={toast.id} className={`notice ${toast.kind}`}>
          {toast.text}
        </div>
      ))}
    </>
  );
}

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const [dialogs, setDialogs] = useState(0);
  const next = useRef(0);
  const say = useCallback((kind: Toast["kind"], text: string) => {
    next.current += 1;
    const id = next.current;
    setToasts((now) => [...now.slice(-3), { id, kind, text }]);
    window.setTimeout(() => setToasts((now) => now.filter((toast) => toast.id !== id)), kind === "ok" ? 5_000 : 20_000);
    return id;
  }, []);
  const unsay = useCallback((id: number) => setToasts((now) => now.filter((toast) => toast.id !== id)), []);
  const open = useCallback((by: 1 | -1) => setDialogs((now) => now + by), []);
  const said = useMemo(() => ({ say, unsay, toasts, open }), [say, unsay, toasts, open]);
  return (
    <ToastContext.Provider value={said}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {dialogs === 0 ? <ToastLines toasts={toasts} /> : null}
      </div>
    </ToastContext.Provider>
  );
}

export function useSay() {
  return useContext(ToastContext).say;
}

export function messageOf(error: unknown): string {
  if (error instanceof ApiError) {
    const title = unticked(error.problem.title);
    const detail = error.problem.detail ? unticked(error.problem.detail) : undefined;
    // What was wrong with the words of a person needs no name.
    if (detail && (error.kind === "bad-body" || error.kind === "bad-query")) return sentence(detail);
    return detail && detail !== title ? `${sentence(title)}: ${detail}` : sentence(title);
  }
  return error instanceof Error ? error.message : String(error);
}

/** A change: does it, says how it went, has what it touched asked again. */
export function useAct<In, Out>(act: (input: In) => Promise<Out>, options: { done?: string | ((out: Out) => string); touches?: string[]; then?: (out: Out) => void } = {}) {
  const client = useQueryClient();
  const { say, unsay } = useContext(ToastContext);
  const failed = useRef(0);
  return useMutation({
    mutationFn: act,
    // What went wrong the last time is not said of this one.
    onMutate: () => unsay(failed.current),
    onSuccess: async (out: Out) => {
      const undone = failedOf(out);
      if (undone.length > 0 && options.done) say("bad", `Not done on every device: ${undone.map(plain).join("; ")}`);
      else if (options.done) say("ok", typeof options.done === "function" ? options.done(out) : options.done);
      options.then?.(out);
      const lost = notKept(out);
      if (lost > 0) say("bad", `${n(lost)} of what was done could not be written down: the store was held by somebody else. The list of actions misses them; the audit has how many.`);
      await Promise.all((options.touches ?? []).map((key) => client.invalidateQueries({ queryKey: [key] })));
    },
    onError: (error) => {
      failed.current = say("bad", messageOf(error));
    },
  });
}

/** What devices say that did not do what they were told. */
export function failedOf(out: unknown): string[] {
  const failed = typeof out === "object" && out !== null && "failed" in out ? out.failed : [];
  return Array.isArray(failed) ? failed.map(String) : [];
}

/** How much of what was done to devices the store could not take. */
function notKept(out: unknown): number {
  const lost = typeof out === "object" && out !== null && "not_kept" in out ? out.not_kept : 0;
  return typeof lost === "number" ? lost : 0;
}

/** A button that says why it cannot be pressed. */
export function Act({ needs, className = "", children, disabled, title, ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { needs?: Role }) {
  const may = useMay(needs ?? "viewer");
  return (
    <button type="button" {...rest} className={`btn ${className}`} disabled={disabled || !may} title={may ? title : `Needs the role ${needs}`}>
      {children}
    </button>
  );
}

/** A modal dialog; Escape closes it. */
export function Dialog({ title, open, close, wide, children }: { title: ReactNode; open: boolean; close: () => void; wide?: boolean; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const { toasts, open: opened } = useContext(ToastContext);
  // What was said before it was opened is not about it.
  const before = useRef(0);
  const last = toasts.at(-1)?.id ?? 0;
  const was = useRef(false);
  if (open && !was.current) before.current = last;
  was.current = open;
  useEffect(() => {
    if (!open) return undefined;
    opened(1);
    return () => opened(-1);
  }, [open, opened]);
  useEffect(() => {
    const dialog = box.current;
    if (!dialog) return;
    if (open && !dialog.open) dialog.showModal();
    if (!open && dialog.open) dialog.close();
  }, [open]);
  return (
    <dialog ref={box} aria-labelledby={heading} className={wide ? "wide" : ""} onClose={close}>
      {open ? (
        <div className="stack">
          <div className="row" style={{ justifyContent: "space-between", flexWrap: "nowrap", alignItems: "flex-start" }}>
            <h2 id={heading}>{title}</h2>
            <button type="button" className="btn quiet" onClick={close} aria-label="Close">
              ✕
            </button>
          </div>
          {children}
          <div className="said" role="status" aria-live="polite">
            <ToastLines toasts={toasts.filter((toast) => toast.id > before.current)} />
          </div>
        </div>
      ) : null}
    </dialog>
  );
}

/** A button that asks first. */
export function Confirm({ needs, label, question, detail, yes, act, className, disabled }: { needs?: Role; label: ReactNode; question: string; detail?: ReactNode; yes: string; act: () => void; className?: string; disabled?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Act needs={needs} className={className} disabled={disabled} onClick={() => setOpen(true)}>
        {label}
      </Act>
      <Dialog title={question} open={open} close={() => setOpen(false)}>
        {detail}
        <div className="row end">
          <button type="button" className="btn" onClick={() => setOpen(false)}>
            Cancel
          </button>
          <button
            type="button"
            className="btn main"
            onClick={() => {
              setOpen(false);
              act();
            }}
          >
            {yes}
          </button>
        </div>
      </Dialog>
    </>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: ReactNode; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id)}
      {hint ? <div className="hint">{hint}</div> : null}
    </div>
  );
}

/** Copies a text; says that it did. */
export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  const copy = useMemo(
    () => () => {
      void navigator.clipboard?.writeText(text).then(() => setDone(true));
      window.setTimeout(() => setDone(false), 1_500);
    },
    [text],
  );
  return (
    <button type="button" className="btn" onClick={copy}>
      {done ? "Copied" : label}
    </button>
  );
}
