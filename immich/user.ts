/**
 * `immich:index:User`: a person of the family. Immich purges a deleted person's photos after seven days,
 * so nothing here deletes and nothing replaces: whoever is there is adopted by e-mail, a soft-deleted
 * person is restored, and "delete" leaves the account.
 *
 * The storage label names the folder that holds the person's originals. It is set when the kit makes
 * the account and never again: an adopted account keeps the one that it has, and a later change of the
 * input is answered by a warning.
 *
 * The first password belongs to creation. A person who is there has their own; it is never touched.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AddressMoves, ringRefusal } from "./address-moves.ts";
import { refuseAdminAsPerson } from "./admin.ts";
import { type ImmichApi, UnexpectedAnswer } from "./api.ts";
import {
  type Credentials,
  changePerson,
  listPeople,
  makePerson,
  type Person,
  type PersonValues,
  restorePerson,
} from "./calls.ts";
import type { Connection } from "./connection.ts";
import type { Context, ResourceKind } from "./resource-kind.ts";
import { UserError } from "./user-error.ts";

export interface UserInputs {
  connection: Connection;
  admin: Credentials;
  email: string;
  name: string;
  storageLabel: string;
  initialPassword: string;
  /** Bytes; null or missing: no limit. */
  quota?: number | null;
}

export interface UserOutputs extends UserInputs {
  userId: string;
  /** Whether the account was there before the kit; its password then is the person's own. */
  adopted: boolean;
}

/**
 * @throws {UnexpectedAnswer} for a list without the account that asks for it: in a list that is not whole, nobody is missing.
 */
async function everybody(api: ImmichApi, admin: Credentials): Promise<Person[]> {
  const people = await api.admin(admin, "list its people", listPeople());
  if (withEmail(people, admin.email.toLowerCase())) return people;
  throw new UnexpectedAnswer(
    `Immich's list of people lacks "${admin.email}", who asked for it, so it is not whole, and nobody is taken for missing: run the same command again. Nobody was changed.`,
  );
}

function withEmail(people: Person[], email: string): Person | undefined {
  const same = people.filter((person) => person.email.toLowerCase() === email);
  return same.find((person) => person.deletedAt === null) ?? same[0];
}

/** Of this run: the provider is started anew for each. */
const moves = new AddressMoves();

/** The people, once nobody of this run has an address any more that is to be another's. */
async function everybodyAfterMoves(
  api: ImmichApi,
  admin: Credentials,
  email: string,
): ReturnType<typeof everybody> {
  for (let seconds = 0; ; seconds++) {
    const people = await everybody(api, admin);
    const holder = withEmail(people, email);
    if (!holder || !moves.isLeft(email)) return people;
    if (seconds === 20) {
      throw new UserError(
        `"${email}" is still the address of "${holder.name}" in Immich, whose own change was not made yet: run the same command again. This person was left as they were.`,
        "family",
      );
    }
    await sleep(1000);
  }
}

/** Immich answers such a label with a fault of its own. Whoever left the family keeps account and folder. */
function refuseTakenLabel(people: Person[], { email, storageLabel }: UserInputs): void {
  const holder = people.find((person) => person.storageLabel === storageLabel);
  if (!holder) return;
  throw new UserError(
    `The originals of "${holder.email}" lie under library/${storageLabel}, and that account stays in Immich: give "${email}" another name in the family list, or, if it is the same person, first change the address in Immich to "${email}".`,
    "family",
  );
}

async function restoreIfDeleted(
  context: Context,
  api: ImmichApi,
  admin: Credentials,
  person: Person,
): Promise<void> {
  if (person.deletedAt === null) return;
  if (person.status === "removing") {
    throw new UserError(
      `Immich is removing the account of "${person.email}" for good at this moment, as someone asked it to: wait until it is gone from Administration > Users, then run the same command again.`,
    );
  }
  await api.admin(admin, `restore "${person.email}"`, restorePerson(person.id));
  await context.log(
    "warning",
    `"${person.email}" had been deleted in Immich and was restored, with all photos: the family list names this person.`,
  );
}

async function adopt(
  context: Context,
  api: ImmichApi,
  inputs: UserInputs,
  person: Person,
): Promise<{ id: string; outputs: UserOutputs }> {
  await restoreIfDeleted(context, api, inputs.admin, person);
  const changes = changesOf(person, inputs);
  if (Object.keys(changes).length > 0) {
    await api.admin(inputs.admin, `change "${inputs.email}"`, changePerson(person.id, changes));
  }
  const kept =
    person.storageLabel === inputs.storageLabel
      ? ""
      : ` Their originals stay under library/${person.storageLabel ?? person.id}.`;
  await context.log(
    "info",
    `"${inputs.email}" is in Immich already and was adopted; password and photos are as they were.${kept}`,
  );
  return {
    id: person.id,
    outputs: {
      ...inputs,
      storageLabel: person.storageLabel ?? person.id,
      userId: person.id,
      adopted: true,
    },
  };
}

