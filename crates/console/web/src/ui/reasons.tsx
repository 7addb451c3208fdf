import type { Reason } from "../api/types";
import type { Row } from "../lib/csv";
import { Evidence } from "./exchange";
import { Empty } from "./state";
import { T } from "./text";

function weight(value: number): string {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`;
}

/** Reasons as rows of a file. */
export function reasonRows(reasons: Reason[]): Row[] {
  return reasons.map(({ indicator, weight, observed, baseline, evidence }) => ({ indicator, weight, observed, baseline, evidence }));
}

/** Why: each reason with its weight, what was seen, what is usual, and the exchanges that prove it. */
export function Reasons({ reasons, notes }: { reasons: Reason[]; notes?: Record<string, { description: string; pillar: string; kind: string }> }) {
  if (reasons.length === 0) return <Empty title="No reason is kept with it" />;
  return (
    <ul className="reasons">
      {reasons.map((reason) => {
        const note = notes?.[reason.indicator];
        return (
          <li key={reason.indicator}>
            <span className={`weight${reason.weight < 0 ? " down" : ""}`} title="Weight in log-odds">
              {weight(reason.weight)}
            </span>
            <div className="stack">
              <div>
                <T>{reason.observed}</T>
                <p className="muted small">
                  <T>{reason.baseline}</T>
                  {" · "}
                  <code>{reason.indicator}</code>
                  {note ? ` · ${note.pillar}, ${note.kind}` : ""}
                </p>
              </div>
            </div>
            <Evidence ids={reason.evidence} name={reason.indicator} title={`Evidence: ${reason.indicator}`} />
          </li>
        );
      })}
    </ul>
  );
}
