import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AccessGate, cookieFor, cookieName, isRevoked, readCookie } from "./access-gate.ts";
import type { AccessTokens } from "./access-tokens.ts";
import type { Decisions } from "./decisions.ts";
import { durationMs } from "./duration.ts";
import { oneTimeCode } from "./ids.ts";
import { accessErrorPage, codePage, emailPage, noAccessPage, noLoginMethodPage } from "./pages.ts";
import type { AccessApplication, CloudflareState } from "./state.ts";

/** A sign-in under way, from the e-mail form to the code. */
interface SignIn {
  applicationId: string;
  host: string;
  redirectPath: string;
  /** Hash of the application's CF_AppSession cookie: the browser that began is the one that ends. */
  appSession: string;
  /** The CF_Session cookie of the browser at the team's domain. */
  session: string;
  email?: string;
  /** null: no mail was sent, and no code is right. */
  code: string | null;
  expiresAt: number;
  triesLeft: number;
}

/** A finished sign-in on its way back to the application's host; works once. */
interface Handover {
  applicationId: string;
  host: string;
  redirectPath: string;
  appSession: string;
  jwt: string;
  expiresAt: number;
}

const codeMs = 10 * 60_000;
const codeTries = 5;
/** To one address within ten minutes; more are not sent, which the page does not tell. */
const mailLimit = 5;
const signInMs = 4 * 3_600_000;
const handoverMs = 60_000;

/** The team's domain, and what Access answers by itself on an application's host. */
export class SignInPages {
  readonly #state: CloudflareState;
  readonly #gate: AccessGate;
  readonly #tokens: AccessTokens;
  readonly #decisions: Decisions;
  readonly #signIns = new Map<string, SignIn>();
  readonly #handovers = new Map<string, Handover>();

  constructor(
    state: CloudflareState,
    gate: AccessGate,
    tokens: AccessTokens,
    decisions: Decisions,
  ) {
    this.#state = state;
    this.#gate = gate;
    this.#tokens = tokens;
    this.#decisions = decisions;
  }