/** Name and quota are the kit's to set; address, label and password of an account that is there are not. */
function changesOf(person: Person, inputs: Pick<UserInputs, "name" | "quota">): PersonValues {
  const quota = inputs.quota ?? null;
  return {
    ...(person.name !== inputs.name && { name: inputs.name }),
    ...(inputs.quota !== undefined &&
      person.quotaSizeInBytes !== quota && { quotaSizeInBytes: quota }),
  };
}

export const user: ResourceKind<UserInputs, UserOutputs> = {
  secrets: ["connection.privateKey", "admin.password", "initialPassword"],
  computed: ["userId", "adopted"],
  // Neither storageLabel nor initialPassword: see above.
  compared: ["connection", "admin", "email", "name", "quota"],

  async check(context, olds, news, known) {
    if (known(news.email)) {
      news.email = news.email.trim().toLowerCase();
      moves.note(context.urn, news.storageLabel, olds?.email, news.email);
      const ring = moves.ring(context.urn);
      if (ring.length > 0) return [{ property: "family", reason: ringRefusal(ring) }];
    }
    if (olds && known(news.storageLabel) && olds.storageLabel !== news.storageLabel) {
      await context.log(
        "warning",
        `The storage label of "${news.email}" stays as it is in Immich, and does not become "${news.storageLabel}": their originals lie under it, and the kit moves no photos.`,
      );
    }
    return [];
  },

  async create(context, inputs) {
    refuseAdminAsPerson(inputs, inputs.admin.email);
    const api = context.api(inputs.connection);
    const people = await everybodyAfterMoves(api, inputs.admin, inputs.email);
    const present = withEmail(people, inputs.email);
    if (present) return adopt(context, api, inputs, present);
    refuseTakenLabel(people, inputs);
    const { email, name, storageLabel, initialPassword, quota } = inputs;
    let created: Person;
    try {
      created = await api.admin(
        inputs.admin,
        `make an account for "${email}"`,
        makePerson({
          ...{ email, name, password: initialPassword, storageLabel },
          shouldChangePassword: true,
          ...(quota !== undefined && { quotaSizeInBytes: quota }),
        }),
        [initialPassword],
      );
    } catch (error) {
      // The answer to an earlier try may have been lost on the way.
      const made = withEmail(await everybody(api, inputs.admin), inputs.email);
      if (!made) throw error;
      return adopt(context, api, inputs, made);
    }
    return {
      id: created.id,
      outputs: {
        ...inputs,
        storageLabel: created.storageLabel ?? created.id,
        userId: created.id,
        adopted: false,
      },
    };
  },

  async read(context, id, state) {
    const api = context.api(state.connection);
    const people = await everybody(api, state.admin);
    const person = people.find((each) => each.id === id);
    // A soft-deleted person counts as gone, so that the next `up` restores them by adoption.
    if (!person || person.deletedAt !== null) return undefined;
    return {
      ...state,
      email: person.email.toLowerCase(),
      name: person.name,
      storageLabel: person.storageLabel ?? person.id,
      userId: person.id,
      adopted: state.adopted ?? true,
      ...(state.quota !== undefined && { quota: person.quotaSizeInBytes }),
    };
  },

  async update(context, id, olds, news) {
    const outputs = { ...news, userId: id, adopted: olds.adopted, storageLabel: olds.storageLabel };
    const same = olds.email === news.email && olds.name === news.name && olds.quota === news.quota;
    if (same) return outputs;
    refuseAdminAsPerson(news, news.admin.email);
    const api = context.api(news.connection);
    const people = await everybody(api, news.admin);
    const person = people.find((each) => each.id === id);
    if (!person) {
      throw new UserError(
        `The account of "${olds.email}" is no longer in Immich: run "pulumi refresh", and the next "pulumi up" makes a new one.`,
      );
    }
    if (person.email !== news.email) await everybodyAfterMoves(api, news.admin, news.email);
    await restoreIfDeleted(context, api, news.admin, person);
    const changes: PersonValues = {
      ...changesOf(person, news),
      ...(person.email !== news.email && { email: news.email }),
      // A quota that is no longer given is no quota.
      ...(news.quota === undefined && olds.quota !== undefined && { quotaSizeInBytes: null }),
    };
    if (Object.keys(changes).length > 0) {
      await api.admin(news.admin, `change "${olds.email}"`, changePerson(id, changes));
    }
    return outputs;
  },

  async delete(context, _id, state) {
    await context.log(
      "warning",
      `The account of "${state.email}" stays in Immich with all photos: the kit deletes nobody. Who is to be deleted is deleted by hand, in Immich's page under Administration > Users; Immich then purges their photos after seven days.`,
    );
  },
};
