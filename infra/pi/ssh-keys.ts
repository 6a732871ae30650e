import { createPublicKey } from "node:crypto";
import ssh2 from "ssh2";

/**
 * Which keys open the Pi: those that ssh2 (the look, Immich), Go's SSH (Pulumi's commands) and OpenSSH (`ouchi status`, the Pi)
 * all read and sign with. Pure: a file's text in; out comes the key, or a clause that says what is wrong and repeats nothing of it.
 */
type Read<T> = ({ wrong?: undefined } & T) | { wrong: string };

const works = "ed25519, ecdsa and RSA keys work; make one by: ssh-keygen -t ed25519";
const withPassphrase =
  'has a passphrase: "ssh-add" it and remove the setting, so that the SSH agent is asked';
/** Bits. Go and OpenSSH take no shorter one. */
const shortestRsa = 1024;

export function readPrivateKey(text: string): Read<{ type: string; publicBlob: Buffer }> {
  const key = text.trim();
  const wrong = wrongForm(text, key);
  if (wrong) return { wrong };
  const parsed = [ssh2.utils.parseKey(key)].flat()[0];
  if (!parsed) return { wrong: `holds no key: ${works}` };
  if (parsed instanceof Error) {
    const { message } = parsed;
    if (/^Encrypted|^Unsupported (?:cipher|kdf)|encrypted/.test(message)) {
      return { wrong: withPassphrase };
    }
    const kind = /private key type: (\S+)$/.exec(message)?.[1];
    return { wrong: (kind && unfit(kind)) ?? `is cut or damaged, or of an unknown kind: ${works}` };
  }
  const publicBlob = parsed.getPublicSSH();
  const kind = unfit(parsed.type, publicBlob);
  if (kind) return { wrong: kind };
  return signs(parsed)
    ? { type: parsed.type, publicBlob }
    : { wrong: `is damaged, since what it signs is not its own: ${works}` };
}

