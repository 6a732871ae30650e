/** Where Immich listens on the Pi; the connector shares the Pi's network. */
export const immichOnPi = "http://localhost:2283";

/**
 * Seconds that the connector keeps an idle connection to Immich. Immich's server closes one after 5
 * (Node's own default; the connector's is 90): an upload that is sent on a connection just as it is
 * closed cannot be sent again, and is answered 502. So the connector lets go first.
 */
const keepAliveSeconds = 3;

/**
 * The tunnel's ingress: the photo host to Immich, for requests that carry Cloudflare's JWT for
 * the application; 404 for all else. With `required`, the connector itself answers 403 without one.
 */
export function ingressRules<T>(host: string, teamName: string, audience: T) {
  return [
    {
      hostname: host,
      service: immichOnPi,
      originRequest: {
        access: { required: true, teamName, audTags: [audience] },
        keepAliveTimeout: keepAliveSeconds,
      },
    },
    { service: "http_status:404" },
  ];
}
