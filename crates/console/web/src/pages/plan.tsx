import { n } from "../lib/format";
import { planDevices, planLines } from "../lib/plan";
import { words } from "../lib/text";
import { A, pathTo } from "../lib/url";
import { T, Time } from "../ui/text";

/** Lines that are shown; files have all. */
const SHOWN = 200;

/** What a push would change, or an undo take back: device by device, and entry by entry. */
export function PlanTable({ plan, name }: { plan: unknown; name: string }) {
  const [devices, lines] = [planDevices(plan), planLines(plan)];
  return (
    <div className="stack" aria-live="polite">
      {devices.length === 0 ? <p className="muted">No device has anything to change.</p> : null}
      <ul className="stack">
        {devices.map((device, at) => (
          <li key={`${device.name} ${at}`}>
            <strong>
              <T>{device.name}</T>
            </strong>
            : {device.text}
            {device.trouble.map((one) => (
              <p key={one} className="notice bad">
                <T>{one}</T>
              </p>
            ))}
          </li>
        ))}
      </ul>
      {lines.length > 0 ? (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={name} style={{ maxHeight: "32rem", overflowY: "auto" }}>
          <table>
            <caption className="sr">{name}</caption>
            <thead>
              <tr>
                <th scope="col">Device</th>
                <th scope="col">What</th>
                <th scope="col">Whom</th>
                <th scope="col">Response</th>
                <th scope="col">Lets go</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {lines.slice(0, SHOWN).map((line, at) => (
                <tr key={at}>
                  <td>{line.device ? <T>{line.device}</T> : <span className="muted">–</span>}</td>
                  <td className="nowrap">{line.what}</td>
                  <td className="wide">
                    {line.verdict ? (
                      <A href={pathTo.actor(line.verdict)}>
                        <T mono>{line.whom}</T>
                      </A>
                    ) : (
                      <T mono>{line.whom}</T>
                    )}
                  </td>
                  <td>{line.how ? words(line.how) : <span className="muted">–</span>}</td>
                  <td>{line.until ? <Time at={line.until} /> : <span className="muted">–</span>}</td>
                  <td className="wide">
                    <T>{line.why}</T>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
      {lines.length > SHOWN ? (
        <p className="muted small">
          The first {SHOWN} of {n(lines.length)}; the files have all.
        </p>
      ) : null}
    </div>
  );
}