/** The line for authorized_keys that a `.pub` file gives. */
export function readPublicKey(text: string): Read<{ line: string; publicBlob: Buffer }> {
  const file = text.replace(/^\ufeff/, "").trim();
  if (file.includes("\u0000")) {
    return {
      wrong: `is in UTF-16, as PowerShell's ">" writes it: name the file that ssh-keygen wrote`,
    };
  }
  if (/PRIVATE KEY-----|^PuTTY-User-Key-File/m.test(file)) {
    return {
      wrong: "holds a private key, which stays on this computer: name the file that ends in .pub",
    };
  }
  if (/^-----?-? ?BEGIN /.test(file)) {
    return { wrong: "is not in OpenSSH's form: turn it into that by: ssh-keygen -i -f <file>" };
  }
  const lines = file.split(/\r?\n/).filter((line) => /^[^#\s]/.test(line));
  if (lines.length > 1) {
    return lines.every((line) => keyLine.test(line))
      ? { wrong: `holds ${lines.length} keys: name a file that holds one alone` }
      : {
          wrong:
            "is more than one line: name the file that ssh-keygen wrote, with the key on one line",
        };
  }
  const [, type, base64, comment] = keyLine.exec(lines[0] ?? "") ?? [];
  if (!type || !base64) {
    return /\s(?:ssh|ecdsa|sk)-\S+ AAAA/.test(file)
      ? {
          wrong: `has options before the key: name a file whose line begins with the key's kind, such as "ssh-ed25519 AAAA…"`,
        }
      : {
          wrong: `is not one line of an OpenSSH public key: name the file that ends in .pub, or make one by: ssh-keygen -t ed25519`,
        };
  }
  const publicBlob = Buffer.from(base64, "base64");
  const kind = unfit(type, publicBlob);
  if (kind) return { wrong: kind };
  if (!isWhole(type, base64, publicBlob)) {
    return { wrong: "holds a key that is cut or damaged: name the file that ssh-keygen wrote" };
  }
  // The comment is read by several programs on the card, and opens nothing.
  const plain = /^[ -~]{1,200}$/.test(comment ?? "") ? ` ${comment}` : "";
  return { line: `${type} ${base64}${plain}`, publicBlob };
}

const keyLine = /^([a-z][a-z0-9@.-]+)[ \t]+([A-Za-z0-9+/]{4,}={0,2})(?:[ \t]+(.*))?$/;

/** What a private key's file is instead of a private key. */
function wrongForm(text: string, key: string): string | undefined {
  if (key === "") return "is empty";
  if (key.startsWith("PuTTY-User-Key-File-")) {
    return `is in PuTTY's form: have PuTTYgen write it by "Conversions > Export OpenSSH key"`;
  }
  if (key.startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----")) return withPassphrase;
  if (key.startsWith("-----BEGIN PRIVATE KEY-----")) {
    return "is in the form PKCS#8, which the kit's own SSH does not read: copy the file, and turn the copy into OpenSSH's form by: ssh-keygen -p -N '' -f <copy>";
  }
  if (keyLine.test(key) || /^-----?-? ?BEGIN (?:SSH2 )?PUBLIC KEY/.test(key)) {
    return "holds a public key: name the file without .pub, which holds the private one";
  }
  const [begin, ...others] = key.match(/^-----BEGIN [A-Z0-9 ]+-----/gm) ?? [];
  if (!begin) return `is no SSH key that is known here: ${works}`;
  if (others.length > 0 || !key.startsWith(begin)) {
    return "holds more than one private key: keep that alone, without what stands before or after it";
  }
  // OpenSSH takes its own form to the letter, which the other two do not.
  if (begin.includes("OPENSSH")) {
    if (key.includes("\r")) {
      return "has line ends of Windows, which OpenSSH refuses: sed -i 's/\\r$//' <file>";
    }
    if (!text.startsWith(begin))
      return "has empty lines or spaces before the key, which OpenSSH refuses: remove them";
    if (!/-----END OPENSSH PRIVATE KEY-----\n/.test(text)) {
      return "ends without a line end, or was cut: OpenSSH refuses it; where it is whole, echo >> <file>";
    }
  }
  return undefined;
}

/** Why a key of this kind does not work everywhere. */
function unfit(type: string, publicBlob?: Buffer): string | undefined {
  if (/-cert-v\d+@/.test(type)) return `is a certificate (${type}): name the key itself`;
  if (type.startsWith("sk-")) {
    return `is a security key's (${type}), which the kit's SSH cannot use: ${works}`;
  }
  if (type === "ssh-dss") return `is a DSA key, which the Pi's OpenSSH does not take: ${works}`;
  if (type === "ssh-rsa") {
    const bits = publicBlob && rsaBits(publicBlob);
    return bits !== undefined && bits < shortestRsa
      ? `is an RSA key of ${bits} bits, and ${shortestRsa} are the least: ${works}`
      : undefined;
  }
  return /^(?:ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521))$/.test(type)
    ? undefined
    : `is a key of the kind "${type}", which the kit's SSH does not know: ${works}`;
}

/** The modulus is the last of the blob's strings. */
function rsaBits(blob: Buffer): number | undefined {
  let at = 0;
  let last: Buffer = Buffer.alloc(0);
  while (at + 4 <= blob.length) {
    last = blob.subarray(at + 4, at + 4 + blob.readUInt32BE(at));
    at += 4 + blob.readUInt32BE(at);
  }
  const digits = last.toString("hex").replace(/^0+/, "");
  return digits
    ? (digits.length - 1) * 4 + Number.parseInt(digits[0]!, 16).toString(2).length
    : undefined;
}

/** ssh2 is lenient here and there: a whole key is the same bytes when it is written anew, and a key to OpenSSL too. */
function isWhole(type: string, base64: string, blob: Buffer): boolean {
  try {
    const parsed = [ssh2.utils.parseKey(`${type} ${base64}`)].flat()[0];
    if (!parsed || parsed instanceof Error || parsed.type !== type) return false;
    createPublicKey(parsed.getPublicPEM());
    return blob.toString("base64") === base64 && parsed.getPublicSSH().equals(blob);
  } catch {
    return false;
  }
}

function signs(key: ssh2.ParsedKey): boolean {
  const probe = Buffer.from("ouchi-photos");
  const hash = key.type === "ssh-rsa" ? "sha256" : undefined;
  const signature = key.sign(probe, hash);
  return !(signature instanceof Error) && key.verify(probe, signature, hash) === true;
}
