/** A service token in a request's headers. Pure. */

export type TokenHeaders =
  | { kind: "none" }
  | { kind: "whole"; clientId: string; clientSecret: string }
  /** Twice, half, or in both places. */
  | { kind: "malformed"; reason: string };

const idHeader = "cf-access-client-id";
const secretHeader = "cf-access-client-secret";

/**
 * @param pairs The request's headers as they came, so that one that comes twice is seen.
 * @param singleHeader The application's `read_service_tokens_from_header`.
 */
export function readTokenHeaders(
  pairs: readonly (readonly [string, string])[],
  singleHeader: string | null,
): TokenHeaders {
  const values = (wanted: string) =>
    pairs.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  const ids = values(idHeader);
  const secrets = values(secretHeader);
  const single = singleHeader
    ? values(singleHeader.toLowerCase())
        .map(readSingle)
        .filter((value) => value !== undefined)
    : [];
  const standard = ids.length > 0 || secrets.length > 0;
  if (!standard && single.length === 0) return { kind: "none" };
  if (standard && single.length > 0) {
    return { kind: "malformed", reason: `a service token in two places, also in ${singleHeader}` };
  }
  if (ids.length > 1 || secrets.length > 1 || single.length > 1) {
    return { kind: "malformed", reason: "a service token's header comes twice" };
  }
  const clientId = ids[0] ?? single[0]?.[idHeader];
  const clientSecret = secrets[0] ?? single[0]?.[secretHeader];
  if (!clientId || !clientSecret) {
    return { kind: "malformed", reason: "half of a service token" };
  }
  return { kind: "whole", clientId, clientSecret };
}

/** Another thing may stand in that header, such as Immich's own bearer token. */
function readSingle(text: string): Record<string, string> | undefined {
  try {
    const value = JSON.parse(text) as Record<string, string>;
    return idHeader in value || secretHeader in value ? value : undefined;
  } catch {
    return undefined;
  }
}
