/** The few calls of Cloudflare's Access that its own provider for Pulumi has no resource for. */
import { type Answer, CloudflareApi, reasons } from "../../infra/cloudflare/api.ts";
import { type Permission, permissions } from "../../infra/cloudflare/permissions.ts";
import { UserError as ProgramError } from "../../infra/settings/user-error.ts";
import { UserError } from "../user-error.ts";

/** The account at Cloudflare, and how its API is reached. */
export interface CloudflareAccount {
  /** Of the API v4, without a slash at the end. */
  baseUrl: string;
  accountId: string;
  /** Secret. @default CLOUDFLARE_API_TOKEN of the environment */
  apiToken?: string;
}

/** No application has it: Cloudflare looks at the permission first, and then finds nothing to revoke. */
const noApplication = "00000000-0000-0000-0000-000000000000";

export class AccessApi {
  readonly #api: CloudflareApi;
  readonly #access: string;

  constructor({ baseUrl, accountId, apiToken }: CloudflareAccount) {
    this.#api = new CloudflareApi({
      baseUrl,
      apiToken: apiToken ?? process.env.CLOUDFLARE_API_TOKEN ?? "",
    });
    this.#access = `/accounts/${accountId}/access`;
  }

  /**
   * Ends every session of a person in all of the account's applications, and their global session.
   *
   * Source: POST …/access/organizations/revoke_user; who was revoked cannot sign in again for up to a minute.
   *
   * @throws {UserError} when Cloudflare refuses, or cannot be reached.
   */
  async revokePerson(email: string): Promise<void> {
    const path = `${this.#access}/organizations/revoke_user`;
    const answer = await this.#send("POST", path, { email });
    // Who has never signed in has nothing that could end.
    if (answer.status !== 404) accepted(path, permissions.revoke, answer);
  }

  /**
   * Ends every session at one application, of people and of phones alike. People whose global session goes on
   * get a new one without being asked.
   *
   * Source: POST …/access/apps/:id/revoke_tokens; what was issued before is refused 20 to 30 seconds later.
   *
   * @throws {UserError} when Cloudflare refuses, or cannot be reached.
   */
  async revokeApplication(id: string): Promise<void> {
    const path = `${this.#access}/apps/${id}/revoke_tokens`;
    const answer = await this.#send("POST", path, {});
    // An application that is gone lets nobody in.
    if (answer.status !== 404) accepted(path, permissions.access, answer);
  }

  /**
   * Whether `revokePerson` would be let through, without revoking anybody: a request that names nobody is refused for
   * its want of a name only after the permission was looked at.
   *
   * @throws {UserError} when the permission is missing.
   */
  async mayRevokePeople(): Promise<void> {
    const path = `${this.#access}/organizations/revoke_user`;
    permitted(path, permissions.revoke, await this.#ask(path));
  }

  /**
   * The same for `revokeApplication`, by an application that is not there.
   *
   * @throws {UserError} when the permission is missing.
   */
  async mayRevokeApplication(): Promise<void> {
    const path = `${this.#access}/apps/${noApplication}/revoke_tokens`;
    permitted(path, permissions.access, await this.#ask(path));
  }

  /** By Cloudflare's clock, or the laptop's where Cloudflare tells none. */
  async now(): Promise<Date> {
    const answer = await this.#unless(this.#api.get(`${this.#access}/organizations`));
    return answer?.at ?? new Date();
  }

  /**
   * Has the whole account judge service tokens strictly. This one field and no other: the provider's resource of the
   * organization would write all of them.
   *
   * Source: PATCH …/access/organizations, since 2026-10-02.
   *
   * @throws {UserError} when Cloudflare refuses, or cannot be reached.
   */
  async makeStrict(): Promise<void> {
    const path = `${this.#access}/organizations`;
    const body = { strict_service_token_auth: true };
    accepted(path, permissions.organization, await this.#send("PATCH", path, body));
  }

  #ask(path: string): Promise<Answer<unknown> | undefined> {
    return this.#unless(this.#api.send("POST", path, {}));
  }

  /** An answer, or none: a question that Cloudflare has no answer to keeps nobody from being removed. */
  async #unless(asked: Promise<Answer<unknown>>): Promise<Answer<unknown> | undefined> {
    try {
      return await asked;
    } catch (error) {
      if (error instanceof ProgramError) return undefined;
      throw error;
    }
  }

  async #send(method: "POST" | "PATCH", path: string, body: object): Promise<Answer<unknown>> {
    try {
      return await this.#api.send(method, path, body);
    } catch (error) {
      // The program's own class of it: the provider has another.
      if (!(error instanceof ProgramError)) throw error;
      throw new UserError(error.message, "cloudflare");
    }
  }
}

function permitted(
  path: string,
  permission: Permission,
  answer: Answer<unknown> | undefined,
): void {
  if (answer?.status !== 401 && answer?.status !== 403) return;
  const { status, body } = answer;
  const words = reasons(body);
  throw new UserError(
    `The API token lacks the permission "${permission}": Cloudflare answered ${status} to ${path}${words ? `, ${words}` : ""}. Add it to the token in Cloudflare's dashboard, and run this again.`,
    "cloudflare:apiToken",
  );
}

function accepted(path: string, permission: Permission, answer: Answer<unknown>): void {
  permitted(path, permission, answer);
  const { status, body } = answer;
  if (status < 300 && body?.success) return;
  const words = reasons(body);
  throw new UserError(
    `Cloudflare answered ${status} to ${path}${words ? `: ${words}` : ""}. Run this again in some minutes.`,
    "cloudflare",
  );
}
