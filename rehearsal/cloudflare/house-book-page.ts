/** What people see at the control port: what exists, the mailbox, and why the edge let whom in. */
import type { Decision } from "./decisions.ts";
import { escapeHtml, page } from "./pages.ts";
import type { AccessPolicy, AccessRule, CloudflareState } from "./state.ts";

const shown = 100;

export function houseBookPage(state: CloudflareState, decisions: readonly Decision[]): string {
  const { data } = state;
  const tokenName = (id: string) => data.serviceTokens.find((token) => token.id === id)?.name ?? id;
  const policyOf = (id: string) => data.policies.find((policy) => policy.id === id);
  const time = (text: string | null | undefined) => text?.slice(0, 19).replace("T", " ") ?? "";
  const tunnels = data.tunnels.filter(({ deletedAt }) => !deletedAt);
  return page(
    "The pretend Cloudflare",
    `<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; margin-bottom: 2rem; }
caption { font-weight: bold; text-align: left; }
td, th { border-bottom: 1px solid #ccc; padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; }
.no { color: #a00; }
</style>
<h1>The pretend Cloudflare</h1>
<p>It is ${escapeHtml(time(state.clock.now().toISOString()))} UTC on the pretend clock. Team: ${escapeHtml(state.teamDomain || "none")}. Reload to see what is new.</p>
${table(
  "records",
  "Records",
  ["name", "leads to", "proxied"],
  [...data.dnsRecords.map(({ name, content, proxied }) => [name, content, proxied ? "yes" : "no"])],
)}
${table(
  "tunnels",
  "Tunnels",
  ["name", "id", "connector"],
  [
    ...tunnels.map(({ name, id, activeAt, everConnected }) => [
      name,
      id,
      everConnected ? `last seen ${time(activeAt)}` : "never seen",
    ]),
  ],
)}
${table(
  "applications",
  "Applications",
  ["name", "host", "policies, in their order"],
  [
    ...data.applications.map(({ name, domain, policies }) => [
      name,
      domain,
      policies.map(({ id }) => policyOf(id)?.name ?? id).join(", "),
    ]),
  ],
)}
${table(
  "policies",
  "Policies",
  ["name", "decision", "who"],
  [...data.policies.map((policy) => [policy.name, policy.decision, who(policy, tokenName)])],
)}
${table(
  "tokens",
  "Service tokens",
  ["name", "ends", "last seen", "secret version"],
  [
    ...data.serviceTokens.map((token) => [
      token.name,
      time(token.expiresAt) || "never",
      time(token.lastSeenAt) || "never",
      String(token.clientSecretVersion),
    ]),
  ],
)}
${table(
  "mailbox",
  "Mailbox",
  ["at", "to", "subject", "code"],
  [
    ...data.mailbox
      .slice(-shown)
      .reverse()
      .map(({ sentAt, to, subject, code }) => [time(sentAt), to, subject, code]),
  ],
)}
${table(
  "decisions",
  "Decisions, the newest first",
  ["at", "request", "let in", "who", "why", "status"],
  [
    ...decisions
      .slice(-shown)
      .reverse()
      .map(({ at, method, host, path, allowed, who, reason, status }) => [
        time(at),
        `${method} ${host}${path}`,
        allowed ? "yes" : "no",
        who ?? "",
        reason,
        String(status ?? ""),
      ]),
  ],
)}`,
  );
}

function who(policy: AccessPolicy, tokenName: (id: string) => string): string {
  const name = ({ email, service_token, ...other }: AccessRule): string => {
    if (email) return String(email.email);
    return service_token ? tokenName(String(service_token.token_id)) : JSON.stringify(other);
  };
  return policy.include.map(name).join(", ");
}

function table(id: string, caption: string, heads: string[], rows: string[][]): string {
  const cell = (text: string) =>
    `<td${text === "no" ? ' class="no"' : ""}>${escapeHtml(text)}</td>`;
  return `<table id="${id}"><caption>${caption}</caption>
<tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr>
${rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")}
</table>`;
}
