import type { EdgeAnswer, EdgeClient } from "./edge-client.ts";
import { type Photo, uploadForm } from "./photo.ts";
import { promise } from "./step.ts";

export interface Asset {
  id: string;
  originalPath: string;
  originalFileName: string;
  /** Base64 of the SHA-1. */
  checksum: string;
}

/** The Immich app on one person's phone: the token's two headers and its cookies on every request, and Immich's own sign-in. */
export class Phone {
  readonly edge: EdgeClient;
  #accessToken = "";

  constructor(edge: EdgeClient, headers: Record<string, string>) {
    this.edge = edge.keepingCookies().with(headers);
  }

  /** The same sign-in with other headers, as after a rotation. */
  with(headers: Record<string, string>): Phone {
    const phone = new Phone(this.edge, headers);
    phone.#accessToken = this.#accessToken;
    return phone;
  }

  async signIn(email: string, password: string): Promise<void> {
    const answer = await this.edge.send({
      method: "POST",
      path: "/api/auth/login",
      body: { email, password },
    });
    promise(
      answer.status === 201,
      `${email} could not sign in to Immich: status ${answer.status}, ${start(answer)}.`,
    );
    this.#accessToken = answer.json<{ accessToken: string }>().accessToken;
  }

  send(method: string, path: string, body?: unknown): Promise<EdgeAnswer> {
    return this.edge.send({
      method,
      path,
      body,
      headers: { authorization: `Bearer ${this.#accessToken}` },
    });
  }

  async read<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.send(method, path, body);
    promise(
      answer.status >= 200 && answer.status < 300,
      `${method} ${path} was answered ${answer.status}: ${start(answer)}.`,
    );
    return answer.json<T>();
  }

  async upload(photo: Photo): Promise<string> {
    const answer = await this.send("POST", "/api/assets", uploadForm(photo));
    promise(
      answer.status === 201,
      `The upload of ${photo.fileName} was answered ${answer.status}: ${start(answer)}.`,
    );
    return answer.json<{ id: string }>().id;
  }

  asset(id: string): Promise<Asset> {
    return this.read("GET", `/api/assets/${id}`);
  }

  async assets(): Promise<Asset[]> {
    const found = await this.read<{ assets: { items: Asset[] } }>(
      "POST",
      "/api/search/metadata",
      {},
    );
    return found.assets.items;
  }
}

function start(answer: EdgeAnswer): string {
  return answer.body.toString().slice(0, 200);
}
