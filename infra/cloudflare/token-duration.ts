const day = 24 * 60 * 60 * 1000;

/**
 * The duration that a phone's token is given, such as "8760h". Cloudflare counts a token's end anew from the moment at which its
 * duration changes, and only then; so each day of renewal has a duration of its own: an hour more for each day since 2026.
 *
 * Source: "Renew service tokens" in Cloudflare's documentation, for its provider.
 *
 * @param tokenDuration in whole hours, such as "8760h"
 * @param renewedOn ISO 8601, such as "2027-10-01"; undefined while the tokens were never renewed
 */
export function durationOfTokens(tokenDuration: string, renewedOn: string | undefined): string {
  if (renewedOn === undefined) return tokenDuration;
  const days = (Date.parse(renewedOn) - Date.UTC(2026, 0, 1)) / day;
  return `${Number.parseInt(tokenDuration, 10) + days}h`;
}
