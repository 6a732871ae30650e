import { isIPv4, isIPv6 } from "node:net";
import { bare, quoted } from "./text.ts";

const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const hostName = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`);
/** What of it a pattern can say. */
export const piHostPattern = /^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$/;
const form = "give the Pi's address, such as 192.168.11.14";

/** What is wrong with the Pi's address or name, and the cure; undefined when SSH can be asked to go there. */
export function piHostProblem(value: string): string | undefined {
  const shown = quoted(value);
  const plain = bareHost(value);
  if (plain.host !== value) {
    const problem = problemOf(plain.host);
    if (problem) return `is ${shown}${problem}`;
    return [
      `is ${shown}: give the address alone, "${plain.host}"`,
      plain.port ? `, and the port as pi.port: ${plain.port}` : "",
      plain.user ? `, and the user as pi.user: ${plain.user}` : "",
    ].join("");
  }
  const problem = problemOf(value);
  return problem && `is ${shown}${problem}`;
}

const mac = /^(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}$|^(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}$|^[0-9a-f]{12}$/i;

/** Of a name that leads to Cloudflare. */
export function publicHostProblem(host: string): string {
  return `is ${quoted(host)}, which leads to Cloudflare, where no SSH answers: give the Pi's address at home, such as 192.168.11.14`;
}

function problemOf(host: string): string | undefined {
  if (mac.test(host)) {
    return `, which is a MAC address: give the address that the router gave to it, such as 192.168.11.14`;
  }
  if (isIPv4(host)) return ipv4Problem(host.split(".").map(Number));
  if (isIPv6(host)) return ipv6Problem(host.toLowerCase());
  const last = host.split(".").at(-1)!;
  // What ends in digits is read as an address: 127.1 is 127.0.0.1 to some programs, and nothing to others.
  if (!hostName.test(host) || /^(?:\d+|0x[0-9a-f]*)$/i.test(last)) {
    return `, which is neither an address nor a name: ${form}`;
  }
  if (/\.local$/i.test(host)) {
    return `, a name that Pulumi does not find on every laptop: give the Pi's address ("ping ${host}" shows it), and have the router keep it`;
  }
  return undefined;
}

function ipv4Problem([first = 0, second = 0, , last = 0]: number[]): string | undefined {
  if (first === 0) return `, which is no machine's address: ${form}`;
  if (first >= 224) return `, which is the address of no single machine: ${form}`;
  if (first === 169 && second === 254) {
    return ", which a machine gives itself when no router gave it one, and changes: plug the Pi into the router, and give the address that it gets there";
  }
  // A home's network has 256 addresses, the first and last of which are no machine's.
  if (first === 192 && second === 168 && (last === 0 || last === 255)) {
    return `, which is the network's own and no machine's: ${form}`;
  }
  return undefined;
}

function ipv6Problem(host: string): string | undefined {
  if (/^[0:]+$/.test(host)) return `, which is no machine's address: ${form}`;
  if (host.startsWith("ff")) return `, which is the address of no single machine: ${form}`;
  if (/^fe[89ab]/.test(host)) {
    return `, which holds on one cable only and is not found by its number alone: ${form}`;
  }
  if (/^::ffff:/.test(host)) return `, an IPv4 address in another form: ${form}`;
  return undefined;
}

/** Immich's, and a browser's. */
const portsOfOthers = ["2283", "80", "443"];

/** Without what belongs to other settings, to a browser or to a command line. */
function bareHost(value: string): { host: string; port?: string; user?: string } {
  const line = bare(value)
    .replaceAll("。", ".")
    .replace(/^ssh (?!$)/i, "");
  const [, optionPort] = / ?-p ?(\d+)\b/.exec(line) ?? [];
  const text = line
    .replace(/ ?-p ?\d+\b ?/, "")
    .replace(/^(?:ssh|https?|sftp):\/\//i, "")
    .replace(/\/.*$/s, "");
  const at = text.lastIndexOf("@");
  const before = text.slice(0, Math.max(at, 0));
  const user = /^[a-z_][a-z0-9_-]*$/.test(before) ? before : undefined;
  const rest = text.slice(at + 1);
  const [, bracketed, bracketPort] = /^\[([^\]]+)\](?::(\d+))?$/.exec(rest) ?? [];
  const [, named, namedPort] = /^([^:]+):(\d+)$/.exec(rest) ?? [];
  // A web address has a port too, which is not SSH's.
  const given = optionPort ?? bracketPort ?? namedPort;
  const isSsh = given !== undefined && !/^https?:/i.test(line) && !portsOfOthers.includes(given);
  const host = (bracketed ?? named ?? rest).replace(/\.$/, "");
  return { host, ...(isSsh && { port: given }), ...(user && { user }) };
}