  /** Sends a browser without a session to the team's domain. */
  async redirect(
    response: ServerResponse,
    application: AccessApplication,
    host: string,
    url: string,
  ): Promise<void> {
    const appSession = randomBytes(16).toString("hex");
    const meta = await this.#tokens.sign(
      {
        type: "meta",
        aud: application.aud,
        hostname: host,
        redirect_url: url,
        app_session_hash: hash(appSession),
        service_token_status: false,
        auth_status: "NONE",
      },
      signInMs,
    );
    const location = new URL(`https://${this.#state.teamDomain}/cdn-cgi/access/login/${host}`);
    location.searchParams.set("kid", application.aud);
    location.searchParams.set("redirect_url", url);
    location.searchParams.set("meta", meta);
    response.writeHead(302, {
      location: location.href,
      "set-cookie": `CF_AppSession=${appSession}; Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=None`,
      "cache-control": "private, max-age=0, no-store, no-cache, must-revalidate",
      "www-authenticate": `Cloudflare-Access resource_metadata="https://${host}/"`,
    });
    response.end();
  }

  /** Access' own paths on an application's host. @returns false when the path is not one of them */
  async answerAtHost(
    request: IncomingMessage,
    response: ServerResponse,
    host: string,
    url: URL,
  ): Promise<boolean> {
    switch (url.pathname) {
      case "/cdn-cgi/access/certs":
        sendJson(response, 200, this.#tokens.keys());
        return true;
      case "/cdn-cgi/access/authorized":
        this.#authorized(request, response, host, url);
        return true;
      case "/cdn-cgi/access/logout":
        await this.#logOut(request, response, "app");
        return true;
      case "/cdn-cgi/access/get-identity":
        await this.#identity(request, response, "app");
        return true;
      default:
        return false;
    }
  }

  /** Everything at `<team>.cloudflareaccess.com`. */
  async answerAtTeam(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { pathname } = url;
    if (request.method === "GET" || request.method === "HEAD") {
      if (pathname === "/cdn-cgi/access/certs") return sendJson(response, 200, this.#tokens.keys());
      if (pathname === "/cdn-cgi/access/logout") return this.#logOut(request, response, "org");
      if (pathname === "/cdn-cgi/access/get-identity") {
        return this.#identity(request, response, "org");
      }
      if (pathname.startsWith("/cdn-cgi/access/login/")) return this.#login(request, response, url);
    }
    if (request.method === "POST") {
      if (pathname === "/cdn-cgi/access/onetimepin/login") return this.#mail(request, response);
      if (pathname === "/cdn-cgi/access/onetimepin/callback") return this.#code(request, response);
    }
    return sendPage(response, 404, accessErrorPage("Unable to find your Access application!"));
  }

  async #login(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const meta = await this.#tokens.read(url.searchParams.get("meta") ?? "", "meta");
    const application = this.#state.data.applications.find(
      ({ aud }) => aud === url.searchParams.get("kid") && aud === meta?.aud,
    );
    if (!application || !meta) {
      return sendPage(response, 404, accessErrorPage("Unable to find your Access application!"));
    }
    const signIn: SignIn = {
      applicationId: application.id,
      host: String(meta.hostname),
      redirectPath: String(meta.redirect_url),
      appSession: String(meta.app_session_hash),
      session: randomBytes(16).toString("hex"),
      code: null,
      expiresAt: 0,
      triesLeft: 0,
    };
    const provider = this.#oneTimePin(application);
    const known = await this.#globalSession(request);
    if (known && provider) {
      const admitted = await this.#gate.admit(application, known, provider.id, ip(request));
      if ("jwt" in admitted) return this.#handOver(response, signIn, admitted.jwt);
    }
    if (!provider) return sendPage(response, 200, noLoginMethodPage());
    const state = randomBytes(16).toString("hex");
    this.#signIns.set(state, signIn);
    const team = this.#state.data.organization?.name ?? "";
    return sendPage(response, 200, emailPage(team, signIn.host, state), {
      "set-cookie": `CF_Session=${signIn.session}; Path=/; Max-Age=14400; Secure; HttpOnly; SameSite=None`,
    });
  }

  async #mail(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = await readForm(request);
    const found = this.#find(request, form);
    if (!found) return sendPage(response, 400, accessErrorPage("Invalid login session."));
    const { signIn, application, state } = found;
    const email = (form.get("email") ?? "").trim();
    const provider = this.#oneTimePin(application);
    const { trouble } = provider
      ? this.#gate.wouldAdmit(application, email, provider.id, ip(request))
      : { trouble: "the one-time PIN is not among the application's login methods" };
    const now = this.#state.clock.now().getTime();
    const { mailbox } = this.#state.data;
    const recent = mailbox.filter(
      ({ to, sentAt }) => to === email.toLowerCase() && now - new Date(sentAt).getTime() < codeMs,
    ).length;
    const sent = trouble === undefined && recent < mailLimit;
    signIn.email = email;
    signIn.code = sent ? oneTimeCode() : null;
    signIn.expiresAt = now + codeMs;
    signIn.triesLeft = codeTries;
    if (signIn.code !== null) {
      mailbox.push({
        to: email.toLowerCase(),
        subject: `Your Cloudflare Access login code for ${signIn.host}`,
        code: signIn.code,
        sentAt: new Date(now).toISOString(),
        application: application.name,
      });
      this.#state.save();
    }
    return sendPage(response, 200, codePage(email, state));
  }

  async #code(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = await readForm(request);
    const found = this.#find(request, form);
    const email = found?.signIn.email;
    if (!found || email === undefined) {
      return sendPage(response, 400, accessErrorPage("Invalid login session."));
    }
    const { signIn, application, state } = found;
    const provider = this.#oneTimePin(application);
    const now = this.#state.clock.now().getTime();
    const refuse = (reason: string, policy?: string) => {
      this.#decisions.add({
        host: signIn.host,
        method: "POST",
        path: "/cdn-cgi/access/onetimepin/callback",
        allowed: false,
        reason,
        application: application.name,
        policy,
        who: email,
        status: 401,
      });
      return sendPage(response, 401, noAccessPage());
    };
    if (signIn.code === null) return refuse(`no code was sent to ${email}`);
    if (now >= signIn.expiresAt) return refuse("the code is older than ten minutes");
    if (form.get("code")?.trim() !== signIn.code) {
      signIn.triesLeft--;
      if (signIn.triesLeft <= 0) signIn.code = null;
      return refuse("a wrong code");
    }
    // A code works once.
    this.#signIns.delete(state);
    const admitted = provider
      ? await this.#gate.admit(application, email, provider.id, ip(request))
      : { trouble: "the one-time PIN is not among the application's login methods" };
    if (!("jwt" in admitted)) return refuse(admitted.trouble);
    this.#decisions.add({
      host: signIn.host,
      method: "POST",
      path: "/cdn-cgi/access/onetimepin/callback",
      allowed: true,
      reason: "the code is right, and an Allow policy names the address",
      application: application.name,
      policy: admitted.policy.name,
      who: email,
      status: 302,
    });
    const global = await this.#tokens.sign(
      { type: "org", aud: [], email: email.toLowerCase(), sub: this.#state.person(email).id },
      this.#globalMs(application),
    );
    return this.#handOver(
      response,
      signIn,
      admitted.jwt,
      `${cookieName}=${global}; Path=/; Secure; HttpOnly; SameSite=None`,
    );
  }

  #handOver(response: ServerResponse, signIn: SignIn, jwt: string, cookie?: string): void {
    const nonce = randomBytes(16).toString("hex");
    this.#handovers.set(nonce, {
      applicationId: signIn.applicationId,
      host: signIn.host,
      redirectPath: signIn.redirectPath,
      appSession: signIn.appSession,
      jwt,
      expiresAt: this.#state.clock.now().getTime() + handoverMs,
    });
    response.writeHead(302, {
      location: `https://${signIn.host}/cdn-cgi/access/authorized?nonce=${nonce}`,
      ...(cookie === undefined ? {} : { "set-cookie": cookie }),
    });
    response.end();
  }

  /** Back on the application's host: the session cookie is set here. */
  #authorized(request: IncomingMessage, response: ServerResponse, host: string, url: URL): void {
    const nonce = url.searchParams.get("nonce") ?? "";
    const handover = this.#handovers.get(nonce);
    this.#handovers.delete(nonce);
    const application = this.#state.data.applications.find(
      ({ id }) => id === handover?.applicationId,
    );
    const appSession = readCookie(request.headers.cookie, "CF_AppSession");
    if (
      !handover ||
      !application ||
      handover.host !== host ||
      handover.expiresAt <= this.#state.clock.now().getTime() ||
      !appSession ||
      hash(appSession) !== handover.appSession
    ) {
      sendPage(response, 400, accessErrorPage("Invalid login session."));
      return;
    }
    // Only a path on this host: never a way out of it.
    const back = new URL(handover.redirectPath, `https://${host}`);
    response.writeHead(302, {
      location: `${back.pathname}${back.search}`,
      "set-cookie": cookieFor(application, handover.jwt),
    });
    response.end();
  }

  async #logOut(
    request: IncomingMessage,
    response: ServerResponse,
    type: "app" | "org",
  ): Promise<void> {
    const jwt = readCookie(request.headers.cookie, cookieName);
    const claims = jwt ? await this.#tokens.read(jwt, type) : undefined;
    if (claims?.email) {
      this.#state.person(claims.email).revokedAt = this.#state.clock.now().toISOString();
      this.#state.save();
    }
    sendPage(response, 200, accessErrorPage("You are logged out."), {
      "set-cookie": `${cookieName}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=None`,
    });
  }

  async #identity(
    request: IncomingMessage,
    response: ServerResponse,
    type: "app" | "org",
  ): Promise<void> {
    const jwt = readCookie(request.headers.cookie, cookieName);
    const claims = jwt ? await this.#tokens.read(jwt, type) : undefined;
    if (!claims) return sendJson(response, 401, { err: "no app token set" });
    const provider = this.#state.data.identityProviders.find((one) => one.type === "onetimepin");
    sendJson(response, 200, {
      email: claims.email,
      idp: { id: provider?.id ?? "", type: "onetimepin" },
      geo: { country: "JP" },
      user_uuid: claims.sub,
      account_id: this.#state.data.accountId,
      iat: claims.iat,
      ip: ip(request),
      auth_status: "NONE",
      common_name: claims.common_name ?? "",
      service_token_id: claims.common_name ?? "",
      service_token_status: claims.common_name !== undefined,
      is_warp: false,
      is_gateway: false,
      version: 2,
    });
  }

  /** The address that the browser has proven at the team's domain, if it still counts. */
  async #globalSession(request: IncomingMessage): Promise<string | undefined> {
    const jwt = readCookie(request.headers.cookie, cookieName);
    const claims = jwt ? await this.#tokens.read(jwt, "org") : undefined;
    if (!claims?.email) return undefined;
    const { revokedAt } = this.#state.person(claims.email);
    return isRevoked(claims, revokedAt) ? undefined : claims.email;
  }

  /** The organization's global session, or else the application's. */
  #globalMs(application: AccessApplication): number {
    const { session_duration } = this.#state.data.organization ?? {};
    return durationMs(session_duration ?? application.session_duration) ?? 24 * 3_600_000;
  }

  /** The one-time PIN, where the application takes it; no list takes every provider. */
  #oneTimePin(application: AccessApplication) {
    return this.#state.data.identityProviders.find(
      ({ id, type }) =>
        type === "onetimepin" &&
        (application.allowed_idps.length === 0 || application.allowed_idps.includes(id)),
    );
  }

  #find(request: IncomingMessage, form: URLSearchParams) {
    const state = form.get("state") ?? "";
    const signIn = this.#signIns.get(state);
    const application = this.#state.data.applications.find(
      ({ id }) => id === signIn?.applicationId,
    );
    const session = readCookie(request.headers.cookie, "CF_Session");
    if (!signIn || !application || session !== signIn.session) return undefined;
    return { signIn, application, state };
  }
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function ip(request: IncomingMessage): string {
  return (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > 10_000) break;
  }
  return new URLSearchParams(text);
}

function sendPage(
  response: ServerResponse,
  status: number,
  html: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "private, max-age=0, no-store, no-cache, must-revalidate",
    ...headers,
  });
  response.end(html);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}
