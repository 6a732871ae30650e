import { type Call, type Reply, route } from "../route.ts";
import type { ApiToken, CloudflareState } from "../state.ts";

/** A token of the other owner, or none that is known, was refused before. */
export const tokens = [
  route("GET", "/user/tokens/verify", undefined, verify),
  route("GET", "/accounts/:account/tokens/verify", undefined, verify),
];

function verify({ state, token }: Call<undefined>): Reply {
  return {
    result: {
      id: token.id,
      status: tokenStatus(token, state),
      ...(token.expiresOn === undefined ? {} : { expires_on: token.expiresOn }),
    },
  };
}

export function tokenStatus(token: ApiToken, state: CloudflareState): ApiToken["status"] {
  if (token.expiresOn && new Date(token.expiresOn) <= state.clock.now()) return "expired";
  return token.status;
}
