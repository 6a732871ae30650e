/** Where Immich listens on the Pi; the connector shares the Pi's network. */
export const immichOnPi = "http://localhost:2283";

/**
 * The tunnel's ingress: the photo host to Immich, for requests that carry Cloudflare's JWT for
 * the application; 404 for all else. With `required`, the connector itself answers 403 without one.
 */
export function ingressRules<T>(host: string, teamName: string, audience: T) {
  return [
    {
      hostname: host,
      service: immichOnPi,
      originRequest: { access: { required: true, teamName, audTags: [audience] } },
    },
    { service: "http_status:404" },
  ];
}
