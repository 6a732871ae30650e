/**
 * `immich:index:Admin`: the kit's own administrator, who holds no photos. Every step looks first at
 * what is there, so a run that was cut goes on where it ended.
 */
import { explain, HttpError, type ImmichApi, RefusedAdmin } from "./api.ts";
import {
  type Credentials,
  changePerson,
  finishFirstSteps,
  listPeople,
  makePerson,
  showMe,
  signUpAdmin,
} from "./calls.ts";
import type { Connection } from "./connection.ts";
import type { ResourceKind } from "./resource-kind.ts";
import { UserError } from "./user-error.ts";

export interface AdminInputs {
  connection: Connection;
  email: string;
  name: string;
  password: string;
  /** An administrator from before the kit, who makes the kit's account when there is none. */
  existing?: Credentials;
}

export interface AdminOutputs extends AdminInputs {
  userId: string;
}

const credentials = ({ email, password }: AdminInputs) => ({ email, password });

async function ensureAdmin(api: ImmichApi, inputs: AdminInputs): Promise<string> {
  const { email, name, password } = inputs;
  const { isInitialized } = await api.server();
  if (!isInitialized) {
    try {
      await api.anonymous(signUpAdmin({ email, name, password }));
    } catch (error) {
      // Someone else may have signed up meanwhile; the sign-in below tells.
      const late =
        error instanceof HttpError && error.status === 400 && (await api.server()).isInitialized;
      if (!late) throw explain(error, `sign up "${email}" as its administrator`, [password]);
    }
  }
  const show = () => api.admin(credentials(inputs), "show the kit's own account", showMe());
  const me = await show().catch(async (error) => {
    if (!(error instanceof RefusedAdmin) || !inputs.existing) throw error;
    await letIn(api, inputs, inputs.existing);
    return show();
  });
  if (me.name !== name || me.shouldChangePassword) {
    await api.admin(
      credentials(inputs),
      `set up "${email}"`,
      changePerson(me.id, { name, shouldChangePassword: false }),
    );
  }
  const { isOnboarded } = await api.server();
  if (!isOnboarded) {
    await api.admin(credentials(inputs), "finish its first steps", finishFirstSteps());
  }
  return me.id;
}

/** By an administrator from before the kit: a new account, or the one that the address has already. */
async function letIn(api: ImmichApi, inputs: AdminInputs, existing: Credentials): Promise<void> {
  const { email, name, password } = inputs;
  const people = await api.admin(existing, "list its people", listPeople());
  const known = people.find(
    (person) => person.deletedAt === null && person.email.toLowerCase() === email,
  );
  const values = { name, password, isAdmin: true, shouldChangePassword: false };
  await api.admin(
    existing,
    `make "${email}" an administrator`,
    known ? changePerson(known.id, values) : makePerson({ email, ...values }),
    [password],
  );
}

export const admin: ResourceKind<AdminInputs, AdminOutputs> = {
  secrets: ["connection.privateKey", "password", "existing.password"],
  computed: ["userId"],
  compared: ["connection", "email", "name", "password"],

  async check(_context, _olds, news) {
    if (typeof news.email === "string") news.email = news.email.trim().toLowerCase();
    return [];
  },

  async create(context, inputs) {
    const userId = await ensureAdmin(context.api(inputs.connection), inputs);
    return { id: userId, outputs: { ...inputs, userId } };
  },

  async read(context, id, state) {
    const api = context.api(state.connection);
    const { isInitialized } = await api.server();
    if (!isInitialized) return undefined;
    const me = await api.admin(credentials(state), "show the kit's own account", showMe());
    return me.id === id ? { ...state, email: me.email, name: me.name } : undefined;
  },

  async update(context, id, olds, news) {
    const { email, name, password } = news;
    if (email === olds.email && name === olds.name && password === olds.password) {
      return { ...news, userId: id };
    }
    const api = context.api(news.connection);
    // A run that was cut may have changed the password already: the new one is tried first.
    const valid = await api.signIn({ email, password }).then(
      () => ({ email, password }),
      () => ({ email: olds.email, password: olds.password }),
    );
    await api.admin(
      valid,
      `change "${olds.email}"`,
      changePerson(id, { email, name, password, shouldChangePassword: false }),
      [password],
    );
    return { ...news, userId: id };
  },

  async delete(context, _id, state) {
    await context.log(
      "info",
      `Immich's administrator "${state.email}" stays: the kit deletes no account.`,
    );
  },
};

/** The kit's admin must not be one of the family: photos of the first admin lie under library/admin. */
export function refuseAdminAsPerson(person: { email: string }, adminEmail: string): void {
  if (person.email === adminEmail) {
    throw new UserError(
      `"${person.email}" is the kit's own administrator and cannot be a person of the family too: give the person another e-mail address.`,
      "family",
    );
  }
}
